// Leaves of a graph and the one way to write a variable. They have no kernel: the plan resolves them to memory.
import { type DType, fail, type HostArray, type Shape, sameShape } from "../../base/index.ts";
import { defineOp } from "../op.ts";

type Named = { readonly name: string; readonly dtype: DType; readonly shape: Shape };

/** A feed: given at every run. */
export const inputLeaf = defineOp<[], Named>({
  name: "input",
  kind: "leaf",
  doc: "A value given at each run.",
  inputs: [],
  infer: (_, { dtype, shape }) => ({ dtype, shape }),
  vjp: () => [],
  samples: [],
  noSamples: "resolved to memory by the plan: it computes nothing",
});

/** A tensor of the store, as it was before this run. */
export const variableLeaf = defineOp<[], Named>({
  name: "variable",
  kind: "leaf",
  doc: "A named tensor of the store.",
  inputs: [],
  infer: (_, { dtype, shape }) => ({ dtype, shape }),
  vjp: () => [],
  samples: [],
  noSamples: "resolved to memory by the plan: it computes nothing",
});

/** A constant of the graph. */
export const constantLeaf = defineOp<[], { readonly value: HostArray }>({
  name: "constant",
  kind: "leaf",
  doc: "A value known while tracing.",
  inputs: [],
  infer: (_, { value }) => ({ dtype: value.dtype, shape: value.shape }),
  vjp: () => [],
  samples: [],
  noSamples: "resolved to memory by the plan: it computes nothing",
});

/** Gives a variable its value for the next run. Staged: readers in the same program see the old value. */
export const assignOp = defineOp<["value"], Named>({
  name: "assign",
  kind: "update",
  doc: "Writes a variable.",
  inputs: ["value"],
  infer: ([value], { name, dtype, shape }) => {
    if (value.dtype !== dtype || !sameShape(value.shape, shape)) {
      fail("shape/assign", `a variable keeps its type: ${name}`, {
        expected: `${dtype}[${shape}]`,
        got: `${value.dtype}[${value.shape}]`,
        fix: "cast or reshape the value before assigning it",
      });
    }
    return [];
  },
  vjp: "none",
  samples: [],
  noSamples: "has no result: the compiler's tests run it",
});
