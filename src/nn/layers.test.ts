// Layers and losses against PyTorch's outputs and gradients, and what must be refused.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type DType, fromNumbers, type HostArray } from "../base/index.ts";
import { attention, gradients, type Tensor } from "../core/index.ts";
import { evaluate } from "../engine/index.ts";
import {
  type ActivationName,
  activate,
  activationNames,
  binaryCrossEntropy,
  crossEntropy,
  Embedding,
  functionalCall,
  huberLoss,
  LayerNorm,
  Linear,
  type Module,
  meanAbsoluteError,
  meanSquaredError,
  type Reduction,
  RmsNorm,
} from "./index.ts";

interface Packed {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface Case {
  readonly name: string;
  readonly op: string;
  readonly attrs: {
    eps?: number;
    reduction?: Reduction;
    ignoreIndex?: number;
    delta?: number;
    causal?: boolean;
    scale?: number;
    window?: number;
  };
  readonly inputs: { readonly [name: string]: Packed };
  readonly output: Packed;
  readonly cotangent: Packed;
  readonly grads: { readonly [name: string]: Packed };
}

const { cases } = JSON.parse(readFileSync("test/golden/layers.json", "utf8")) as { cases: Case[] };
const unpack = ({ dtype, shape, data }: Packed): HostArray => fromNumbers(dtype, shape, data);

type Inputs = { readonly [name: string]: Tensor };

/** A module on given parameters. */
function apply(module: { forward(x: Tensor): Tensor } & Module, { weight, bias }: Inputs, x: Tensor): Tensor {
  const parameters = new Map([["weight", weight!], ...(bias ? [["bias", bias] as const] : [])]);
  return functionalCall(module, parameters, () => module.forward(x));
}

/** What each golden op is here, by name; activations go by their own names. */
const compute: { readonly [op: string]: (inputs: Inputs, attrs: Case["attrs"]) => Tensor } = {
  layerNorm: (inputs, { eps }) => apply(new LayerNorm(inputs.x!.shape.at(-1)!, { eps: eps! }), inputs, inputs.x!),
  rmsNorm: (inputs, { eps }) => apply(new RmsNorm(inputs.x!.shape.at(-1)!, { eps: eps! }), inputs, inputs.x!),
  linear: (inputs) => apply(new Linear(4, 5), inputs, inputs.x!),
  embedding: (inputs) => apply(new Embedding(5, 3), inputs, inputs.indices!),
  crossEntropy: ({ logits, target }, { reduction, ignoreIndex }) =>
    crossEntropy(logits!, target!, { reduction: reduction!, ignoreIndex: ignoreIndex! }),
  mse: ({ prediction, target }, { reduction }) => meanSquaredError(prediction!, target!, { reduction: reduction! }),
  mae: ({ prediction, target }, { reduction }) => meanAbsoluteError(prediction!, target!, { reduction: reduction! }),
  huber: ({ prediction, target }, { reduction, delta }) =>
    huberLoss(prediction!, target!, { reduction: reduction!, delta: delta! }),
  binaryCrossEntropy: ({ logits, target }, { reduction }) =>
    binaryCrossEntropy(logits!, target!, { reduction: reduction! }),
  attention: ({ q, k, v, mask, documents }, { causal, scale, window }) =>
    attention(q!, k!, v!, {
      causal: causal!,
      ...(scale ? { scale } : {}),
      ...(window ? { window } : {}),
      ...(mask ? { mask: widen(mask, q!, k!) } : {}),
      ...(documents ? { documents } : {}),
    }),
};

const widen = (mask: Tensor, q: Tensor, k: Tensor): Tensor =>
  mask.shape.length === 4 ? mask : mask.broadcastTo([q.shape[0]!, q.shape[2]!, q.shape[1]!, k.shape[1]!]);

/** Ops of the file that are no layer or loss: core's own tests take them. */
const elsewhere = new Set(["softmax", "logSoftmax", "erf", "softplus", "rotary"]);

describe("PyTorch's figures", () => {
  for (const { name, op, attrs, inputs, output, cotangent, grads } of cases) {
    if (elsewhere.has(op)) continue;
    test(name, () => {
      const run = compute[op] ?? (({ x }: Inputs) => activate(op as ActivationName, x!));
      const names = Object.keys(inputs);
      const results = evaluate(
        (...given) => {
          const tensors = Object.fromEntries(names.map((input, at) => [input, given[at]!]));
          const value = run(tensors, attrs);
          const wrt = Object.keys(grads);
          const found = gradients(
            [value],
            wrt.map((input) => tensors[input]!),
            [given.at(-1)!],
          );
          return { output: value, ...Object.fromEntries(wrt.map((input, at) => [`grad ${input}`, found[at]!])) };
        },
        { ...Object.fromEntries(names.map((input) => [input, unpack(inputs[input]!)])), cotangent: unpack(cotangent) },
      ) as { [name: string]: { shape: readonly number[]; data: number[] } };
      const wanted = {
        output,
        ...Object.fromEntries(Object.entries(grads).map(([key, value]) => [`grad ${key}`, value])),
      };
      for (const [key, { shape, data }] of Object.entries(wanted)) {
        expect(results[key]!.shape, key).toEqual(shape);
        const scale = Math.max(1, ...data.map(Math.abs));
        data.forEach((value, at) => {
          const error = Math.abs(results[key]!.data[at]! - value);
          if (!(error <= 1e-11 * scale)) expect.fail(`${key}[${at}] is ${results[key]!.data[at]}, wanted ${value}`);
        });
      }
    });
  }

  test("every activation of the file has a name here", () => {
    const known = new Set(cases.map(({ op }) => op));
    for (const name of activationNames) if (name !== "identity") expect(known).toContain(name);
  });
});

test("losses refuse shapes that would broadcast, and exchanged arguments", () => {
  const column = [[1], [2], [3], [4]];
  const flat = [2, 4, 6, 8];
  for (const loss of [meanSquaredError, meanAbsoluteError, huberLoss, binaryCrossEntropy]) {
    expect(() => evaluate((a, b) => loss(a!, b!), { a: column, b: flat })).toThrow("reshape the target to (4,1)");
  }
  expect(evaluate((a, b) => meanSquaredError(a!, b!), { a: [1, 2, 3, 4], b: flat }).value).toBe(7.5);
  const logits = [
    [0, 1],
    [2, 3],
  ];
  const target = fromNumbers("i32", [2], [0, 1]);
  expect(() => evaluate((a, b) => crossEntropy(b!, a!), { logits, target })).toThrow("the order is (logits, target)");
  expect(() => evaluate((a) => meanSquaredError(a!, a!, { reduction: "avg" as Reduction }), { a: flat })).toThrow(
    "mean, sum, none",
  );
});

test("cross-entropy takes logits of any rank", () => {
  const logits = Array.from({ length: 2 }, (_, b) => Array.from({ length: 3 }, (_, t) => [b, t, 1]));
  const target = fromNumbers("i32", [2, 3], [0, 1, 2, -1, 1, 0]);
  const { data, shape } = evaluate((x, y) => crossEntropy(x!, y!, { reduction: "none" }), { logits, target });
  expect(shape).toEqual([2, 3]);
  [0, 1, 2, -1, 1, 0].forEach((id, at) => {
    const row = logits[Math.floor(at / 3)]![at % 3]!;
    const wanted = id < 0 ? 0 : Math.log(row.reduce((sum, z) => sum + Math.exp(z), 0)) - row[id]!;
    expect(data[at]).toBeCloseTo(wanted, 13);
  });
});

test("binary cross-entropy: gradient at 0, and finite at the ends", () => {
  const { data } = evaluate((z, t) => gradients([binaryCrossEntropy(z!, t!, { reduction: "sum" })], [z!])[0]!, {
    z: [0, 0, 1e4, -1e4, 1e4],
    t: [0, 1, 1, 0, 0],
  });
  expect(data).toEqual([0.5, -0.5, 0, 0, 1]);
  expect(
    evaluate((z, t) => binaryCrossEntropy(z!, t!, { reduction: "none" }), { z: [1e4, -1e4, 1e4], t: [1, 0, 0] }).data,
  ).toEqual([0, 0, 1e4]);
});
