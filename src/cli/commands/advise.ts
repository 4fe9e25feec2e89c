// athanor advise: what to change in a run, surest first, each with its evidence and a command that can be typed.
import pc from "picocolors";
import { shellWord } from "../../base/index.ts";
import { type Advice, adviseRun } from "../../study/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { wholeOption } from "../options.ts";

export const defineAdvise: DefineCommand = (program, run) => {
  program
    .command("advise")
    .description("what to change in a run: learning rate, overfitting, size, dead weights")
    .argument("<run>", "folder of a run")
    .option("--trial-steps <n>", "steps of each short training (default: 200)", wholeOption("--trial-steps"))
    .option("--record-only", "judge the run's record alone, without trainings")
    .action(run(advise));
};

const titles: Readonly<Record<Advice["problem"], string>> = {
  "dead weights": "weights are dead: another activation, a lower rate, or other initial weights",
  "rate too high": "the learning rate is too high",
  "rate too low": "the learning rate is too low",
  overfitting: "the model learns the training rows by heart",
  "model too small": "the model is too small for what there is to learn",
};

async function advise(
  { output }: CommandContext,
  path: string,
  flags: { trialSteps?: number; recordOnly?: true },
): Promise<undefined> {
  const { advice, recipePath, told, folder } = await adviseRun(path, {
    ...(flags.trialSteps === undefined ? {} : { trialSteps: flags.trialSteps }),
    ...(flags.recordOnly ? { trialSteps: 0 } : {}),
    onNote: output.note,
  });
  const command = (change: readonly string[]) =>
    recipePath === undefined
      ? `in the recipe: ${change.join(", ")}`
      : `npx athanor train ${shellWord(recipePath)} ${change.map((one) => `--set ${shellWord(one)}`).join(" ")}`;
  output.record({
    folder,
    advice: advice.map((one) => ({ ...one, commands: one.changes.map(command) })),
    told,
  });
  if (advice.length === 0)
    output.print(told.length > 0 ? "no more than the run was told" : pc.green("nothing to change"));
  for (const [at, { problem, confidence, evidence, changes }] of advice.entries()) {
    output.print(`${at + 1}. ${pc.bold(titles[problem])} (confidence ${confidence.toFixed(2)})`);
    for (const line of evidence) output.print(`   ${line}`);
    for (const change of changes) output.print(`   try  ${command(change)}`);
  }
  if (told.length > 0) output.print(`the run was told ${told.join(", ")}: see docs/watch.md`);
  return undefined;
}
