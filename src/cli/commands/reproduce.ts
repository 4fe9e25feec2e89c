// athanor reproduce: runs a finished run again from its record and compares the bytes.
import pc from "picocolors";
import { reproduceRun } from "../../api/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { pathOption } from "../options.ts";
import { exitCodes, stoppedCode } from "../output.ts";

export const defineReproduce: DefineCommand = (program, run) => {
  program
    .command("reproduce")
    .description("run a finished run again and compare the final state, byte for byte")
    .argument("<run>", "folder of a finished run")
    .option("--run-dir <folder>", "folder of the new run (default: a new one under runs/)", pathOption("--run-dir"))
    .action(run(reproduce));
};

async function reproduce(context: CommandContext, folder: string, flags: { runDir?: string }): Promise<number> {
  const { output, stoppedBy } = context;
  const { expected, outcome, same } = await reproduceRun(folder, {
    // read when there is something to save: until then Ctrl-C ends the command at once
    get signal() {
      return context.signal;
    },
    onNote: output.note,
    ...(flags.runDir === undefined ? {} : { runDir: flags.runDir }),
  });
  if (outcome.ending === "interrupted") {
    output.note(`stopped at step ${outcome.step}, before there was anything to compare: ${outcome.folder}`);
    return stoppedCode(stoppedBy());
  }
  output.record({ same, expected, hash: outcome.hash, folder: outcome.folder });
  output.print(
    same
      ? pc.green(`the same bytes: ${outcome.hash}`)
      : pc.red(`different bytes: expected ${expected}, got ${outcome.hash}`),
  );
  return same ? exitCodes.done : exitCodes.failed;
}
