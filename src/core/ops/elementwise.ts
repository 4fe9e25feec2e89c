// Elementwise arithmetic: one scalar function per op. Operands have equal shapes here; broadcasting is done before, as a
// view. In the native engine these are opcodes of the `tape` kernel. Comparisons and choices are in logic.ts.
import { type DType, fail, formatType, isFloat, roundTo, sameShape } from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp, type Sample, type ValueType, type VjpRule } from "../op.ts";

type None = Record<string, never>;

export function sameType(name: string, a: ValueType, b: ValueType): ValueType {
  if (a.dtype !== b.dtype || !sameShape(a.shape, b.shape)) {
    fail("shape/elementwise", `operands of ${name} differ`, {
      expected: "equal dtypes, and shapes that broadcast",
      got: `a ${formatType(a.dtype, a.shape)}, b ${formatType(b.dtype, b.shape)}`,
      fix: a.dtype === b.dtype ? "reshape one operand" : "cast one operand: x.cast(other.dtype)",
    });
  }
  return a;
}

export function needFloat(name: string, x: ValueType): ValueType {
  if (!isFloat(x.dtype)) {
    fail("dtype/float", `${name} needs a floating-point tensor`, {
      got: formatType(x.dtype, x.shape),
      fix: 'cast it: x.cast("f32")',
    });
  }
  return x;
}

function needNumber(name: string, x: ValueType): ValueType {
  if (x.dtype === "bool") {
    fail("dtype/number", `${name} needs numbers`, {
      got: formatType(x.dtype, x.shape),
      fix: 'cast it: mask.cast("f32")',
    });
  }
  return x;
}

const unarySamples = (low: number, high: number): Sample<None>[] => [
  { inputs: [{ shape: [3, 5], low, high }] },
  { inputs: [{ shape: [], low, high }] },
  { inputs: [{ shape: [0, 4], low, high }] },
  { inputs: [{ shape: [1037], low, high }] },
];

function unary(
  name: string,
  doc: string,
  scalar: (x: number) => number,
  vjp: VjpRule<["x"], None> | "zero",
  options: { low?: number; high?: number; smooth?: boolean; anyDtype?: boolean; flops?: number } = {},
) {
  const { low = -2, high = 2, smooth = true, anyDtype = false, flops = 1 } = options;
  return defineOp<["x"], None>({
    name,
    kind: "elementwise",
    doc,
    inputs: ["x"],
    infer: ([x]) => (anyDtype ? needNumber(name, x) : needFloat(name, x)),
    scalar,
    vjp,
    inPlace: [[0, 0]],
    cost: ([x]) => ({ flops: flops * size(x) }),
    samples: unarySamples(low, high).map((sample) => ({ ...sample, smooth })),
  });
}

const size = (x: ValueType | undefined): number => (x ? x.shape.reduce((a, b) => a * b, 1) : 0);

