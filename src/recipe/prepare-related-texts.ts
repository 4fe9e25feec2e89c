// Pairs of texts that belong together, for an encoder whose vectors tell it: read, split by source, tokenized.
import { fail } from "../base/index.ts";
import { prepareTextPairs, relatedTexts, specialIds, type TableInput } from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { embeddingTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import { chosenModel, contextOf } from "./chosen-model.ts";
import { given, readingSettings } from "./given.ts";
import { counted, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";
import { tokenizerSpec } from "./text-data.ts";

export async function prepareRelatedTexts(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data, loss = {} } = recipe;
  const [family, config] = chosenModel(recipe);
  const context = contextOf(family, config, "embedding");
  const { infoNce = { temperature: 0.05, symmetric: true } } = loss;
  const [other] = Object.keys(loss).filter((name) => name !== "infoNce");
  const { target = "target", text: source = "source" } = data;
  if (other !== undefined || typeof target === "number")
    fail("config/embedding", "vectors are learnt from two columns by their names, with the loss infoNce", {
      where: other === undefined ? "data.target" : `loss.${other}`,
      expected: other === undefined ? "a column's name" : "infoNce",
      got: other ?? String(target),
      fix: other === undefined ? "name the column" : "leave loss out",
    });
  const input: TableInput<Record<string, string>> =
    data.path === undefined ? { records: data.rows as Iterable<Record<string, string>> } : { path: data.path };
  const { train, validation, heldOut, tokenizer, sha256, ...report } = await prepareTextPairs(input, {
    ...{ source, target: target as string, validation: data.heldOut, seed: recipe.seed, invalid: data.invalid },
    heldOut: data.heldOutPath === undefined ? undefined : { path: data.heldOutPath },
    tokenizer: tokenizerSpec(recipe.tokenizer ?? "byte", options),
    layout: () => ({ context, targetContext: context, start: 0, end: 0 }), // each side is framed by itself
    ...given(data, readingSettings),
  });
  const special = specialIds(tokenizer);
  options.onNote?.(`${counted(train.length + validation.length, "pair")} of texts that belong together`);
  tellInvalid(report, options.onNote);
  const rows = { train: relatedTexts(train, special, context), heldOut: relatedTexts(validation, special, context) };
  const training = trainingSource(rows.train, recipe, { order: "shuffled" });
  if (training.batches.microbatch < 2)
    fail("config/embedding", "a pair alone has no others to be told from", {
      where: "batch",
      expected: "two pairs or more in a microbatch, better many",
      got: "1",
      fix: "raise batch.size, or batch.microbatch",
    });
  return {
    family,
    built: modelFamily(family).build(config, { task: "embedding", vocab: special.size }),
    textColumn: source,
    task: embeddingTask(context, infoNce),
    ...training,
    heldOutPairs: heldOut,
    heldOut: () => heldOutBatches(rows.heldOut, evaluationRows(recipe)),
    warnings: [],
    dataHash: sha256,
    tokenizer,
    files: { "tokenizer.json": JSON.stringify(tokenizer) },
  };
}
