// What looks wrong with the data or the schedule of a recipe, though training could go on: told as warnings. Errors stand where
// they are found.
import { AthanorError, type Clock, positionOf } from "../base/index.ts";
import type { Batch, Dataset, TableDataset, TableEncoderData, TokenStore } from "../data/index.ts";
import type { Schedule } from "../optim/index.ts";
import { leakingColumn, possibleRows, seenRows, seenTokens } from "./survey.ts";

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

function seenWarning(share: number, unit: string, where: string): AthanorError[] {
  if (share < 0.2) return [];
  return [
    new AthanorError("data/held-out-seen", "held-out data stand in the training data: their loss shows memory too", {
      where,
      expected: `held-out ${unit} that training does not have`,
      got: `${percent(share)} of them stand there, equal in everything`,
      fix: "take out what is there twice, before the split",
    }),
  ];
}

/** Images that stand on both sides. */
export async function imageWarnings<B extends Batch>(train: Dataset<B>, heldOut: Dataset<B>, where: string) {
  return seenWarning(await seenRows(train, heldOut), "images", where);
}

/** Rows of a table: those that stand on both sides, and a column that gives the target away. */
export async function tableWarnings(
  train: TableDataset,
  heldOut: TableDataset,
  encoder: TableEncoderData,
  where: string,
): Promise<AthanorError[]> {
  // of few columns with few values, equal rows are no wonder
  const isWonder = possibleRows(train, encoder) > 100 * (train.length + heldOut.length);
  const column = leakingColumn(train, encoder);
  return [
    ...(isWonder ? seenWarning(await seenRows(train, heldOut), "rows", where) : []),
    ...(column === undefined
      ? []
      : [
          new AthanorError("data/leaked-target", "a column is the target under another name", {
            where: `${where}, column ${column}`,
            expected: `a column that is known before ${encoder.target.name} is`,
            got:
              encoder.target.task === "classification"
                ? `one value of ${column} for each class, in every row`
                : `${column} gives ${encoder.target.name} by a factor and a constant, in every row`,
            fix: `if so, set data.columns.${column} to ignore`,
          }),
        ]),
  ];
}

/** Labelled texts: those that stand on both sides, and how many the model reads a part of. */
export async function textWarnings<B extends Batch>(
  train: Dataset<B> & { readonly cut: number },
  heldOut: Dataset<B> & { readonly cut: number },
  { path = "data.rows", family }: { readonly path: string | undefined; readonly family: string },
): Promise<AthanorError[]> {
  const [texts, cut, context] = [train.length + heldOut.length, train.cut + heldOut.cut, `model.${family}.context`];
  return [
    ...seenWarning(await seenRows(train, heldOut), "texts", path),
    ...(cut > 0.1 * texts
      ? [
          new AthanorError("data/truncated", "texts are longer than what the model reads of them", {
            where: context,
            expected: "a context that most texts fit in",
            got: `${cut} of ${texts} texts are cut`,
            fix: `raise ${context}, or shorten the texts so that what matters in them comes first`,
          }),
        ]
      : []),
  ];
}

/** Conversations or documents that stand on both sides. */
export async function conversationWarnings<B extends Batch>(
  { train, heldOut }: { readonly train: Dataset<B>; readonly heldOut: Dataset<B> },
  where: string,
): Promise<AthanorError[]> {
  return seenWarning(await seenRows(train, heldOut), "sequences", where);
}

/** A text that is cut into a training and a held-out part. */
export async function tokenWarnings(train: TokenStore, heldOut: TokenStore, where: string): Promise<AthanorError[]> {
  return seenWarning(await seenTokens(train, heldOut), "stretches of 32 tokens", where);
}

/** A rate that never reaches its height. */
export function scheduleWarnings(schedule: Schedule, steps: number, onClock: (step: number) => Clock): AthanorError[] {
  const end = positionOf(onClock(steps), schedule.unit);
  for (const { position, what } of steps > 0 ? (schedule.boundaries?.() ?? []) : []) {
    if (position < end) continue;
    if (what !== "warm-up ends") break;
    return [
      new AthanorError("optim/warm-up", "the run ends before its warm-up does", {
        where: `lr (${schedule.describe()})`,
        expected: `a warm-up shorter than the run's ${end} ${schedule.unit}`,
        got: `${position} ${schedule.unit}`,
        fix: "shorten the warm-up, or raise steps",
      }),
    ];
  }
  return [];
}
