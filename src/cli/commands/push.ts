// athanor push: a model in Hugging Face's layout to the Hub.
import { pushModel } from "../../hub/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { endpointHelp, hubAccess } from "../hub-access.ts";

interface PushFlags {
  readonly revision: string;
  readonly message?: string;
  readonly public?: boolean;
  readonly hubUrl?: string;
}

export const definePush: DefineCommand = (program, run) => {
  program
    .command("push")
    .description("upload a folder that `export --layout huggingface` wrote, in one commit; HF_TOKEN is the token")
    .argument("<folder>", "a model or adapter in Hugging Face's layout")
    .argument("<repo>", "owner/name; made where it is not there, private")
    .option("--revision <branch>", "the branch", "main")
    .option("--message <text>", "first line of the commit")
    .option("--public", "a repository that is made is for everybody")
    .option("--hub-url <url>", endpointHelp)
    .action(run(push));
};

async function push(
  { output, signal }: CommandContext,
  folder: string,
  repo: string,
  flags: PushFlags,
): Promise<undefined> {
  const { revision, message, public: isPublic = false, hubUrl } = flags;
  const options = { revision, message, private: !isPublic, signal, onNote: output.note, ...hubAccess(hubUrl) };
  const pushed = await pushModel(folder, repo, options);
  output.record(pushed);
  output.print(`${repo}: ${pushed.files.join(", ")}\n${pushed.url}`);
  return undefined;
}
