// The tiny GPT-2 on the native engine in f32 against PyTorch's f32 figures; its text against the reference engine's.
import { describe, expect, test } from "vitest";
import { ReferenceEngine } from "../../src/engine/index.ts";
import { TokenGenerator } from "../../src/generate/index.ts";
import { Gpt } from "../../src/models/index.ts";
import { assertClose } from "../support/close.ts";
import { nativeEngine } from "../support/run-native.ts";
import { configOf, startOf, tinyGpt } from "../support/tiny-gpt.ts";
import { trainTinyGpt } from "../support/train-tiny-gpt.ts";

describe.skipIf(nativeEngine(1) === undefined).each(Object.entries(tinyGpt.variants))("variant %s", (_, variant) => {
  test("losses and the first step's gradient norms equal PyTorch's in f32", async () => {
    const run = await trainTinyGpt(variant, nativeEngine(2)!, { dtype: "f32", steps: 5 });
    assertClose(run.losses, variant.f32.losses, { absolute: 1e-5, what: "losses" });
    assertClose(run.globalNorms.slice(0, 1), [variant.f32.globalNorm], { relative: 1e-4, what: "global norm" });
    assertClose(run.gradNorms[0]!, variant.f32.gradNorms, { relative: 1e-4, what: "gradient norms" });
  });

  test("1, 2 and 3 threads end with the same bytes", async () => {
    const [one, ...others] = await Promise.all(
      [1, 2, 3].map(async (threads) => {
        const run = await trainTinyGpt(variant, nativeEngine(threads)!, {
          dtype: "f32",
          steps: tinyGpt.training.steps,
        });
        return Buffer.concat(
          [...run.parameters.values()].map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
        );
      }),
    );
    for (const other of others) expect(other.equals(one!)).toBe(true);
  });

  test("text over the cache is the reference engine's text", async () => {
    const model = new Gpt(configOf(variant));
    const texts: number[][] = [];
    for (const engine of [nativeEngine(2)!, new ReferenceEngine()]) {
      const store = engine.createStore();
      const values = startOf(variant, "f32");
      store.declare([...values].map(([name, { dtype, shape }]) => ({ name, dtype, shape })));
      for (const [name, value] of values) store.write(name, value);
      const generator = new TokenGenerator({ engine, store, model, chunk: 3 });
      const tokens: number[] = [];
      for await (const token of generator.generate([1, 5, 9, 2], { maxTokens: 20, seed: 4 })) tokens.push(token);
      texts.push(tokens);
    }
    expect(texts[0]).toEqual(texts[1]);
    expect(new Set(texts[0]).size).toBeGreaterThan(3);
  });
});
