// athanor init: a small project that is ready to train.
import { fail, shellWord } from "../../base/index.ts";
import { initProject, type ProjectModel, projectModels } from "../../recipe/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { pathOption } from "../options.ts";

interface InitFlags {
  readonly model?: string;
  readonly data?: string;
}

export const defineInit: DefineCommand = (program, run) => {
  program
    .command("init")
    .description("write a small project that is ready to train: recipe, data, README")
    .argument("<folder>", "a new folder, or an empty one")
    .option("--model <name>", `${projectModels.join(", ")} (default: mlp, for --data of .txt gpt)`)
    .option(
      "--data <file>",
      "your own .csv, .tsv, .jsonl or .txt (default: a small file is made)",
      pathOption("--data"),
    )
    .action(run(init));
};

async function init({ output }: CommandContext, folder: string, flags: InitFlags): Promise<undefined> {
  const { model, data } = flags;
  if (model !== undefined && !projectModels.includes(model as ProjectModel)) {
    fail("cli/model", `there is no project for ${model}`, {
      where: "--model",
      expected: projectModels.join(", "),
      got: model,
      fix: "start with one of them, and change athanor.yaml",
    });
  }
  const files = await initProject(folder, {
    ...(model === undefined ? {} : { model: model as ProjectModel }),
    ...(data === undefined ? {} : { data }),
  });
  output.record({ folder, files });
  output.print(`${folder}: ${files.join(", ")}\n\ntrain it:\n  cd ${shellWord(folder)} && npx athanor train`);
  return undefined;
}
