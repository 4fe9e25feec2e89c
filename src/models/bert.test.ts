// BERT against Transformers' (names, logits, loss, gradients, counts), where dropout acts, and wrong settings.
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { tinyBert, traceTinyBert } from "../../test/support/tiny-bert.ts";
import { sizeOf, toNumbers } from "../base/index.ts";
import { iota, trace, variable } from "../core/index.ts";
import { functionalCall, initialize } from "../nn/index.ts";
import { Bert, type BertConfig, bertPresets } from "./index.ts";

test("has the published names and shapes, in the published order", () => {
  const found = [...new Bert(tinyBert.config).parameters()].map(([name, { shape }]) => ({ name, shape }));
  expect(found).toEqual(tinyBert.parameters.map(({ name, shape }) => ({ name, shape })));
});

test.each(Object.entries(tinyBert.cases))("logits, loss and gradient norms equal Transformers': %s", (_, wanted) => {
  const { graph, feeds } = traceTinyBert(wanted, "f64");
  const outputs = runReference(graph, feeds);
  assertClose(outputs.logits!, wanted.logits, { absolute: 1e-11, what: "logits" });
  assertClose(outputs.loss!, [wanted.loss], { absolute: 1e-12, what: "loss" });
  const norms = tinyBert.parameters.map(({ name }) => toNumbers(outputs[`norm ${name}`]!)[0]!);
  assertClose(norms, wanted.gradNorms, { absolute: 1e-12, what: "gradient norms" });
});

test.each(Object.entries(bertPresets))("%s has the published number of parameters", (name, config) => {
  const count = [...new Bert(config).parameters().values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  // 109,482,240 with a pooler (768² + 768) and no head: the number that is commonly quoted, as 335,141,888 is
  const { width, vocab } = config;
  const quoted = { "bert-base": 109_482_240, "bert-large": 335_141_888 }[name as keyof typeof bertPresets];
  expect(count).toBe(tinyBert.counts[name]);
  expect(count).toBe(quoted - (width ** 2 + width) + (width ** 2 + width + 2 * width + vocab));
});

test("starts with deviation 0.02, biases 0 and norms 1", () => {
  for (const [name, { init, shape }] of new Bert({ ...tinyBert.config, width: 32, hidden: 128 }).parameters()) {
    const values = toNumbers(initialize(init, name, shape, "f64", 3));
    const size = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    if (shape.length === 1) expect(size, name).toBe(name.endsWith("LayerNorm.weight") ? 1 : 0);
    // a sample of n has its deviation within 5/√(2n) of the true one
    else expect(Math.abs(size / 0.02 - 1), name).toBeLessThan(5 / Math.sqrt(2 * values.length));
  }
});

/** The graph of the logits of two rows, with random inputs. */
function traceLogits(config: BertConfig, mode: "train" | "eval", time = config.context) {
  const model = new Bert(config);
  return trace(
    { tokens: { dtype: "i32", shape: [2, time] }, key: { dtype: "i32", shape: [3] } },
    ({ tokens }) => {
      const parameters = [...model.parameters()].map(
        ([name, { shape }]) => [name, variable(name, "f32", shape)] as const,
      );
      return functionalCall(model, new Map(parameters), () => model.forward(tokens));
    },
    { mode, random: ({ key }) => ({ key: key!, rows: iota([2], 0) }) },
  );
}

test("dropout acts on the embeddings, on probabilities and on both outputs of a block, each with masks of its own", () => {
  const streams = (mode: "train" | "eval", dropout: number) =>
    traceLogits({ ...tinyBert.config, dropout }, mode).nodes.flatMap(({ attrs }) => {
      const { stream, dropoutStream = stream } = attrs as { stream?: string; dropoutStream?: string };
      return dropoutStream ? [dropoutStream] : [];
    });
  const block = ["attention.self.probabilities", "attention.output.dropout", "output.dropout"];
  expect(streams("train", 0.1)).toEqual([
    "bert.embeddings.dropout",
    ...[0, 1].flatMap((at) => block.map((name) => `bert.encoder.layer.${at}.${name}`)),
  ]);
  expect(streams("eval", 0.1)).toEqual([]);
  expect(streams("train", 0)).toEqual([]);
});

test("tokens longer than the context and heads that do not divide the width are refused", () => {
  expect(() => traceLogits(tinyBert.config, "eval", 13)).toThrow("i32[batch, up to 12]");
  expect(() => new Bert({ ...tinyBert.config, heads: 3 })).toThrow("a divisor of 16");
  expect(() => new Bert({ ...tinyBert.config, dropout: 1 })).toThrow("a dropout rate is a probability below 1");
});
