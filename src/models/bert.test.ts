// BERT against Transformers' (names, logits, loss, gradients, counts), where dropout acts, and wrong settings.
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { tinyBert, traceTinyBert } from "../../test/support/tiny-bert.ts";
import { fromNumbers, sizeOf, toNumbers } from "../base/index.ts";
import { iota, type Tensor, trace, variable } from "../core/index.ts";
import { evaluate } from "../engine/index.ts";
import { functionalCall, initialize, type Module, poolTokens } from "../nn/index.ts";
import { Bert, type BertConfig, BertForMaskedLM, BertForSequenceClassification, bertPresets } from "./index.ts";

test("has the published names and shapes, in the published order", () => {
  const found = [...new BertForMaskedLM(tinyBert.config).parameters()].map(([name, { shape }]) => ({ name, shape }));
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

test.each([
  ["bert-base", 109_482_240],
  ["bert-large", 335_141_888],
] as const)("%s has the published number of parameters", (name, quoted) => {
  const count = (model: Module) => [...model.parameters().values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const config = bertPresets[name];
  // the number that is commonly quoted has the pooler and no head; Transformers counts the head without the pooler
  expect(count(new Bert(config))).toBe(quoted);
  expect(count(new BertForMaskedLM(config))).toBe(tinyBert.counts[name]);
});

test("starts with deviation 0.02, biases 0 and norms 1", () => {
  for (const [name, { init, shape }] of new BertForMaskedLM({
    ...tinyBert.config,
    width: 32,
    hidden: 128,
  }).parameters()) {
    const values = toNumbers(initialize(init, name, shape, "f64", 3));
    const size = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    if (shape.length === 1) expect(size, name).toBe(name.endsWith("LayerNorm.weight") ? 1 : 0);
    // a sample of n has its deviation within 5/√(2n) of the true one
    else expect(Math.abs(size / 0.02 - 1), name).toBeLessThan(5 / Math.sqrt(2 * values.length));
  }
});

/** The graph of the logits of two rows, with random inputs. */
function traceLogits(config: BertConfig, mode: "train" | "eval", time = config.context) {
  const model = new BertForMaskedLM(config);
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
  expect(() => new BertForMaskedLM({ ...tinyBert.config, heads: 3 })).toThrow("a divisor of 16");
  expect(() => new BertForMaskedLM({ ...tinyBert.config, dropout: 1 })).toThrow(
    "a dropout rate is a probability below 1",
  );
});

test("what is padding, and how much of it there is, changes no text's output", () => {
  const config = { ...tinyBert.config, dropout: 0 };
  const model = new BertForSequenceClassification(config, 3, "mean");
  const start = [...model.parameters()].map(
    ([name, { shape, init }]) => [name, initialize(init, name, shape, "f64", 1)] as const,
  );
  const run = (rows: number[][]) => {
    const tokens = fromNumbers("i32", [rows.length, rows[0]!.length], rows.flat());
    const { logits } = evaluate(
      (ids: Tensor, ...given: Tensor[]) => ({
        logits: functionalCall(model, new Map(start.map(([name], at) => [name, given[at]!])), () => model.forward(ids)),
      }),
      { tokens, ...Object.fromEntries(start) },
    );
    return logits.data;
  };
  const alone = run([[5, 6, 7]]);
  assertClose(run([[5, 6, 7, -1, -1, -1]]), alone, { absolute: 1e-12, what: "padded" });
  const beside = run([
    [5, 6, 7, -1],
    [9, 8, 7, 6],
  ]);
  assertClose(beside.slice(0, 3), alone, { absolute: 1e-12, what: "beside a longer row" });
  expect(run([[5, 6, 7, 0]])).not.toEqual(alone); // token 0 is a word, not padding
});

test.each(["mean", "cls", "last"] as const)("pools by %s what is no padding", (pooling) => {
  const x = fromNumbers("f64", [2, 3, 1], [1, 2, 30, 4, 5, 6]);
  const mask = fromNumbers("bool", [2, 3], [1, 1, 0, 1, 1, 1]);
  const { pooled } = evaluate((x: Tensor, mask: Tensor) => ({ pooled: poolTokens(x, mask, pooling) }), { x, mask });
  expect(pooled.data).toEqual({ mean: [1.5, 5], cls: [1, 4], last: [2, 6] }[pooling]);
});
