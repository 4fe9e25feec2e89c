// Elementwise comparisons, logic and choice: what makes or reads bool tensors. Arithmetic is in elementwise.ts.
import { fail, formatType, sameShape } from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp, type ValueType } from "../op.ts";
import { needFloat, sameType } from "./elementwise.ts";

type None = Record<string, never>;

function compare(name: string, doc: string, scalar: (a: number, b: number) => number) {
  return defineOp<["a", "b"], None>({
    name,
    kind: "elementwise",
    doc,
    inputs: ["a", "b"],
    infer: ([a, b]) => ({ dtype: "bool", shape: sameType(name, a, b).shape }),
    scalar,
    vjp: "zero",
    samples: [
      {
        inputs: [
          { shape: [2, 3], values: [1, 2, 3, 4, -5, 6] },
          { shape: [2, 3], values: [1, 3, 2, 4, 5, -6] },
        ],
      },
      {
        inputs: [
          { shape: [4], dtype: "i32", values: [1, -2, 3, 16777217] },
          { shape: [4], dtype: "i32", values: [1, 2, -3, 16777216] },
        ],
      },
      {
        inputs: [
          { shape: [3], values: [Number.NaN, 1, 2] },
          { shape: [3], values: [Number.NaN, Number.NaN, 2] },
        ],
      },
      { inputs: [{ shape: [0] }, { shape: [0] }] },
    ],
  });
}

export const eq = compare("eq", "a = b", (a, b) => Number(a === b));
export const ne = compare("ne", "a ≠ b", (a, b) => Number(a !== b));
export const lt = compare("lt", "a < b", (a, b) => Number(a < b));
export const le = compare("le", "a ≤ b", (a, b) => Number(a <= b));
export const gt = compare("gt", "a > b", (a, b) => Number(a > b));
export const ge = compare("ge", "a ≥ b", (a, b) => Number(a >= b));

function logical(name: string, doc: string, scalar: (a: number, b: number) => number) {
  return defineOp<["a", "b"], None>({
    name,
    kind: "elementwise",
    doc,
    inputs: ["a", "b"],
    infer: ([a, b]) => needBool(name, sameType(name, a, b)),
    scalar,
    vjp: "zero",
    inPlace: [
      [0, 0],
      [0, 1],
    ],
    samples: [
      {
        inputs: [
          { shape: [4], dtype: "bool", values: [0, 0, 1, 1] },
          { shape: [4], dtype: "bool", values: [0, 1, 0, 1] },
        ],
      },
      {
        inputs: [
          { shape: [0], dtype: "bool" },
          { shape: [0], dtype: "bool" },
        ],
      },
    ],
  });
}

function needBool(name: string, x: ValueType): ValueType {
  if (x.dtype !== "bool") {
    fail("dtype/bool", `${name} needs a bool tensor`, {
      got: formatType(x.dtype, x.shape),
      fix: "compare first: x.greater(0)",
    });
  }
  return x;
}

export const and = logical("and", "both true", (a, b) => Number(a && b));
export const or = logical("or", "either true", (a, b) => Number(a || b));
export const xor = logical("xor", "exactly one true", (a, b) => Number(a !== b));

export const not = defineOp<["x"], None>({
  name: "not",
  kind: "elementwise",
  doc: "true where x is false",
  inputs: ["x"],
  infer: ([x]) => needBool("not", x),
  scalar: (x) => Number(!x),
  vjp: "zero",
  inPlace: [[0, 0]],
  samples: [
    { inputs: [{ shape: [3], dtype: "bool", values: [0, 1, 0] }] },
    { inputs: [{ shape: [0, 2], dtype: "bool" }] },
  ],
});

export const isFinite = defineOp<["x"], None>({
  name: "isFinite",
  kind: "elementwise",
  doc: "false for NaN and the infinities",
  inputs: ["x"],
  infer: ([x]) => ({ dtype: "bool", shape: needFloat("isFinite", x).shape }),
  scalar: (x) => Number(Number.isFinite(x)),
  vjp: "zero",
  samples: [
    { inputs: [{ shape: [5], values: [0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -3e38] }] },
    { inputs: [{ shape: [0] }] },
  ],
});

export const where = defineOp<["condition", "a", "b"], None>({
  name: "where",
  kind: "elementwise",
  doc: "a where the condition holds, else b; the other side's NaN does not leak",
  inputs: ["condition", "a", "b"],
  infer: ([condition, a, b]) => {
    needBool("where", condition);
    if (!sameShape(condition.shape, a.shape)) sameType("where", { dtype: a.dtype, shape: condition.shape }, a);
    return sameType("where", a, b);
  },
  scalar: (condition, a, b) => (condition ? a : b),
  vjp: ({ grad, inputs: [condition] }) => [null, f.where(condition, grad, 0), f.where(condition, 0, grad)],
  inPlace: [
    [0, 1],
    [0, 2],
  ],
  samples: [
    { inputs: [{ shape: [4], dtype: "bool", values: [0, 1, 0, 1] }, { shape: [4] }, { shape: [4] }] },
    {
      inputs: [
        { shape: [3], dtype: "bool", values: [0, 1, 1] },
        { shape: [3], dtype: "i32", values: [1, 2, 3] },
        { shape: [3], dtype: "i32", values: [4, 5, 6] },
      ],
    },
    { inputs: [{ shape: [0], dtype: "bool" }, { shape: [0] }, { shape: [0] }] },
  ],
});
