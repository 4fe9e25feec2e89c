// From a folder to a repository of the Hub, in one commit: everybody sees the old model or the new. Files that a broken attempt had
// sent whole are not sent again.
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { fail } from "../base/index.ts";
import { onDisk } from "../checkpoint/index.ts";
import { accessOf } from "./pull.ts";
import { type HubOptions, modelFiles, onHub, requireModel } from "./remote.ts";

export interface PushOptions extends HubOptions {
  /** The branch. Default `main`. */
  readonly revision?: string | undefined;
  /** First line of the commit. */
  readonly message?: string | undefined;
  /** Of a repository that is made: for its owner alone. Default true. */
  readonly private?: boolean | undefined;
}

/** What was pushed: the commit, where it is seen, and the names of its files. */
export interface Pushed {
  readonly commit: string;
  readonly url: string;
  readonly files: readonly string[];
}

/**
 * Uploads a model in Hugging Face's layout, with its README.md where there is one, into `repo`, which is made where it is not there.
 * Errors with `hub/token`, `hub/files`, `hub/pickle`, `hub/denied`, `hub/refused`, `hub/network`.
 * @example await pushModel("mine", "me/mine", { accessToken: token });
 */
export async function pushModel(folder: string, repo: string, options: PushOptions): Promise<Pushed> {
  const { accessToken, revision = "main", message = "Upload a model trained with Athanor" } = options;
  if (accessToken === undefined || !accessToken.startsWith("hf_"))
    return fail("hub/token", "pushing takes a token of the Hub", {
      where: repo,
      expected: "a token that begins with hf_",
      got: accessToken === undefined ? "none" : "another text",
      fix: "set HF_TOKEN to a token that may write, from the Hub's settings",
    });
  if (!/^[\w.-]+\/[\w.-]+$/.test(repo))
    return fail("hub/name", "this is not the name of a repository", { expected: "owner/name", got: repo });
  const all = await onDisk("pushing a model", folder, () => readdir(folder));
  const files = modelFiles(all);
  requireModel(files, all, folder);
  if (all.includes("README.md")) files.push("README.md");
  return await onHub(repo, async () => {
    const { commit, createRepo, repoExists } = await import("@huggingface/hub");
    const access = { ...accessOf(options), accessToken };
    if (!(await repoExists({ repo, ...access })))
      await createRepo({ repo, private: options.private ?? true, ...access });
    const made = await commit({
      repo,
      branch: revision,
      title: message,
      operations: files.map((path) => ({
        operation: "addOrUpdate" as const,
        path,
        content: pathToFileURL(join(resolve(folder), path)),
      })),
      ...access,
    });
    return { commit: made!.commit.oid, url: made!.commit.url, files };
  });
}
