// Arrays that test/golden/systems.py draws too: NumPy's normals of a seed.
import { fromNumbers, type HostArray, sizeOf } from "../../base/index.ts";
import { NumpyRandom } from "../../data/index.ts";

/** `numpy.random.RandomState(seed).randn(...shape)`, times `scale`. */
export function normals(seed: number, shape: readonly number[], scale = 1): HostArray {
  const values = new NumpyRandom(seed).randn(sizeOf(shape));
  return fromNumbers(
    "f64",
    shape,
    values.map((value) => value * scale),
  );
}

export function ids(values: readonly number[]): HostArray {
  return fromNumbers("i32", [values.length], values);
}
