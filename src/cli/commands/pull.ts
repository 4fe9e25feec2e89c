// athanor pull: a model of the Hugging Face Hub into a folder.
import { formatBytes, shellWord } from "../../base/index.ts";
import { pullModel } from "../../hub/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { endpointHelp, hubAccess } from "../hub-access.ts";
import { pathOption } from "../options.ts";

interface PullFlags {
  readonly revision: string;
  readonly to?: string;
  readonly hubUrl?: string;
}

export const definePull: DefineCommand = (program, run) => {
  program
    .command("pull")
    .description("download a model of the Hugging Face Hub; what was begun is gone on with")
    .argument("<repo>", "such as openai-community/gpt2")
    .option("--revision <name>", "a branch, tag or commit", "main")
    .option("--to <folder>", "where to put it (default: the last part of the name)", pathOption("--to"))
    .option("--hub-url <url>", endpointHelp)
    .action(run(pull));
};

async function pull({ output, signal }: CommandContext, repo: string, flags: PullFlags): Promise<undefined> {
  const { revision, to = repo.split("/").at(-1)!, hubUrl } = flags;
  const pulled = await pullModel(repo, { revision, to, signal, onNote: output.note, ...hubAccess(hubUrl) });
  output.record(pulled);
  output.print(`${to}: ${pulled.files.join(", ")}, ${formatBytes(pulled.bytes)}`);
  if (!output.json) output.note(`try it: npx athanor generate ${shellWord(to)} --prompt "Once upon a time"`);
  return undefined;
}
