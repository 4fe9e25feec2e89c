// The Llama family against Transformers (logits, loss, gradients, frequencies, counts), decoding against the whole pass, packed
// documents against each alone, and wrong settings.
import { describe, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { decodeInPieces } from "../../test/support/decoding.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { startOf } from "../../test/support/tiny-gpt.ts";
import { tinyLlama, traceTinyLlama } from "../../test/support/tiny-llama.ts";
import { fromNumbers, sizeOf, toNumbers } from "../base/index.ts";
import { type Tensor, trace } from "../core/index.ts";
import { functionalCall, rotaryFrequencies } from "../nn/index.ts";
import { Llama, type LlamaConfig, llamaFamily, llamaPresets } from "./index.ts";

const rowsOf = (ids: readonly number[]) =>
  Array.from({ length: tinyLlama.batch }, (_, row) => ids.slice(row * tinyLlama.time, (row + 1) * tinyLlama.time));

describe.each(Object.entries(tinyLlama.cases))("%s", (_, wanted) => {
  test("has the published names and shapes, in the published order", () => {
    const found = [...new Llama(wanted.config).parameters()].map(([name, { shape }]) => ({ name, shape }));
    expect(found).toEqual(wanted.parameters.map(({ name, shape }) => ({ name, shape })));
  });

  test("logits, loss and the norm of every gradient equal Transformers'", () => {
    const { graph, feeds } = traceTinyLlama(wanted, "f64");
    const outputs = runReference(graph, feeds);
    // Transformers computes angles in f32 whatever the rest is in
    assertClose(toNumbers(outputs.logits!), wanted.logits, { absolute: 1e-6, what: "logits" });
    assertClose(toNumbers(outputs.loss!), [wanted.loss], { absolute: 1e-6, what: "loss" });
    const norms = wanted.parameters.map(({ name }) => toNumbers(outputs[`norm ${name}`]!)[0]!);
    assertClose(norms, wanted.gradNorms, { absolute: 1e-6, what: "gradient norms" });
  });

  test("decoding piece by piece over the cache gives the logits of the whole", () => {
    const values = startOf(wanted, "f64");
    const logits = decodeInPieces(new Llama(wanted.config), values, rowsOf(tinyLlama.tokens));
    assertClose(logits, wanted.logits, { absolute: 1e-6, what: "logits" });
  });
});

test("documents in one row, each counted from 0, have the logits that each has alone", () => {
  const { config, ...start } = tinyLlama.cases.qwen3!;
  const model = new Llama(config);
  const values = startOf(start, "f64");
  const logitsOf = (feeds: { readonly [name: string]: readonly number[] }, time: number): Float64Array => {
    const arrays = Object.fromEntries(
      Object.entries(feeds).map(([name, ids]) => [name, fromNumbers("i32", [1, time], ids)]),
    );
    const graph = trace(
      { ...Object.fromEntries(values), ...arrays },
      ({ tokens, positions, documents, ...parameters }: { readonly [name: string]: Tensor }) =>
        functionalCall(model, new Map(Object.entries(parameters)), () => model.forward(tokens!, positions, documents)),
      { floatDType: "f64" },
    );
    return toNumbers(runReference(graph, { ...Object.fromEntries(values), ...arrays }).result!);
  };
  const [first, second] = [
    [3, 1, 4, 1, 5],
    [9, 2, 6],
  ] as const;
  const packed = logitsOf(
    {
      tokens: [...first, ...second],
      positions: [0, 1, 2, 3, 4, 0, 1, 2],
      documents: [0, 0, 0, 0, 0, 1, 1, 1],
    },
    8,
  );
  const alone = [first, second].flatMap((tokens) => [
    ...logitsOf({ tokens, positions: [...tokens.keys()] }, tokens.length),
  ]);
  assertClose(packed, alone, { absolute: 1e-12, what: "logits" });
});

test.each(tinyLlama.scalings)(
  "frequencies scaled as $scaling.type are Transformers'",
  ({ scaling, frequencies, magnitude }) => {
    const width = 2 * frequencies.length;
    const found = rotaryFrequencies(width, { base: 10000, scaling });
    assertClose(found.frequencies, frequencies, { relative: 1e-6, what: "frequencies" });
    assertClose([found.magnitude], [magnitude], { relative: 1e-12, what: "magnitude" });
  },
);

test("a scaling that would shorten the context is refused", () => {
  expect(() => rotaryFrequencies(8, { base: 10000, scaling: { type: "linear", factor: 0.5 } })).toThrow(
    expect.objectContaining({ code: "nn/rotary", got: "0.5" }),
  );
});

test.each(Object.entries(tinyLlama.counts))("%s has the published number of parameters", (name, wanted) => {
  const config: LlamaConfig = llamaPresets[name as keyof typeof llamaPresets];
  const found = [...new Llama(config).parameters().values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  expect(found).toBe(wanted);
});

describe("settings", () => {
  const facts = { task: "language-model", vocab: 65 } as const;

  test("what is left out follows from what is given", () => {
    const { config } = llamaFamily.build({ layers: 2, heads: 4, width: 64, context: 32 }, facts);
    expect(config).toMatchObject({
      vocab: 65,
      keyValueHeads: 4,
      headWidth: 16,
      hidden: 192,
      window: 0,
      rotary: { base: 10000 },
    });
    expect(llamaFamily.build(config, facts).config).toEqual(config);
  });

  test("a preset gives way to what is written and to the tokenizer", () => {
    const { config } = llamaFamily.build({ preset: "qwen3-0.6b", layers: 2 }, facts);
    expect(config).toEqual({ ...llamaPresets["qwen3-0.6b"], layers: 2, vocab: 65 });
    expect(llamaFamily.build({ preset: "qwen3-0.6b" }, { task: "language-model" }).config.vocab).toBe(151936);
  });

  test.each([
    [{ heads: 4, width: 64, context: 8 }, "layers: missing"],
    [{ layers: 1, heads: 4, keyValueHeads: 3, width: 64, context: 8 }, "keyValueHeads: must divide heads (4), got 3"],
    [{ layers: 1, heads: 4, width: 20, context: 8 }, "headWidth: must be an even whole number, got 5"],
    [{ layers: 1, heads: 5, width: 64, context: 8 }, "headWidth: must be an even whole number, got 12.8"],
    [{ layers: 1, heads: 4, width: 64, context: 8, rotary: { scaling: { type: "ntk" } } }, "rotary"],
  ])("%j is refused", (settings, message) => {
    let text = "";
    try {
      llamaFamily.build(settings, facts);
    } catch (error) {
      text = String(error);
    }
    expect(text).toContain(message);
  });
});
