// Words with a label each for a model that labels tokens: read, split, tokenized to one length.
import { createHash } from "node:crypto";
import {
  type LabelledSentence,
  LabelledWordDataset,
  makeTokenizer,
  readLabelledWords,
  specialIds,
  splitRows,
} from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { tokenClassificationTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import { chosenModel, contextOf } from "./chosen-model.ts";
import { counted, firstOf, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";
import { tokenizerSpec } from "./text-data.ts";

export async function prepareLabelledWords(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data, seed } = recipe;
  const reading = { invalid: data.invalid };
  const { sentences, sha256, ...report } = await readLabelledWords(
    data.path === undefined ? { records: data.rows! } : { path: data.path },
    reading,
  );
  const other =
    data.heldOutPath === undefined ? undefined : await readLabelledWords({ path: data.heldOutPath }, reading);
  const split = splitRows(sentences.length, { validation: other === undefined ? data.heldOut : 0, seed });
  const [train, heldOut] = [
    split.train.map((at) => sentences[at]!),
    other?.sentences ?? split.validation.map((at) => sentences[at]!),
  ];
  const texts = (some: readonly LabelledSentence[]) => some.map(({ words }) => ` ${words.join(" ")}`);
  const spec = tokenizerSpec(recipe.tokenizer ?? "byte", options);
  const tokenizer = await makeTokenizer(spec, texts(train), texts([...train, ...heldOut]));
  const classes = [...new Set([...train, ...heldOut].flatMap(({ labels }) => labels))].sort();
  const [family, config] = chosenModel(recipe);
  const length = contextOf(family, config, "token-classification");
  const built = modelFamily(family).build(config, {
    ...{ task: "token-classification", vocab: specialIds(tokenizer).size, outputs: classes.length },
  });
  const part = (some: readonly LabelledSentence[], name: string) => {
    const hash = createHash("sha256").update(
      [sha256, other?.sha256, tokenizer.hash, length, name, data.heldOut, seed].join("/"),
    );
    const fingerprint = hash.digest("hex").slice(0, 16);
    return new LabelledWordDataset(some, { tokenizer, classes, length, fingerprint });
  };
  const [rows, heldOutRows] = [part(train, "train"), part(heldOut, "held out")];
  options.onNote?.(
    `${counted(train.length + heldOut.length, "sentence")}, words of ${classes.length} labels: ${firstOf(classes)}`,
  );
  const cut = rows.cut + heldOutRows.cut;
  if (cut > 0) options.onNote?.(`${counted(cut, "sentence")} longer than the context: their ends are not read`);
  tellInvalid(report, options.onNote);
  return {
    family,
    built,
    classes,
    task: tokenClassificationTask(length),
    ...trainingSource(rows, recipe, { order: "shuffled" }),
    heldOut: () => heldOutBatches(heldOutRows, evaluationRows(recipe)),
    warnings: [],
    dataHash: sha256,
    tokenizer,
    files: { "tokenizer.json": JSON.stringify(tokenizer) },
  };
}
