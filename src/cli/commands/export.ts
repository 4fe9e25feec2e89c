// athanor export: a trained model in a folder of its own, for a service or for other people's programs.
import { load, modelLayouts, requireSavePlace, savedDTypes } from "../../api/index.ts";
import { fail } from "../../base/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { adapterHelp, bytesOption, choiceOption, pathOption, rawHelp } from "../options.ts";

interface ExportFlags {
  readonly layout: (typeof modelLayouts)[number];
  readonly dtype?: (typeof savedDTypes)[number];
  readonly shardSize?: number;
  readonly replace?: boolean;
  readonly raw?: boolean;
  readonly adapter?: string;
}

export const defineExport: DefineCommand = (program, run) => {
  program
    .command("export")
    .description("write a trained model into a folder of its own")
    .argument("<run>", "a run, checkpoint, saved model, or Hugging Face folder")
    .argument("<folder>", "where to write it; must not be there yet")
    .option(
      "--layout <name>",
      `${modelLayouts.join(", ")}: for load(), or for Transformers`,
      choiceOption("--layout", modelLayouts),
      "athanor",
    )
    .option(
      "--dtype <name>",
      `${savedDTypes.join(", ")}: of the parameters; left out, as trained`,
      choiceOption("--dtype", savedDTypes),
    )
    .option(
      "--shard-size <bytes>",
      "with --layout huggingface: a larger model is written in several files (default: 5GiB)",
      bytesOption("--shard-size"),
    )
    .option("--replace", "take the place of a model that was exported there before")
    .option("--adapter <folder>", adapterHelp, pathOption("--adapter"))
    .option("--raw", rawHelp)
    .action(run(exportModel));
};

async function exportModel(
  { output }: CommandContext,
  source: string,
  folder: string,
  flags: ExportFlags,
): Promise<undefined> {
  const { layout, dtype, shardSize: shardBytes, replace = false, raw, adapter } = flags;
  if (shardBytes !== undefined && layout !== "huggingface")
    fail("cli/argument", "only the layout of Hugging Face has several files", {
      where: "--shard-size",
      expected: "--layout huggingface beside it",
      got: `--layout ${layout}`,
      fix: "leave it out, or export for Transformers",
    });
  const target = pathOption("<folder>")(folder);
  await requireSavePlace(target, replace);
  const model = await load(source, { adapter, weights: raw ? "raw" : "averaged", onNote: output.note });
  await model.save(target, { layout, dtype, replace, shardBytes });
  output.record({ folder: target, layout, ...(dtype === undefined ? {} : { dtype }) });
  output.print(`written: ${target}`);
  return undefined;
}