export const neg = unary(
  "neg",
  "−x",
  (x) => -x,
  ({ grad }) => [grad.neg()],
  { anyDtype: true },
);
export const abs = unary("abs", "|x|", Math.abs, ({ grad, inputs: [x] }) => [grad.mul(x.sign())], {
  low: 0.1,
  anyDtype: true,
});
export const sign = unary("sign", "−1, 0 or 1", (x) => (x > 0 ? 1 : x < 0 ? -1 : x), "zero", {
  low: 0.1,
  anyDtype: true,
});
export const exp = unary("exp", "eˣ", Math.exp, ({ grad, output }) => [grad.mul(output)], { flops: 8 });
export const log = unary("log", "natural logarithm", Math.log, ({ grad, inputs: [x] }) => [grad.div(x)], {
  low: 0.2,
  flops: 8,
});
export const log1p = unary(
  "log1p",
  "log(1 + x), exact near 0",
  Math.log1p,
  ({ grad, inputs: [x] }) => [grad.div(x.add(1))],
  { low: -0.7, flops: 8 },
);
export const expm1 = unary(
  "expm1",
  "eˣ − 1, exact near 0",
  Math.expm1,
  ({ grad, output }) => [grad.mul(output.add(1))],
  { flops: 8 },
);
export const sqrt = unary("sqrt", "√x", Math.sqrt, ({ grad, output }) => [grad.div(output.mul(2))], { low: 0.2 });
export const rsqrt = unary(
  "rsqrt",
  "1/√x",
  (x) => 1 / Math.sqrt(x),
  ({ grad, output }) => [grad.mul(output.mul(output).mul(output)).mul(-0.5)],
  { low: 0.2 },
);
export const reciprocal = unary(
  "reciprocal",
  "1/x",
  (x) => 1 / x,
  ({ grad, output }) => [grad.mul(output.square()).neg()],
  { low: 0.3 },
);
export const square = unary(
  "square",
  "x²",
  (x) => x * x,
  ({ grad, inputs: [x] }) => [grad.mul(x.mul(2))],
  { anyDtype: true },
);
export const sin = unary("sin", "sine of radians", Math.sin, ({ grad, inputs: [x] }) => [grad.mul(x.cos())], {
  flops: 8,
});
export const cos = unary("cos", "cosine of radians", Math.cos, ({ grad, inputs: [x] }) => [grad.mul(x.sin()).neg()], {
  flops: 8,
});
export const tanh = unary(
  "tanh",
  "hyperbolic tangent",
  Math.tanh,
  ({ grad, output }) => [grad.mul(output.square().neg().add(1))],
  { flops: 8 },
);
export const sigmoid = unary(
  "sigmoid",
  "1 / (1 + e⁻ˣ)",
  (x) => 1 / (1 + Math.exp(-x)),
  ({ grad, output }) => [grad.mul(output).mul(output.neg().add(1))],
  { flops: 8 },
);
export const erf = unary(
  "erf",
  "error function",
  erfScalar,
  ({ grad, inputs: [x] }) => [grad.mul(x.square().neg().exp()).mul(2 / Math.sqrt(Math.PI))],
  { flops: 12 },
);
export const floor = unary("floor", "largest integer not above x", Math.floor, "zero", { smooth: false });
export const ceil = unary("ceil", "smallest integer not below x", Math.ceil, "zero", { smooth: false });
export const round = unary("round", "nearest integer, ties to even", roundHalfEven, "zero", { smooth: false });
export const relu = unary(
  "relu",
  "max(x, 0); slope 0 at 0",
  (x) => (x > 0 || Number.isNaN(x) ? x : 0),
  ({ grad, inputs: [x] }) => [f.where(x.greater(0), grad, 0)],
  { low: 0.1 },
);

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** erf to f64 accuracy: Taylor series up to |x| = 2.5, above it the continued fraction of erfc (Abramowitz & Stegun 7.1.5, 7.1.14). */
export function erfScalar(x: number): number {
  const a = Math.abs(x);
  if (Number.isNaN(x)) return x;
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
      if (n > 200) break;
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 120; n >= 1; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}

const binarySamples = (low: number, high: number): Sample<None>[] =>
  [[3, 5], [], [0, 4], [517]].map((shape) => ({
    inputs: [
      { shape, low, high },
      { shape, low: low + 0.05, high: high + 0.07 },
    ],
  }));

function binary(
  name: string,
  doc: string,
  scalar: (a: number, b: number) => number,
  vjp: VjpRule<["a", "b"], None> | "zero",
  options: { low?: number; high?: number; smooth?: boolean } = {},
) {
  const { low = -2, high = 2, smooth = true } = options;
  return defineOp<["a", "b"], None>({
    name,
    kind: "elementwise",
    doc,
    inputs: ["a", "b"],
    infer: ([a, b]) => needNumber(name, sameType(name, a, b)),
    scalar,
    vjp,
    inPlace: [
      [0, 0],
      [0, 1],
    ],
    cost: ([a]) => ({ flops: size(a) }),
    samples: binarySamples(low, high).map((sample) => ({ ...sample, smooth })),
  });
}

