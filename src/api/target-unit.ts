// The unit of the numbers that a model reads off texts: its last layer gives them at mean 0 and deviation 1 of its training data. A model in
// Hugging Face's layout gives the target's own unit, and training on other data has another one.
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import type { TargetUnit } from "../data/index.ts";
import { modelFamily } from "../models/index.ts";

export const ownUnit: TargetUnit = { mean: 0, scale: 1 };

/** A parameter of a last layer of one output, so that what it gave in one unit it gives in another; other parameters as they are. */
export function inUnit(
  name: string,
  tensor: HostArray,
  { family, from = ownUnit, to = ownUnit }: { family: string; from?: TargetUnit | undefined; to?: TargetUnit },
): HostArray {
  const { dtype, shape } = tensor;
  const { isHead = () => true } = modelFamily(family);
  if (shape.at(-1) !== 1 || shape.length > 2 || !isHead(name)) return tensor;
  const offset = shape.length === 1 ? from.mean - to.mean : 0;
  return fromNumbers(
    dtype,
    shape,
    toNumbers(tensor).map((value) => (value * from.scale + offset) / to.scale),
  );
}
