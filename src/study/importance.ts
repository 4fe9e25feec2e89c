// Permutation importance (Breiman 2001; Fisher, Rudin & Dominici 2019): by how much a trained table model's loss rises when a column's
// values change rows, so that they say nothing any more. Trains nothing, prints nothing.
import type { TrainedModel } from "../api/index.ts";
import { fail } from "../base/index.ts";
import { type EncodedRows, Permutation, type TableEncoder, type TableRecord } from "../data/index.ts";
import { softmaxOf } from "../train/index.ts";
import { type MeanInterval, meanInterval } from "./student.ts";

export interface ImportanceOptions {
  /** Times that each column is permuted; default 10. */
  readonly repeats?: number;
  readonly seed?: number;
}

export interface ColumnImportance {
  readonly column: string;
  /** By how much the mean loss per row rises: nats for classes, squared units of the target for numbers. */
  readonly rise: MeanInterval;
}

export interface Importance {
  /** Of the rows as they are. */
  readonly loss: number;
  readonly rows: number;
  readonly repeats: number;
  /** The largest rise first. */
  readonly columns: readonly ColumnImportance[];
}

type Records = readonly TableRecord[];
/** Rows as the model reads them: `heldOutRows` of a run. */
type HeldOut = Pick<EncodedRows, "features" | "targets">;

/**
 * Importance of a model's columns on rows with their targets, which should be rows that it was not trained on. The intervals (95 %) are
 * of other rows drawn from the same source: a row counts as the one whose value is replaced and as the one whose value it gets. What
 * columns have in common, the model may take from either: then neither matters much. Errors with `model/task`, `config/importance`, and
 * those of encoding rows.
 */
export async function permutationImportance(
  model: TrainedModel,
  data: Records | HeldOut,
  { repeats = 10, seed = 1 }: ImportanceOptions = {},
): Promise<Importance> {
  const { encoder } = model;
  if (encoder === undefined)
    return fail("model/task", "only columns of a table have an importance", {
      where: model.folder,
      expected: "a model of a table",
      got: `a model of texts (${model.description.task})`,
      fix: "give the folder of a run on a table",
    });
  const { features, targets } = "features" in data ? (data as HeldOut) : encodeRecords(encoder, data as Records);
  const rows = targets.length;
  if (rows < 3 || !(Number.isInteger(repeats) && repeats >= 1))
    fail("config/importance", "an importance needs rows to exchange values between", {
      where: "rows, repeats",
      expected: "3 rows or more, each column permuted once or more",
      got: `${rows} rows, ${repeats} repeats`,
      fix: "give more",
    });
  const lossesOf = async (inputs: Float32Array) =>
    (await model.outputs(inputs)).map((output, row) => rowLoss(model, output, targets[row]!));
  const whole = await lossesOf(features);
  const { numFeatures } = encoder;
  const columns: ColumnImportance[] = [];
  for (const { name, offset, width } of encoder.columns) {
    const rises = new Float64Array(rows); // a row's own, and those that its value brought about in others
    for (let repeat = 0; repeat < repeats; repeat++) {
      const order = new Permutation(rows, { seed, name: `importance/${name}`, epoch: repeat });
      const permuted = features.slice();
      const donors = new Int32Array(rows); // the next in a random circle: never the row itself
      for (let place = 0; place < rows; place++) {
        const [row, donor] = [order.at(place), order.at((place + 1) % rows)];
        const start = donor * numFeatures + offset;
        permuted.set(features.subarray(start, start + width), row * numFeatures + offset);
        donors[row] = donor;
      }
      for (const [row, loss] of (await lossesOf(permuted)).entries()) {
        rises[row]! += (loss - whole[row]!) / repeats;
        rises[donors[row]!]! += (loss - whole[row]!) / repeats;
      }
    }
    const { mean, half } = meanInterval([...rises]);
    columns.push({ column: name, rise: { mean: mean / 2, half: half!, count: rows } });
  }
  columns.sort((a, b) => b.rise.mean - a.rise.mean);
  return { loss: meanInterval(whole).mean, rows, repeats, columns };
}

function encodeRecords(encoder: TableEncoder, records: Records): HeldOut {
  const { name } = encoder.data.target;
  const target = (record: TableRecord, at: number) =>
    encoder.encodeTarget(record[name] ?? null, () => `row ${at + 1}, column ${name}`);
  return { features: encoder.encodeRows(records), targets: Float32Array.from(records, target) };
}

/** Cross-entropy of a class, or the squared error of a number in the target's unit. */
function rowLoss({ encoder, description }: TrainedModel, output: Float64Array, target: number): number {
  if (description.task === "classification") return -Math.log(Math.max(softmaxOf(output)[target]!, Number.MIN_VALUE));
  return (encoder!.decodeTarget(output[0]!) - encoder!.decodeTarget(target)) ** 2;
}
