// athanor predict: answers of a trained model for the rows of a file: classes, numbers, choices, texts made from texts.
import type { Command } from "commander";
import { load, type PredictInput, type Prediction } from "../../api/index.ts";
import { fail, shellWord } from "../../base/index.ts";
import { readIdx, readJsonRecords, readTable, readText, type TableRecord } from "../../data/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { numberOption, rawHelp, refuseUnused, wholeOption } from "../options.ts";

export const definePredict: DefineCommand = (program, run) => {
  program
    .command("predict")
    .description("predict the rows of a file with a trained model")
    .argument("<run>", "a run, checkpoint, or saved model")
    .argument("<file>", "CSV, TSV or JSON Lines; a .txt with one text a line for models of texts; IDX for images")
    .option("--beams <n>", "models that write texts: sequences followed at once", wholeOption("--beams"), 1)
    .option(
      "--length-penalty <p>",
      "models that write texts: more favours longer ones",
      numberOption("--length-penalty"),
      1,
    )
    .option("--raw", rawHelp)
    .action(run(predict));
};

async function predict(
  { output }: CommandContext,
  folder: string,
  file: string,
  { raw, ...beams }: { readonly raw?: boolean; readonly beams: number; readonly lengthPenalty: number },
  command: Command,
): Promise<undefined> {
  const model = await load(folder, { weights: raw ? "raw" : "averaged", onNote: output.note });
  if (model.description.task === "language-model")
    fail("model/task", "a language model predicts no rows", {
      where: folder,
      expected: "a classifier or a regression",
      got: "a language model",
      fix: `npx athanor generate ${shellWord(folder)}`,
    });
  if (model.description.task !== "sequence-to-sequence")
    refuseUnused(command, ["beams", "lengthPenalty"], "this model writes no texts");
  const isNested = ["question-answering", "token-classification", "multiple-choice"].includes(model.description.task);
  const rowsOf = isNested && /json/.test(file) ? nested : records;
  const readRows = /\.txt(\.gz)?$/.test(file) ? lines : /idx\d-ubyte(\.gz)?$/.test(file) ? images : rowsOf;
  const rows: readonly PredictInput[] = await readRows(file);
  if (rows.length === 0)
    fail("data/empty", "there is nothing to predict", { where: file, expected: "at least one row", got: "none" });
  const predictions = await model.predict(rows, beams);
  predictions.forEach((prediction, at) => {
    output.record({ row: at + 1, ...prediction });
    output.print(printed(prediction));
  });
  return undefined;
}

function printed(prediction: Prediction): string {
  if ("text" in prediction) return prediction.text;
  if ("entities" in prediction) return prediction.words.map((word, at) => `${word}/${prediction.labels[at]}`).join(" ");
  if ("choice" in prediction) return `${prediction.index}\t${prediction.probability.toFixed(4)}\t${prediction.choice}`;
  if ("answer" in prediction) return `${prediction.answer}\t${prediction.score.toFixed(4)}`;
  if ("vector" in prediction) return prediction.vector.join("\t");
  return "label" in prediction ? `${prediction.label}\t${prediction.probability.toFixed(4)}` : String(prediction.value);
}

/** A row for a line: the answers stand beside the texts. */
async function lines(file: string): Promise<string[]> {
  const { text } = await readText({ path: file });
  const texts = text.split(/\r?\n/);
  if (texts.at(-1) === "") texts.pop(); // the end of the last line
  const empty = texts.findIndex((line) => line.trim() === "");
  if (empty >= 0)
    fail("data/record", "a line is empty", {
      where: `${file}, line ${empty + 1}`,
      expected: "a text in every line, so that there is an answer for each",
      got: "nothing",
      fix: "take the line out",
    });
  return texts;
}

async function images(file: string): Promise<Uint8Array[]> {
  const { shape, data } = await readIdx(file);
  const width = data.length / Math.max(1, shape[0]!);
  return Array.from({ length: shape[0]! }, (_, row) => data.subarray(row * width, (row + 1) * width));
}

/** Records whose cells may be lists. */
async function nested(file: string): Promise<PredictInput[]> {
  return (await readJsonRecords({ path: file })).records as PredictInput[];
}

async function records(file: string): Promise<TableRecord[]> {
  const { names, columns, rows } = await readTable({ path: file });
  return rows.map((_, row) => Object.fromEntries(names.map((name, column) => [name, columns[column]![row]])));
}
