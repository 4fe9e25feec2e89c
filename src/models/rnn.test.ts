// The recurrent language model against PyTorch (names, logits, loss, gradients, counts), decoding against the whole pass, generated text
// against text without a cache, and wrong settings.
import { describe, expect, test } from "vitest";
import golden from "../../test/golden/rnn.json" with { type: "json" };
import { assertClose } from "../../test/support/close.ts";
import { decodeInPieces } from "../../test/support/decoding.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { startOf } from "../../test/support/tiny-gpt.ts";
import { traceWithNorms } from "../../test/support/trace-with-norms.ts";
import { fromNumbers, sizeOf, toNumbers } from "../base/index.ts";
import { iota, type Tensor, trace } from "../core/index.ts";
import { functionalCall } from "../nn/index.ts";
import { Rnn, type RnnConfig, rnnFamily, rnnPresets } from "./index.ts";

const { batch, time } = golden;
const ids = (values: readonly number[]) => fromNumbers("i32", [batch, time], values);
const rowsOf = (values: readonly number[]) =>
  Array.from({ length: batch }, (_, row) => values.slice(row * time, (row + 1) * time));

describe.each(Object.entries(golden.cases))("%s", (_, wanted) => {
  const model = new Rnn(wanted.config as RnnConfig);
  const values = startOf(wanted, "f64");

  test("names, shapes, logits, loss and the norm of every gradient are PyTorch's", () => {
    const found = [...model.parameters()].map(([name, { shape }]) => ({ name, shape }));
    expect(found).toEqual(wanted.parameters.map(({ name, shape }) => ({ name, shape })));
    const { graph, feeds } = traceWithNorms(model, values, {
      inputs: { tokens: ids(golden.tokens), targets: ids(golden.targets) },
      dtype: "f64",
      logits: ({ tokens }) => model.forward(tokens!),
    });
    const outputs = runReference(graph, feeds);
    assertClose(outputs.logits!, wanted.logits, { absolute: 1e-12, what: "logits" });
    assertClose(outputs.loss!, [wanted.loss], { absolute: 1e-13, what: "loss" });
    const norms = wanted.parameters.map(({ name }) => toNumbers(outputs[`norm ${name}`]!)[0]!);
    assertClose(norms, wanted.gradNorms, { absolute: 1e-12, what: "gradient norms" });
  });

  test("decoding piece by piece over the cache gives the logits of the whole", () => {
    const logits = decodeInPieces(model, values, rowsOf(golden.tokens));
    assertClose(logits, wanted.logits, { absolute: 1e-12, what: "logits" });
  });
});

test("the presets have the parameters of PyTorch's modules of their sizes, and the published 20 and 66 million", () => {
  const count = (config: RnnConfig) =>
    [...new Rnn(config).parameters().values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  for (const [name, config] of Object.entries(rnnPresets)) {
    expect(count(config), name).toBe(golden.counts[name as keyof typeof golden.counts]);
    const { vocab, width, layers } = config;
    expect(count({ ...config, cell: "gru", tiedHead: true })).toBe(
      vocab * width + layers * 3 * width * (2 * width + 2),
    );
  }
  expect(Math.abs(count(rnnPresets.medium) / 20e6 - 1)).toBeLessThan(0.02);
  expect(Math.abs(count(rnnPresets.large) / 66e6 - 1)).toBeLessThan(0.02);
});

test("dropout acts on the embeddings and on each layer's outputs, each with masks of its own", () => {
  const streams = (mode: "train" | "eval", dropout: number) => {
    const config = { cell: "lstm", layers: 2, vocab: 9, width: 4, context: 5, tiedHead: true, dropout } as const;
    const model = new Rnn(config);
    const types = [...model.parameters()].map(([name, { shape }]) => [name, { dtype: "f32", shape }] as const);
    const graph = trace(
      { tokens: { dtype: "i32", shape: [2, 5] }, key: { dtype: "i32", shape: [3] }, ...Object.fromEntries(types) },
      (inputs: { readonly [name: string]: Tensor }) => {
        const given = new Map(types.map(([name]) => [name, inputs[name]!]));
        return functionalCall(model, given, () => model.forward(inputs.tokens!));
      },
      { mode, random: ({ key }) => ({ key: key!, rows: iota([2], 0) }) },
    );
    return graph.nodesOf("dropout").map(({ attrs }) => attrs.stream);
  };
  expect(streams("train", 0.5)).toEqual(["dropouts.0", "dropouts.1", "dropouts.2"]);
  expect(streams("eval", 0.5)).toEqual([]);
});

test("settings: what is left out follows from what is given, and what cannot be is refused", () => {
  const build = (given: object, vocab?: number) =>
    rnnFamily.build(given, { task: "language-model", ...(vocab === undefined ? {} : { vocab }) });
  const small = { width: 8, context: 9 };
  const built = build(small, 30);
  expect(built.config).toEqual({ ...small, cell: "lstm", layers: 1, dropout: 0, tiedHead: false, vocab: 30 });
  expect(build(built.config).config).toEqual(built.config);
  expect(build({ preset: "medium", cell: "gru" }, 30).config).toEqual({ ...rnnPresets.medium, cell: "gru", vocab: 30 });
  expect(build({ preset: "small" }).config).toEqual(rnnPresets.small);
  expect(() => build({ cell: "mamba" }, 30)).toThrowErrorMatchingInlineSnapshot(`
    [AthanorError: [config/invalid] a setting is wrong
      at        model.rnn
      got       cell: expected one of "rnn"|"lstm"|"gru", got "mamba"
      fix       mend what is listed; nothing has been started]
  `);
  expect(() => build({ cell: "gru" }, 30)).toThrow("context: missing; a positive whole number, or give a preset");
  expect(() => build(small)).toThrow("the size of the vocabulary is not known");
});
