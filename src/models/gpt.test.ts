// The GPT family against PyTorch (logits, loss, gradients), decoding against the whole pass, published parameter counts, and wrong settings.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { decodeInPieces } from "../../test/support/decoding.ts";
import { configOf, startOf, tinyGpt, tokensOf } from "../../test/support/tiny-gpt.ts";
import { formatCount, fromNumbers, type HostArray, sizeOf, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { constant, gradients, type Tensor, trace, variable } from "../core/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { crossEntropy, functionalCall, initialize } from "../nn/index.ts";
import { type DataFacts, Gpt, type GptConfig, gptFamily, gptPresets } from "./index.ts";

/** Runs what `fn` returns on the reference engine, the model's parameters having the given values. */
function runModel(
  model: Gpt,
  values: ReadonlyMap<string, HostArray>,
  fn: (parameters: Map<string, Tensor>) => { readonly [name: string]: Tensor },
): { readonly [name: string]: number[] } {
  const graph = trace(
    {},
    () => {
      const parameters = new Map([...values].map(([name, { dtype, shape }]) => [name, variable(name, dtype, shape)]));
      return functionalCall(model, parameters, () => fn(parameters));
    },
    { floatDType: "f64", mode: "train" },
  );
  const engine = new ReferenceEngine();
  const store = engine.createStore();
  const program = engine.load(compile(graph, engine.target), store);
  for (const { name } of program.plan.variables) if (values.has(name)) store.write(name, values.get(name)!);
  const { outputs } = engine.runNow({ program, feeds: {} });
  return Object.fromEntries(Object.entries(outputs).map(([name, array]) => [name, Array.from(toNumbers(array))]));
}

describe.each(Object.entries(tinyGpt.variants))("variant %s", (_, variant) => {
  const model = new Gpt(configOf(variant));
  const values = startOf(variant, "f64");
  const { inputs, targets } = tinyGpt.batches[0]!;

  test("has the published names and shapes, in the published order", () => {
    const found = [...model.parameters()].map(([name, { shape }]) => ({ name, shape }));
    expect(found).toEqual(variant.parameters.map(({ name, shape }) => ({ name, shape })));
    const sums = [...values.values()].map((value) => toNumbers(value).reduce((sum, x) => sum + x, 0));
    assertClose(sums, variant.startSums, { absolute: 1e-12, what: "sums of the start" });
  });

  test("logits, loss and every gradient equal PyTorch's", () => {
    const names = [...values.keys()];
    const result = runModel(model, values, (parameters) => {
      const logits = model.forward(constant(tokensOf(inputs)));
      const loss = crossEntropy(logits, constant(tokensOf(targets)));
      const found = gradients([loss], [...parameters.values()]);
      return { logits, loss, ...Object.fromEntries(names.map((name, at) => [`grad ${name}`, found[at]!])) };
    });
    assertClose(result.logits!, variant.logits, { absolute: 1e-11, what: "logits" });
    assertClose(result.loss!, variant.f64.losses.slice(0, 1), { absolute: 1e-12, what: "loss" });
    const norms = names.map((name) => Math.sqrt(result[`grad ${name}`]!.reduce((sum, x) => sum + x * x, 0)));
    assertClose(norms, variant.f64.gradNorms[0]!, { absolute: 1e-12, what: "gradient norms" });
    for (const [name, wanted] of Object.entries(variant.f64.grads ?? {})) {
      assertClose(result[`grad ${name}`]!, wanted, { absolute: 1e-12, what: `gradient of ${name}` });
    }
  });

  test("decoding piece by piece over the cache gives the logits of the whole", () => {
    const logits = decodeInPieces(model, values, inputs);
    assertClose(logits, variant.logits, { absolute: 1e-11, what: "logits" });
  });
});

test("dense and banded layers in turn: logits, loss and gradients are those of GPT-Neo, also over the cache", () => {
  const golden = JSON.parse(readFileSync("test/golden/gpt3.json", "utf8"));
  const model = new Gpt(golden.config as GptConfig);
  const values = startOf(golden, "f64");
  const [tokens, targets] = [golden.tokens, golden.targets].map((rows) =>
    rows.map(({ row }: { row: number[] }) => row),
  );
  const result = runModel(model, values, (parameters) => {
    const logits = model.forward(constant(tokensOf(tokens)));
    const loss = crossEntropy(logits, constant(tokensOf(targets)));
    const trained = [...parameters].filter(([name]) => !name.endsWith("c_attn.bias")).map(([, tensor]) => tensor);
    const squares = gradients([loss], trained).map((grad) => grad!.mul(grad!).sum());
    return { logits, loss, ...Object.fromEntries(squares.map((square, at) => [`square ${at}`, square])) };
  });
  assertClose(result.logits!, golden.logits, { absolute: 2e-6, what: "logits" });
  assertClose(result.loss!, [golden.loss], { absolute: 2e-6, what: "loss" });
  const norms = golden.gradNorms.map((_: number, at: number) => Math.sqrt(result[`square ${at}`]![0]!));
  assertClose(norms, golden.gradNorms, { absolute: 2e-6, what: "gradient norms" });
  assertClose(decodeInPieces(model, values, tokens), golden.logits, { absolute: 2e-6, what: "logits over the cache" });
});

test("the presets have the published numbers of parameters, counted without any memory for them", () => {
  const count = (config: GptConfig) =>
    [...new Gpt(config).parameters().values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  expect(count(gptPresets.gpt2)).toBe(124_439_808);
  expect(count(gptPresets["gpt2-medium"])).toBe(354_823_168);
  expect(count(gptPresets["gpt2-large"])).toBe(774_030_080);
  expect(count(gptPresets["gpt2-xl"])).toBe(1_557_611_200);
  expect(count(gptPresets["gpt3-125m"])).toBe(124_439_808 + 1024 * 768);
  expect(count(gptPresets["gpt3-175b"])).toBe(174_604_259_328);
  expect(count({ ...gptPresets.gpt2, tiedHead: false })).toBe(124_439_808 + 50257 * 768);
  expect(formatCount(count(gptPresets["gpt3-175b"]))).toBe("174.6 G");
});

test("starts as GPT-2 does: deviation 0.02, residual projections 0.02/√(2·layers), biases 0, norms 1", () => {
  const model = new Gpt({ ...gptPresets.nano, vocab: 500, context: 64 });
  const deviation = (values: Float64Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
  for (const [name, { init, shape }] of model.parameters()) {
    const values = toNumbers(initialize(init, name, shape, "f64", 3));
    const wanted = name.includes("ln_")
      ? name.endsWith("bias")
        ? 0
        : 1
      : name.endsWith("bias")
        ? 0
        : name.includes("c_proj")
          ? 0.02 / Math.sqrt(6)
          : 0.02;
    // a sample of n has its deviation within 5/√(2n) of the true one
    const tolerance = wanted === 0 || wanted === 1 ? 0 : (5 * wanted) / Math.sqrt(2 * values.length);
    expect(Math.abs(deviation(values) - wanted), name).toBeLessThanOrEqual(tolerance);
  }
});

describe("settings", () => {
  const facts: DataFacts = { task: "language-model", vocab: 65 };
  const small = { layers: 2, heads: 2, width: 8, context: 16 };

  test("a recipe's model takes its vocabulary from the tokenizer and comes back whole", () => {
    const { config, inputs } = gptFamily.build(small, facts);
    expect(config).toEqual({
      ...small,
      bands: 0,
      vocab: 65,
      dropout: 0,
      bias: true,
      normBias: true,
      activation: "geluTanh",
      tiedHead: true,
      eps: 1e-5,
    });
    expect(gptFamily.build(config, facts).config).toEqual(config);
    expect(inputs).toEqual({ tokens: { dtype: "i32", shape: [16] } });
    expect(gptFamily.build({ ...small, bias: false }, facts).config.normBias).toBe(false);
  });

  test("a preset gives what is not given", () => {
    expect(gptFamily.build({ preset: "gpt2", layers: 3, context: 32 }, facts).config).toMatchObject({
      layers: 3,
      heads: 12,
      width: 768,
      context: 32,
      vocab: 65,
    });
    expect(gptFamily.build({ preset: "gpt2" }, { task: "language-model" }).config).toEqual(gptPresets.gpt2);
  });

  test("all that is wrong is told at once", () => {
    const wrong = { layer: 2, layers: 2, heads: 3, width: "8", dropout: 1, activation: "glu" };
    expect(() => gptFamily.build(wrong, facts)).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [config/invalid] 4 settings are wrong
        at        model.gpt
        got       width: expected number, got "8"
                  dropout: must be less than 1, got 1
                  activation: expected one of "identity"|"relu"|"gelu"|"geluTanh"|"silu"|"tanh"|"sigmoid", got "glu"
                  layer: unknown key; did you mean layers?
        fix       mend what is listed; nothing has been started]
    `);
    expect(() => gptFamily.build({ layers: 2, heads: 3, width: 8 }, facts)).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [config/invalid] 2 settings are wrong
        at        model.gpt
        got       context: missing; a positive whole number, or give a preset
                  width: must be a multiple of heads (3), got 8
        fix       mend what is listed; nothing has been started]
    `);
    expect(() => gptFamily.build({ ...small, vocab: 64 }, facts)).toThrow("the tokenizer has more ids");
    expect(() => gptFamily.build(small, { task: "language-model" })).toThrow("give vocab, or a tokenizer");
  });

  test("tokens longer than the context are refused", () => {
    const model = new Gpt(gptFamily.build(small, facts).config);
    const values = new Map(
      [...model.parameters()].map(([name, { shape }]) => [
        name,
        fromNumbers("f64", shape, new Float64Array(sizeOf(shape))),
      ]),
    );
    const long = fromNumbers("i32", [1, 17], new Float64Array(17));
    expect(() => runModel(model, values, () => ({ logits: model.forward(constant(long)) }))).toThrow(
      "i32[batch, up to 16]",
    );
  });
});
