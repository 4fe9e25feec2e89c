// Questions about texts for a model that finds the answer in the text: read, split by text, tokenized into windows.
import { createHash } from "node:crypto";
import {
  makeTokenizer,
  type Question,
  QuestionDataset,
  QuestionEncoder,
  readQuestionFile,
  specialIds,
  splitRows,
} from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { spanTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import { chosenModel, contextOf } from "./chosen-model.ts";
import { counted, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";
import { tokenizerSpec } from "./text-data.ts";

export async function prepareQuestions(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data, seed } = recipe;
  const reading = { invalid: data.invalid };
  const input = data.path === undefined ? { records: data.rows! } : { path: data.path };
  const { questions: read, sha256, ...report } = await readQuestionFile(input, reading);
  const other =
    data.heldOutPath === undefined ? undefined : await readQuestionFile({ path: data.heldOutPath }, reading);
  const questions = [...read, ...(other?.questions ?? [])];
  const texts = [...new Set(read.map(({ context }) => context))];
  const split = splitRows(texts.length, { validation: other === undefined ? data.heldOut : 0, seed });
  const trained = new Set(split.train.map((at) => texts[at]!)); // a text is trained on or held out, with all its questions
  const train = read.filter(({ context }) => trained.has(context));
  const heldOut = other?.questions ?? read.filter(({ context }) => !trained.has(context));
  const written = (some: readonly Question[]) => [
    ...new Set(some.map(({ context }) => context)),
    ...some.map(({ question }) => question),
  ];
  const spec = tokenizerSpec(recipe.tokenizer ?? "byte", options);
  const tokenizer = await makeTokenizer(spec, written(train), written(questions));
  const [family, config] = chosenModel(recipe);
  const built = modelFamily(family).build(config, { task: "question-answering", vocab: specialIds(tokenizer).size });
  const length = contextOf(family, config, "question-answering");
  const encoder = new QuestionEncoder(tokenizer, length);
  const part = (some: readonly Question[], name: string) => {
    const hash = createHash("sha256").update(
      [sha256, other?.sha256, tokenizer.hash, length, name, data.heldOut, seed].join("/"),
    );
    return new QuestionDataset(some, encoder, hash.digest("hex").slice(0, 16));
  };
  const [windows, heldOutWindows] = [part(train, "train"), part(heldOut, "held out")];
  const unanswered = questions.filter(({ answers }) => answers.length === 0).length;
  options.onNote?.(
    `${counted(questions.length, "question")} about ${counted(new Set(questions.map(({ context }) => context)).size, "text")}, ${unanswered} of them without an answer, in ${counted(windows.length + heldOutWindows.length, "window")}`,
  );
  tellInvalid(report, options.onNote);
  return {
    family,
    built,
    task: spanTask(length),
    ...trainingSource(windows, recipe, { order: "shuffled" }),
    heldOut: () => heldOutBatches(heldOutWindows, evaluationRows(recipe)),
    warnings: [],
    dataHash: sha256,
    tokenizer,
    files: { "tokenizer.json": JSON.stringify(tokenizer) },
  };
}
