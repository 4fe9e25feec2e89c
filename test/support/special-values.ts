// Points at which functions are easy to get wrong, with the values that IEEE 754, PyTorch or the definition gives. All are
// exact in f32, so every engine is held to the same table.
import { fromNumbers, type HostArray } from "../../src/base/index.ts";
import {
  argMax,
  attention,
  crossEntropy,
  cumulativeSum,
  gradients,
  logSoftmax,
  max,
  maximum,
  minimum,
  mod,
  pow,
  prod,
  reshape,
  scatterAdd,
  scatterAlong,
  softmax,
  sum,
  type Tensor,
  takeAlong,
  updateSlice,
  where,
} from "../../src/core/index.ts";

export interface SpecialValue {
  readonly name: string;
  readonly inputs: readonly (number | readonly number[] | HostArray)[];
  readonly compute: (...inputs: Tensor[]) => Tensor;
  readonly expected: readonly number[];
}

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
const i32 = (...values: number[]): HostArray => fromNumbers("i32", [values.length], values);
const i32Scalar = (value: number): HostArray => fromNumbers("i32", [], [value]);
const slope =
  (of: (...inputs: Tensor[]) => Tensor, at = 0) =>
  (...inputs: Tensor[]): Tensor =>
    gradients([of(...inputs).sum()], [inputs[at]!])[0]!;

const point = (
  name: string,
  inputs: SpecialValue["inputs"],
  compute: SpecialValue["compute"],
  expected: readonly number[],
): SpecialValue => ({ name, inputs, compute, expected });