export const add = binary(
  "add",
  "a + b",
  (a, b) => a + b,
  ({ grad }) => [grad, grad],
);
export const sub = binary(
  "sub",
  "a − b",
  (a, b) => a - b,
  ({ grad }) => [grad, grad.neg()],
);
export const mul = binary(
  "mul",
  "a · b",
  (a, b) => a * b,
  ({ grad, inputs: [a, b] }) => [grad.mul(b), grad.mul(a)],
);
export const div = binary(
  "div",
  "a / b",
  (a, b) => a / b,
  ({ grad, inputs: [, b], output }) => [grad.div(b), grad.mul(output).div(b).neg()],
  { low: 0.4 },
);
export const pow = binary(
  "pow",
  "aᵇ",
  powScalar,
  ({ grad, inputs: [a, b], output }) => [
    f.where(b.equal(0), 0, grad.mul(b).mul(a.pow(b.sub(1)))),
    grad.mul(output).mul(f.where(a.greater(0), a, 1).log()),
  ],
  { low: 0.4 },
);
export const mod = binary(
  "mod",
  "a − b·⌊a/b⌋",
  (a, b) => a - b * Math.floor(a / b),
  ({ grad, inputs: [a, b] }) => [grad, grad.mul(a.div(b).floor()).neg()],
  { low: 0.4, smooth: false },
);
/** As IEEE 754 has it: 1 to any power is 1, and −1 to an infinite one; JavaScript says NaN. */
function powScalar(a: number, b: number): number {
  return a === 1 || (a === -1 && Math.abs(b) === Number.POSITIVE_INFINITY) ? 1 : a ** b;
}

/** Equal operands share the gradient, as PyTorch does. */
export const max = binary(
  "max",
  "the larger; NaN if either is",
  (a, b) => Math.max(a, b),
  (c) => splitTies(c.grad, c.inputs, c.inputs[0].greater(c.inputs[1])),
);
export const min = binary(
  "min",
  "the smaller; NaN if either is",
  (a, b) => Math.min(a, b),
  (c) => splitTies(c.grad, c.inputs, c.inputs[0].less(c.inputs[1])),
);

function splitTies(grad: f.Tensor, [a, b]: readonly [f.Tensor, f.Tensor], firstWins: f.Tensor): [f.Tensor, f.Tensor] {
  const toFirst = f.where(a.equal(b), grad.mul(0.5), f.where(firstWins, grad, 0));
  return [toFirst, grad.sub(toFirst)];
}

export const cast = defineOp<["x"], { readonly to: DType }>({
  name: "cast",
  kind: "elementwise",
  doc: "the same values in another dtype; floats truncate towards zero when cast to integers, non-zero is true",
  inputs: ["x"],
  infer: ([x], { to }) => ({ dtype: to, shape: x.shape }),
  scalar: (x) => x,
  reference: ([x], { to }, [y]) => {
    const [from, into] = [x!.data as Float64Array, y!.data as Float64Array];
    for (let i = 0; i < from.length; i++) into[i] = roundTo(to, from[i]!);
  },
  vjp: ({ grad, inputs: [x] }) => [isFloat(x.dtype) ? grad.cast(x.dtype) : null],
  samples: [
    { inputs: [{ shape: [4], values: [1.7, -1.7, 0, 300] }], attrs: { to: "i32" } },
    { inputs: [{ shape: [3], dtype: "i32", values: [1, -2, 7] }], attrs: { to: "f32" } },
    { inputs: [{ shape: [3], values: [0, -0.5, 2] }], attrs: { to: "bool" } },
    { inputs: [{ shape: [3], dtype: "bool", values: [0, 1, 1] }], attrs: { to: "f32" } },
    { inputs: [{ shape: [3], dtype: "u8", values: [0, 200, 255] }], attrs: { to: "f32" } },
    { inputs: [{ shape: [4], dtype: "i32", values: [0, 1, -1, 16777217] }], attrs: { to: "bool" } },
    { inputs: [{ shape: [2], dtype: "bool", values: [0, 1] }], attrs: { to: "i32" } },
    { inputs: [{ shape: [3], values: [0.9, 2.5, 200.1] }], attrs: { to: "u8" } },
    { inputs: [{ shape: [0] }], attrs: { to: "i32" } },
  ],
});
