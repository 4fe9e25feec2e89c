// What pulling and pushing share: where a Hub is, which files of a repository are a model, and what is said when a Hub refuses.
import { AthanorError, fail } from "../base/index.ts";
import { failPickle, isPickle } from "./pickle.ts";
import { carriedTexts } from "./texts.ts";

export interface HubOptions {
  /** Any server that speaks the Hub's protocol. Default `https://huggingface.co`. */
  readonly hubUrl?: string | undefined;
  /** A token of the Hub, `hf_…`, for what is private. */
  readonly accessToken?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onNote?: ((text: string) => void) | undefined;
}

const texts: readonly string[] = ["config.json", "adapter_config.json", ...carriedTexts];
const whole = ["model.safetensors", "adapter_model.safetensors"];
const index = "model.safetensors.index.json";

/** Of the files of a folder, those that a model is read from: no pickles, no copies in other formats, nothing in folders. */
export function modelFiles(names: readonly string[]): string[] {
  const isTensors = names.includes("model.safetensors")
    ? (name: string) => whole.includes(name)
    : (name: string) => whole.includes(name) || name === index || /^model-\d{5}-of-\d{5}\.safetensors$/.test(name);
  return names.filter((name) => texts.includes(name) || isTensors(name)).sort();
}

/** Errors with `hub/pickle` or `hub/files` unless the files, or the folder's `all`, are a model or an adapter. */
export function requireModel(files: readonly string[], all: readonly string[], where: string): void {
  const isModel = files.includes("config.json") && files.some((name) => /^model.*\.safetensors$/.test(name));
  if (isModel || (files.includes("adapter_config.json") && files.includes("adapter_model.safetensors"))) return;
  const pickle = all.find(isPickle);
  if (pickle !== undefined && !files.some((name) => name.endsWith(".safetensors"))) failPickle(where, pickle);
  fail("hub/files", "there is no model here", {
    where,
    expected: "config.json and model.safetensors, or its shards and their index",
    got: all.slice(0, 10).join(", ") || "no files",
    fix: "check the name: a model of Transformers is needed; `athanor export --layout huggingface` writes one",
  });
}

/** Runs `work` and tells what the Hub or the network refused: `hub/not-found`, `hub/denied`, `hub/refused`, `hub/network`. */
export async function onHub<T>(where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof AthanorError) throw cause;
    const error = cause instanceof Error ? cause : new TypeError(String(cause)); // of a stream: its client gives words alone
    const { statusCode: status, code } = error as { readonly statusCode?: number; readonly code?: string };
    if (error.name === "AbortError" || (code !== undefined && /^E[A-Z]+$/.test(code))) throw cause; // a signal, or the disk
    const network = (error.cause as { readonly code?: string } | undefined)?.code;
    const got = `${[status ?? network ?? code].filter((one) => one !== undefined)} ${error.message}`
      .trim()
      .slice(0, 300);
    const fields = { where, got, cause };
    if (status === 404)
      fail("hub/not-found", "the Hub has no such repository or revision", {
        ...fields,
        fix: "check name and revision; a private one needs HF_TOKEN",
      });
    if (status === 401 || status === 403)
      fail("hub/denied", "the Hub does not let this in", {
        ...fields,
        fix: "set HF_TOKEN to a token with the right; a gated model is asked for on its page first",
      });
    if (!(error instanceof TypeError))
      fail("hub/refused", "the Hub did not do what was asked", { ...fields, fix: "try again later" });
    return fail("hub/network", "the Hub could not be talked to", {
      ...fields,
      fix: "check the network, HF_ENDPOINT and HF_TOKEN; the same command goes on where it ended",
    });
  }
}