export const specialValues: readonly SpecialValue[] = [
  point("relu keeps NaN", [[-1, 0, 2, nan, inf, -inf]], (x) => x.relu(), [0, 0, 2, nan, inf, 0]),
  point("sign of zero and NaN", [[-3, 0, 3, nan, -inf]], (x) => x.sign(), [-1, 0, 1, nan, -1]),
  point("round is to even", [[0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.75]], (x) => x.round(), [0, 2, 2, 0, -2, -2, 1]),
  point("floor and ceil", [[-1.5, 1.5, -0.25]], (x) => x.floor().sub(x.ceil().mul(10)), [8, -19, -1]),
  point(
    "mod has the divisor's sign",
    [
      [5, -5, 5, -5, 6],
      [3, 3, -3, -3, 3],
    ],
    mod,
    [2, 1, -1, -2, 0],
  ),
  point("mod of integers", [i32(5, -5, 5, -5), i32(3, 3, -3, -3)], mod, [2, 1, -1, -2]),
  point(
    "maximum passes NaN on",
    [
      [nan, 1, 2, -inf],
      [1, nan, 3, -5],
    ],
    maximum,
    [nan, nan, 3, -5],
  ),
  point(
    "minimum passes NaN on",
    [
      [nan, 1, 2, -inf],
      [1, nan, 3, -5],
    ],
    minimum,
    [nan, nan, 2, -inf],
  ),
  point(
    "powers",
    [
      [0, -2, 2, 4, 0, 1],
      [0, 3, -1, 0.5, 2, nan],
    ],
    pow,
    [1, -8, 0.5, 2, 0, 1],
  ),
  point("roots and logarithms at the edge", [[0, -1, inf]], (x) => x.sqrt().add(x.log().mul(0.5)), [-inf, nan, inf]),
  point("reciprocals of zero", [[0, 4]], (x) => x.reciprocal().add(x.rsqrt()), [inf, 0.75]),
  point("tanh and sigmoid far out", [[-inf, -200, 200, inf]], (x) => x.tanh().add(x.sigmoid()), [-1, -1, 2, 2]),
  point("exp over- and underflows", [[-1000, 0, 1000]], (x) => x.exp(), [0, 1, inf]),
  point("erf far out", [[-9, 0, 9, inf]], (x) => x.erf(), [-1, 0, 1, 1]),
  point("isFinite", [[1, nan, inf, -inf, -0]], (x) => x.isFinite().cast("i32"), [1, 0, 0, 0, 1]),
  point(
    "comparisons with NaN",
    [
      [nan, nan, 1],
      [nan, 1, 1],
    ],
    (a, b) => a.equal(b).cast("i32"),
    [0, 0, 1],
  ),
  point(
    "NaN differs from NaN",
    [
      [nan, 1],
      [nan, 1],
    ],
    (a, b) => a.notEqual(b).cast("i32"),
    [1, 0],
  ),
  point("casts truncate towards zero", [[1.75, -1.75, -0.5, 1e9]], (x) => x.cast("i32"), [1, -1, 0, 1e9]),
  point("what is not zero is true, NaN too", [[0, -0, 0.25, nan]], (x) => x.cast("bool").cast("i32"), [0, 0, 1, 1]),
  point("where does not let the other side's NaN in", [[1, nan]], (x) => where(x.isFinite(), x, 0), [1, 0]),

  point("the largest, with NaN", [[1, 5, -inf, 5]], (x) => max(x), [5]),
  point("NaN is the largest", [[1, nan, 3]], (x) => max(x), [nan]),
  point("the largest of infinities", [[-inf, -inf]], (x) => max(x), [-inf]),
  point("the first of equals wins", [[1, 5, 5, 2]], (x) => argMax(x), [1]),
  point("NaN wins over all", [[1, nan, 9, nan]], (x) => argMax(x), [1]),
  point("sums and products of nothing", [[1, 2]], (x) => sum(x.slice(0, 1, 1)).add(prod(x.slice(0, 1, 1))), [1]),
  point("running sums", [[1, 2, 3, 4]], (x) => cumulativeSum(x, 0, { exclusive: true, reverse: true }), [9, 7, 4, 0]),
  point("sums of integers", [i32(2 ** 30, -5, 2 ** 30 - 1)], (x) => x.sum(), [2 ** 31 - 6]),

  point("softmax of far numbers", [[1000, 1000, -inf, -1000]], softmax, [0.5, 0.5, 0, 0]),
  point("log-softmax of far numbers", [[1000, -1000]], logSoftmax, [0, -2000]),
  point(
    "cross-entropy of far logits",
    [
      [
        [0, 500],
        [500, 0],
        [1e9, 0],
      ] as never,
      i32(0, 0, -1),
    ],
    (logits, targets) => crossEntropy(logits, targets),
    [500, 0, 0],
  ),
  point(
    "cross-entropy's gradient in ignored rows",
    [
      [
        [0, 1000],
        [1e9, 0],
      ] as never,
      i32(1, -1),
    ],
    slope((logits, targets) => crossEntropy(logits!, targets!)),
    [0, 0, 0, 0],
  ),
  point(
    "attention of a query that sees nothing",
    [[1, 2]],
    (x) => {
      const one = reshape(x, [1, 1, 1, 2]);
      const hidden = one.slice(3, 0, 1).less(0); // false
      return attention(one, one, one, { mask: hidden });
    },
    [0, 0],
  ),
  point("equal indices add up", [i32(2, 0, 2), [1, 2, 4]], (index, x) => scatterAdd(index, x, 3), [2, 0, 5]),
  point(
    "one element a row",
    [
      [
        [1, 2],
        [3, 4],
      ] as never,
      i32(1, 0),
    ],
    (x, index) => takeAlong(x, index),
    [2, 3],
  ),
  point("one element a row, back", [i32(1, 0), [5, 6]], (index, x) => scatterAlong(index, x, 2), [0, 5, 6, 0]),
  point(
    "a start too far is clamped",
    [[1, 2, 3], [8, 9], i32Scalar(7)],
    (x, v, at) => updateSlice(x, v, at, 0),
    [1, 8, 9],
  ),
  point(
    "a start below is clamped",
    [[1, 2, 3], [8, 9], i32Scalar(-7)],
    (x, v, at) => updateSlice(x, v, at, 0),
    [8, 9, 3],
  ),

  point(
    "slope of relu and abs at 0",
    [[0, -1, 2]],
    slope((x) => x!.relu().add(x!.abs())),
    [0, -1, 2],
  ),
  point(
    "slope of a product with one zero",
    [[0, 2, 3]],
    slope((x) => prod(x!)),
    [6, 0, 0],
  ),
  point(
    "slope of a product with two zeros",
    [[0, 2, 0]],
    slope((x) => prod(x!)),
    [0, 0, 0],
  ),
  point(
    "equals share the slope of the largest",
    [[5, 1, 5, 2]],
    slope((x) => max(x!)),
    [0.5, 0, 0.5, 0],
  ),
  point(
    "equals share the slope of maximum",
    [
      [1, 2],
      [1, 1],
    ],
    slope((a, b) => maximum(a!, b!)),
    [0.5, 1],
  ),
  point(
    "slope of x⁰ at 0",
    [
      [0, 3],
      [0, 0],
    ],
    slope((a, b) => pow(a!, b!)),
    [0, 0],
  ),
  point(
    "slope of x² at 0",
    [
      [0, 3],
      [2, 2],
    ],
    slope((a, b) => pow(a!, b!)),
    [0, 6],
  ),
  point(
    "slope of 0ˣ",
    [
      [0, 1],
      [2, 5],
    ],
    slope((a, b) => pow(a!, b!), 1),
    [0, 0],
  ),
  point(
    "slope through where",
    [[1, -1]],
    slope((x) => where(x!.greater(0), x!.mul(3), x!.mul(5))),
    [3, 5],
  ),
];

/** The inputs as arrays of a floating dtype, by name. */
export function specialFeeds({ inputs }: SpecialValue, dtype: "f64" | "f32"): Record<string, HostArray> {
  return Object.fromEntries(
    inputs.map((value, at) => {
      if (typeof value === "object" && "data" in value) return [`in${at}`, value];
      const rows = typeof value === "number" ? [] : [...value];
      const shape =
        typeof value === "number" ? [] : Array.isArray(rows[0]) ? [rows.length, rows[0].length] : [rows.length];
      return [`in${at}`, fromNumbers(dtype, shape, typeof value === "number" ? [value] : (rows.flat() as number[]))];
    }),
  );
}
