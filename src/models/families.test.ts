// Every model family: builds from its defaults, forgets nothing of its configuration, runs, and reaches all its parameters.
import { describe, expect, test } from "vitest";
import { fromNumbers, type HostArray, sizeOf, toNumbers } from "../base/index.ts";
import { gradients, type Tensor } from "../core/index.ts";
import { evaluate } from "../engine/index.ts";
import { isCachedLanguageModel } from "../generate/index.ts";
import { functionalCall, initialize } from "../nn/index.ts";
import { type BuiltModel, type DataFacts, modelFamilies, modelFamily, textClassifierFamily } from "./index.ts";

/** Facts and small settings of each family, for each task it names. */
const facts: { readonly [family: string]: readonly [settings: object, facts: DataFacts][] } = {
  bert: (
    [
      "masked-language-model",
      "classification",
      "regression",
      "token-classification",
      "question-answering",
      "embedding",
    ] as const
  ).map((task) => [
    { layers: 2, heads: 2, width: 4, context: 6, tokenTypes: 7, pooling: "mean" },
    { task, vocab: 7, outputs: 3 },
  ]),
  gpt: [
    [
      { layers: 2, heads: 2, width: 4, context: 6 },
      { task: "language-model", vocab: 7 },
    ],
  ],
  llama: [
    [
      { layers: 2, heads: 4, keyValueHeads: 2, width: 8, hidden: 12, context: 6, headNorm: true, attentionBias: true },
      { task: "language-model", vocab: 7 },
    ],
  ],
  mlp: [
    [{ hidden: [5] }, { task: "classification", features: 3, outputs: 4 }],
    [{ hidden: [] }, { task: "regression", features: 3 }],
  ],
  rnn: (["rnn", "gru", "lstm"] as const).map((cell) => [
    { cell, layers: 2, width: 3, context: 4, tiedHead: cell === "gru" },
    { task: "language-model", vocab: 7 },
  ]),
  seq2seq: [
    ...(["bahdanau", "luong", "none"] as const).map(
      (attention) =>
        [
          { cell: attention === "none" ? "gru" : "lstm", attention, width: 3, context: 4, targetContext: 3 },
          { task: "sequence-to-sequence", vocab: 7 },
        ] as [object, DataFacts],
    ),
  ],
  t5: [
    [
      {
        layers: 2,
        heads: 2,
        width: 4,
        headWidth: 3,
        context: 5,
        targetContext: 4,
        buckets: 4,
        maxDistance: 4,
        gated: true,
      },
      { task: "sequence-to-sequence", vocab: 7 },
    ],
  ],
  textClassifier: [
    [
      { width: 4, context: 6, hidden: [5] },
      { task: "classification", vocab: 7, outputs: 3 },
    ],
  ],
  transformer: [
    [
      { layers: 1, heads: 2, width: 4, context: 5, targetContext: 4, preNorm: true },
      { task: "sequence-to-sequence", vocab: 7 },
    ],
  ],
};

const rows = 2;

function inputsOf(built: BuiltModel): { [name: string]: HostArray } {
  return Object.fromEntries(
    Object.entries(built.inputs).map(([name, { dtype, shape }]) => {
      const full = [rows, ...shape];
      const values = Array.from({ length: sizeOf(full) }, (_, at) =>
        dtype === "i32" ? (3 * at + 1) % 7 : Math.sin(at),
      );
      return [name, fromNumbers(dtype === "i32" ? "i32" : "f64", full, values)];
    }),
  );
}

function run(
  built: BuiltModel,
  inputs: { [name: string]: HostArray },
  fn: (output: Tensor, parameters: Tensor[]) => Tensor,
) {
  const parameters = [...built.module.parameters()].map(
    ([name, { shape, init }]) => [name, initialize(init, name, shape, "f64", 1)] as const,
  );
  const count = Object.keys(inputs).length;
  return evaluate(
    (...given) => {
      const tensors = given.slice(count);
      const named = new Map(parameters.map(([name], at) => [name, tensors[at]!]));
      const output = functionalCall(built.module, named, () => built.module.forward(...given.slice(0, count)));
      return fn(output as Tensor, tensors);
    },
    { ...inputs, ...Object.fromEntries(parameters) },
  );
}

test("this file knows every family", () => {
  expect(Object.keys(facts)).toEqual([...modelFamilies.keys()]);
});

