// Text of a mixture of experts, token by token over the cache: that of the pass over the whole, in f32 and in few bits; and a token
// multiplies the experts that were chosen for it alone.
import { describe, expect, test } from "vitest";
import { fromNumbers, type HostArray, RandomStream, sizeOf } from "../../src/base/index.ts";
import { compile } from "../../src/compiler/index.ts";
import { type QuantizedFormat, trace, variable } from "../../src/core/index.ts";
import { ReferenceEngine } from "../../src/engine/index.ts";
import { TokenGenerator } from "../../src/generate/index.ts";
import { Llama, type LlamaConfig, llamaPresets } from "../../src/models/index.ts";
import { functionalCall, KeyValueCache, quantizeLayers, storedParts } from "../../src/nn/index.ts";
import { referenceLogits } from "../support/reference-logits.ts";
import { nativeEngine } from "../support/run-native.ts";

const sizes = { vocab: 31, context: 40, width: 64, layers: 2, heads: 4, keyValueHeads: 2, headWidth: 16, hidden: 128 };
const configOf = (count: number): LlamaConfig => ({
  ...{ ...llamaPresets.nano, ...sizes },
  experts: { count, chosen: 2, balance: 0, z: 0 },
});
const config = configOf(6);
const values = new Map(
  Array.from(new Llama(config).parameters(), ([name, { shape }]): [string, HostArray] => {
    const random = new RandomStream(11, name);
    const [centre, scale] = shape.length === 1 ? [1, 0.2] : [0, 0.3];
    const draw = (_: unknown, at: number) => centre + scale * random.normal(at);
    return [name, fromNumbers("f32", shape, Float64Array.from({ length: sizeOf(shape) }, draw))];
  }),
);

function built(format: QuantizedFormat | undefined, settings = config): Llama {
  const model = new Llama(settings);
  if (format !== undefined) quantizeLayers(model, format);
  return model;
}

describe.each([undefined, "int8", "nf4"] as const)("%s", (format) => {
  test.skipIf(nativeEngine() === undefined)("the text is that of whole passes on the reference engine", async () => {
    const model = built(format);
    const parts = new Map(storedParts(model, values));
    const engine = nativeEngine()!;
    const store = engine.createStore();
    for (const [name, value] of parts) {
      store.declare([{ name, dtype: value.dtype, shape: value.shape }]);
      store.write(name, value);
    }
    const generator = new TokenGenerator({ engine, store, model, chunk: 4 });
    const prompts = [[3, 1, 4, 1, 5, 9], [2], [26, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3]];
    const texts = await generator.generateAll(prompts, { temperature: 0, maxTokens: 20 });
    for (const [at, prompt] of prompts.entries()) {
      const all = [...prompt, ...texts[at]!.tokens];
      const logits = referenceLogits(model, parts, fromNumbers("i32", [1, all.length], all));
      const best = (position: number) => {
        const row = Array.from(logits.slice(position * sizes.vocab, (position + 1) * sizes.vocab));
        return row.indexOf(Math.max(...row));
      };
      expect(texts[at]!.tokens).toEqual(texts[at]!.tokens.map((_, i) => best(prompt.length - 1 + i)));
    }
    expect(new Set(texts.flatMap(({ tokens }) => tokens)).size).toBeGreaterThan(10);
  });

  test.each([6, 12])("a token multiplies its two experts alone, of %i", (count) => {
    const model = built(format, configOf(count));
    const graph = trace(
      { tokens: { dtype: "i32", shape: [3, 1] }, at: { dtype: "i32", shape: [3] } },
      ({ tokens, at }) => {
        const parameters = new Map(
          Array.from(model.parameters(), ([name, { dtype = "f32", shape }]) => [name, variable(name, dtype, shape)]),
        );
        const cache = new KeyValueCache({ position: at, length: 40, prefix: "cache" });
        return functionalCall(model, parameters, () => model.decode(tokens, cache));
      },
    );
    const { code, nodes } = compile(graph, (nativeEngine() ?? new ReferenceEngine()).target);
    const products = code.filter(({ kernel }) => kernel.startsWith("grouped"));
    const flops = products.reduce((sum, { node }) => sum + nodes[node]!.flops, 0);
    expect(flops).toBe(sizes.layers * 3 * 2 * (3 * 2) * sizes.width * sizes.hidden); // three matrices, three tokens, two experts
  });
});
