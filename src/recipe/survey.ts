// A survey of data that is ready for training: how much of the held-out part stands in the training part too, what the best constant
// answer would lose, which column gives the target away. Judges nothing.
import {
  type Batch,
  type Dataset,
  featureWidth,
  type TableDataset,
  type TableEncoderData,
  type TokenStore,
} from "../data/index.ts";

const rowsAtOnce = 1024;

/** Share of the held-out rows that stand in the training part, inputs and target alike. */
export async function seenRows<B extends Batch>(train: Dataset<B>, heldOut: Dataset<B>): Promise<number> {
  const held = new Map<number, number>();
  for await (const key of rowKeys(heldOut)) held.set(key, (held.get(key) ?? 0) + 1);
  let seen = 0;
  for await (const key of rowKeys(train)) {
    seen += held.get(key) ?? 0;
    held.delete(key);
  }
  return seen / Math.max(1, heldOut.length);
}

/** A number of 53 bits for each row: equal rows, equal numbers. */
async function* rowKeys<B extends Batch>(dataset: Dataset<B>): AsyncGenerator<number> {
  for (let start = 0; start < dataset.length; start += rowsAtOnce) {
    const rows = Math.min(rowsAtOnce, dataset.length - start);
    const batch = await dataset.collate(Array.from({ length: rows }, (_, at) => start + at));
    const feeds = Object.values(batch as Batch).map(({ data: { buffer, byteOffset, byteLength } }) =>
      (byteLength / rows) % 4 === 0 && byteOffset % 4 === 0
        ? new Int32Array(buffer, byteOffset, byteLength / 4)
        : new Uint8Array(buffer, byteOffset, byteLength),
    );
    for (let row = 0; row < rows; row++) {
      let [high, low] = [0x811c9dc5, 0x9747b28c];
      for (const words of feeds) {
        const width = words.length / rows;
        for (let at = row * width; at < (row + 1) * width; at++) {
          high = Math.imul(high ^ words[at]!, 0x01000193);
          high ^= high >>> 13;
          low = Math.imul(low + words[at]!, 0x5bd1e995) ^ (low >>> 15);
        }
      }
      yield (high >>> 0) * 2 ** 21 + (low >>> 11);
    }
  }
}

const stretch = 32;
const mostStretches = 4096;
const mostTokens = 2 ** 22;
const base = 0x01000193;

/** Share of the held-out text, in stretches of 32 tokens, that stands in the training text word for word; of large texts, of their beginnings. */
export async function seenTokens(train: TokenStore, heldOut: TokenStore): Promise<number> {
  const held = new Map<number, number>();
  const count = Math.min(mostStretches, Math.floor(heldOut.length / stretch));
  const tokens = await heldOut.read(0, count * stretch);
  for (let at = 0; at < count; at++) {
    let key = 0;
    for (const token of tokens.subarray(at * stretch, (at + 1) * stretch)) key = (Math.imul(key, base) + token) | 0;
    held.set(key, (held.get(key) ?? 0) + 1);
  }
  const text = await train.read(0, Math.min(mostTokens, train.length));
  let leaving = 1;
  for (let at = 0; at < stretch; at++) leaving = Math.imul(leaving, base);
  let [key, seen] = [0, 0];
  for (let at = 0; at < text.length; at++) {
    key = (Math.imul(key, base) + text[at]! - (at < stretch ? 0 : Math.imul(text[at - stretch]!, leaving))) | 0;
    if (at < stretch - 1) continue;
    const found = held.get(key);
    if (found === undefined) continue;
    seen += found;
    held.delete(key);
  }
  return seen / Math.max(1, count);
}

/** Entropy in nats of how often each value occurs: the mean cross-entropy of the best constant answer. */
export function entropy(values: ArrayLike<number>): number {
  const counts = new Map<number, number>();
  for (let at = 0; at < values.length; at++) counts.set(values[at]!, (counts.get(values[at]!) ?? 0) + 1);
  return [...counts.values()].reduce(
    (sum, count) => sum - (count / values.length) * Math.log(count / values.length),
    0,
  );
}

/** Tokens' entropy, of the beginning of a large text. */
export async function tokenEntropy(tokens: TokenStore): Promise<number> {
  return entropy(await tokens.read(0, Math.min(mostTokens, tokens.length)));
}

/** In how many ways rows of a table could differ, by the values that each column has. */
export function possibleRows(table: TableDataset, { features }: Pick<TableEncoderData, "features">): number {
  let [product, start] = [1, 0];
  for (const feature of features) {
    if (feature.kind === "number") {
      const values = new Set<number>();
      for (let row = 0; row < table.length; row++) values.add(table.features[row * table.numFeatures + start]!);
      product *= values.size;
    } else product *= feature.kind === "boolean" ? 2 : feature.values.length;
    start += featureWidth(feature);
  }
  return product;
}

/**
 * A column, of several, that is the target under another name: it has one value for each class and the other way round, or is a
 * multiple of the numbers to predict plus a constant.
 */
export function leakingColumn(
  table: TableDataset,
  { features, target }: Pick<TableEncoderData, "features" | "target">,
): string | undefined {
  if (features.length < 2) return undefined;
  let start = 0;
  for (const feature of features) {
    const [width, offset] = [featureWidth(feature), start];
    start += width;
    const value = (row: number) => {
      const from = row * table.numFeatures + offset;
      return width === 1 ? table.features[from]! : table.features.subarray(from, from + width).indexOf(1);
    };
    const isCopy = target.task === "classification" ? isRenaming(table.targets, value) : isAffine(table.targets, value);
    if (isCopy && (target.task === "classification" || feature.kind === "number")) return feature.name;
  }
  return undefined;
}

function isRenaming(targets: ArrayLike<number>, value: (row: number) => number): boolean {
  const [classes, values] = [new Map<number, number>(), new Map<number, number>()];
  for (let row = 0; row < targets.length; row++) {
    const [one, target] = [value(row), targets[row]!];
    if ((classes.get(one) ?? target) !== target || (values.get(target) ?? one) !== one) return false;
    classes.set(one, target);
    values.set(target, one);
  }
  return classes.size > 1;
}

/** Whether the correlation is 1 or −1, but for rounding to f32. */
function isAffine(targets: ArrayLike<number>, value: (row: number) => number): boolean {
  const count = targets.length;
  let [meanX, meanY] = [0, 0];
  for (let row = 0; row < count; row++) {
    meanX += value(row) / count;
    meanY += targets[row]! / count;
  }
  let [xx, xy, yy] = [0, 0, 0];
  for (let row = 0; row < count; row++) {
    const [x, y] = [value(row) - meanX, targets[row]! - meanY];
    xx += x * x;
    xy += x * y;
    yy += y * y;
  }
  return xx > 0 && yy > 0 && count > 2 && xy ** 2 / (xx * yy) > 1 - 1e-9;
}