describe.each([...modelFamilies.values()])("$name", (family) => {
  for (const [settings, data] of facts[family.name]!) {
    const built = family.build(settings, data);

    test(`${data.task}: its configuration, given back, makes the same model`, () => {
      expect(family.tasks).toContain(data.task);
      const again = family.build(JSON.parse(JSON.stringify(built.config)), data);
      expect(again.config).toEqual(built.config);
      const shapes = (model: BuiltModel) => [...model.module.parameters()].map(([name, { shape }]) => [name, shape]);
      expect(shapes(again)).toEqual(shapes(built));
    });

    test(`${data.task}: every parameter moves the output`, () => {
      const inputs = inputsOf(built);
      const names = [...built.module.parameters().keys()];
      names.forEach((name, at) => {
        const { data: grad } = run(built, inputs, (output, parameters) => {
          const weighted = output.mul(output.add(1)); // not constant under softmax-like sums
          return gradients([weighted.sum()], [parameters[at]!])[0]!;
        });
        expect(
          grad.some((x) => x !== 0),
          name,
        ).toBe(true);
      });
    });
  }

  test("unknown keys are told", () => {
    expect(() => family.build({ ...facts[family.name]![0]![0], widht: 3 }, facts[family.name]![0]![1])).toThrow(
      "widht: unknown key",
    );
  });
});

test("an unknown family is told with the nearest", () => {
  expect(() => modelFamily("gtp")).toThrow("gpt");
  expect(() => modelFamily("textclassifier")).toThrow("did you mean textClassifier?");
});

test("a text's padding changes nothing, and an empty text is the mean of nothing", () => {
  const built = textClassifierFamily.build(
    { width: 4, context: 5, hidden: [] },
    { task: "classification", vocab: 7, outputs: 3 },
  );
  const logits = (tokens: readonly number[][]) =>
    run(built, { tokens: fromNumbers("i32", [tokens.length, tokens[0]!.length], tokens.flat()) }, (output) => output)
      .data;
  const [padded, plain] = [logits([[3, 1, 6, -1, -1]]), logits([[3, 1, 6]])];
  padded.forEach((value, at) => {
    expect(value).toBeCloseTo(plain[at]!, 14);
  });
  expect(plain.some((value) => value !== 0)).toBe(true);
  expect(logits([[-1, -1]])).toEqual([0, 0, 0]); // the head's bias, which starts at 0
});

test("a table's ends must be those of the model", () => {
  const mlp = modelFamily("mlp");
  expect(() => mlp.build({ init: "zeros" }, { task: "regression", features: 3 })).toThrow(
    /init: expected one of "normal"/,
  );
  expect(() => mlp.build({ inputs: 4 }, { task: "regression", features: 3 })).toThrow("leave inputs out");
  expect(() => mlp.build({}, { task: "classification", features: 3 })).toThrow("the model's outputs are not known");
});

test("a perceptron's hidden layers start as the recipe says, and a model built again from its configuration does so too", () => {
  const mlp = modelFamily("mlp");
  const facts = { task: "regression", features: 6 } as const;
  const first = mlp.build({ hidden: [6, 6], init: "orthogonal" }, facts);
  for (const { module } of [first, mlp.build(first.config, facts)]) {
    const { init, shape } = module.parameters().get("layers.1.weight")!;
    const w = Array.from(toNumbers(initialize(init, "layers.1.weight", shape, "f64", 3)));
    const product = (a: number, b: number) =>
      w.reduce((sum, _, at) => sum + (at < 6 ? w[at * 6 + a]! * w[at * 6 + b]! : 0), 0);
    expect(product(0, 1)).toBeCloseTo(0, 10);
    expect(product(2, 2)).toBeCloseTo(product(4, 4), 10);
    expect(product(2, 2)).toBeGreaterThan(0.1);
  }
});

test.each([
  ["gpt", { layers: 1, heads: 2, width: 8, context: 8, tiedHead: false }, ["wte", "lm_head"]],
  ["llama", { layers: 1, heads: 2, width: 8, hidden: 8, context: 8 }, ["model.embed_tokens", "lm_head"]],
  ["llama", { layers: 1, heads: 2, width: 8, hidden: 8, context: 8, tiedHead: true }, ["model.embed_tokens"]],
  ["rnn", { layers: 1, width: 8, context: 8 }, ["embedding", "lm_head"]],
])(
  "%s %o: its vocabulary is what has a row or an output per token, and nothing else of that size",
  (name, settings, paths) => {
    const { module } = modelFamily(name).build(settings, { task: "language-model", vocab: 8 });
    if (!isCachedLanguageModel(module)) throw new Error("no language model");
    const found = [...module.modules()].filter(([, layer]) =>
      (module.vocabulary as readonly unknown[]).includes(layer),
    );
    expect(found.map(([path]) => path)).toEqual(paths);
  },
);
