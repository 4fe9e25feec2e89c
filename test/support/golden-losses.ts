// The losses that PyTorch computed (test/golden/losses.json): cases with their inputs, values and gradients. No figures of ours.
import { readFileSync } from "node:fs";
import { type DType, fromNumbers, type HostArray } from "../../src/base/index.ts";

interface Packed {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}
/** Names to places in the pool of arrays. */
type Places = { readonly [name: string]: number };

export interface LossCase {
  readonly name: string;
  readonly loss: string;
  readonly options: object;
  readonly tensors: Places;
  readonly inputs: Places;
  readonly output: number;
  readonly cotangent: number;
  readonly grads: Places;
}

const golden = new URL("../golden/losses.json", import.meta.url);
const { pool, cases } = JSON.parse(readFileSync(golden, "utf8")) as { pool: Packed[]; cases: LossCase[] };

export const lossCases: readonly LossCase[] = cases;

/** An array of the pool; its floats, which are f64 there, in the dtype asked for. */
export function unpack(place: number, floats: DType = "f64"): HostArray {
  const { dtype, shape, data } = pool[place]!;
  return fromNumbers(dtype === "f64" ? floats : dtype, shape, data);
}

export function unpackAll(places: Places, prefix = "", floats: DType = "f64"): { [name: string]: HostArray } {
  return Object.fromEntries(Object.entries(places).map(([name, place]) => [prefix + name, unpack(place, floats)]));
}
