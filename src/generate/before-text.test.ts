// What is trained before a text, where it is set to what a text has: virtual tokens to rows of the token table, keys and values to those
// of its tokens. It then stands for that text: in whole passes, and in generation over the cache.
import { describe, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { type Tensor, trace } from "../core/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { type LanguageModel, TokenScorer } from "../eval/index.ts";
import { addPrefix, addPrompt, gptFamily, llamaFamily, tokenTableName } from "../models/index.ts";
import { functionalCall, initialize, type Module, prefixName, promptName } from "../nn/index.ts";
import { CachedDecoder } from "./cached-decoder.ts";
import { type CachedLanguageModel, DraftModel, TokenGenerator } from "./index.ts";

const facts = { task: "language-model", vocab: 20 } as const;
const words = [3, 7, 11];
const tokens = [5, 2, 9, 13, 5, 0, 1, 19];
const engine = new ReferenceEngine();

describe.each([
  ["gpt", "prompt"],
  ["gpt", "prefix"],
  ["llama", "prompt"],
  ["llama", "prefix"],
])("%s, %s", (familyName, kind) => {
  const family = familyName === "gpt" ? gptFamily : llamaFamily;
  const sizes = { layers: 2, heads: 2, width: 8, context: 12, ...(familyName === "gpt" ? {} : { keyValueHeads: 1 }) };
  const build = () => family.build(sizes, facts).module as CachedLanguageModel & LanguageModel;
  const [plain, begun] = [build(), build()];
  if (kind === "prompt") addPrompt(begun, words.length);
  else addPrefix(begun, { tokens: words.length });
  const name = kind === "prompt" ? promptName : prefixName;
  const values = new Map<string, HostArray>();
  for (const [name, { init, shape }] of plain.parameters()) {
    const { data } = initialize(init, name, shape, "f64", 5);
    // far from the usual start, so that logits differ enough for a fault in the cache to change the text
    const far = [...(data as Float64Array)].map((x) => (shape.length > 1 ? 10 * x : x));
    values.set(name, fromNumbers("f64", shape, far));
  }

  function storeOf(model: Module) {
    const store = engine.createStore();
    for (const [name, { shape }] of model.parameters()) {
      store.declare([{ name, dtype: "f64", shape }]);
      store.write(name, values.get(name)!);
    }
    return store;
  }

  /** What stands for these tokens: their rows of the table, or what a cache has of them. */
  async function madeOf(ids: readonly number[]): Promise<HostArray> {
    const { shape } = begun.parameters().get(name)!;
    if (kind === "prompt") {
      const table = toNumbers(values.get(tokenTableName(plain))!);
      return fromNumbers(
        "f64",
        shape,
        ids.flatMap((id) => [...table.slice(8 * id, 8 * id + 8)]),
      );
    }
    const store = storeOf(plain);
    const decoder = new CachedDecoder({ engine, store, model: plain }, { rows: 1, context: ids.length, chunk: 4 });
    await decoder.read([{ tokens: ids, position: 0 }]);
    const cached = store.names().filter((name) => name.startsWith("cache."));
    const layers = [0, 1].flatMap((layer) => ["k", "v"].map((part) => new RegExp(`\\.${layer}\\..*\\.${part}$`)));
    const parts = layers.map((one) => toNumbers(store.read(cached.find((name) => one.test(name))!)));
    const width = shape[1]! / parts.length;
    const rows = ids.map((_, at) => parts.map((part) => [...part.subarray(at * width, (at + 1) * width)]));
    return fromNumbers("f64", shape, rows.flat(2));
  }

  async function begunStore() {
    values.set(name, await madeOf(words));
    return storeOf(begun);
  }

  function logitsOf(model: Module, ids: readonly number[]): number[] {
    const own = [...model.parameters().keys()].map((name) => [name, values.get(name)!] as const);
    const feeds = { ...Object.fromEntries(own), tokens: fromNumbers("i32", [1, ids.length], ids) };
    const graph = trace(
      feeds,
      ({ tokens, ...parameters }: { readonly [name: string]: Tensor }) =>
        functionalCall(model, new Map(Object.entries(parameters)), () => model.forward(tokens!)) as Tensor,
      { floatDType: "f64" },
    );
    return [...toNumbers(runReference(graph, feeds).result!)];
  }

  test("a whole pass", async () => {
    values.set(name, await madeOf(words));
    const whole = logitsOf(plain, [...words, ...tokens]).slice(words.length * facts.vocab);
    assertClose(logitsOf(begun, tokens), whole, { absolute: 1e-12, what: "logits" });
  });

  test("scores of tokens, up to the room that is left", async () => {
    const [row] = [{ tokens: [...tokens, 4, 6], from: 1 }];
    const scorer = new TokenScorer({ engine, store: await begunStore(), model: begun, batch: 1 });
    const [score] = await scorer.score([row]);
    const whole = new TokenScorer({ engine, store: storeOf(plain), model: plain, batch: 1 });
    const [wanted] = await whole.score([{ tokens: [...words, ...row.tokens], from: words.length + 1 }]);
    expect(score!.logProbability).toBeCloseTo(wanted!.logProbability, 10);
    await expect(scorer.score([{ tokens: [...row.tokens, 1], from: 1 }])).rejects.toMatchObject({ code: "eval/row" });
  });

  test("a draft that has it, or not, changes no text, past the end of the context too", async () => {
    const generator = new TokenGenerator({ engine, store: await begunStore(), model: begun, chunk: 2 });
    const prompts = [tokens.slice(0, 5), tokens.slice(3, 4)];
    const options = { maxTokens: 14, temperature: 0 };
    const wanted = await generator.generateAll(prompts, options);
    for (const model of [begun, plain]) {
      const draft = new DraftModel({ engine, store: storeOf(model), model });
      const got = await generator.generateAll(prompts, { ...options, draft, draftTokens: 3 });
      expect(got.map(({ tokens }) => tokens)).toEqual(wanted.map(({ tokens }) => tokens));
      for (const { draft: counts } of got) {
        expect(counts!.proposed).toBeGreaterThan(0);
        if (model === begun) expect(counts!.accepted).toBe(counts!.proposed); // the model would say the same itself
      }
    }
  });

  test("texts of several lengths at once, in chunks; also after what was trained changed", async () => {
    const store = await begunStore();
    const generator = new TokenGenerator({ engine, store, model: begun, chunk: 2 });
    const reference = new TokenGenerator({ engine, store: storeOf(plain), model: plain });
    expect(generator.context).toBe(12 - words.length);
    const options = { maxTokens: 4, temperature: 0 };
    const prompts = [tokens.slice(0, 5), tokens.slice(3, 4), tokens.slice(2, 5)];
    for (const before of [words, [17, 0, 4]]) {
      store.write(name, await madeOf(before));
      const got = await generator.generateAll(prompts, options);
      const longer = prompts.map((ids) => [...before, ...ids]);
      expect(got).toEqual(await reference.generateAll(longer, options));
    }
  });

  test("rows of several documents are refused, and texts longer than the room", async () => {
    values.set(name, await madeOf(words));
    const type = { dtype: "i32", shape: [1, 4] } as const;
    const run = (length: number, packed: boolean) =>
      trace(
        {
          tokens: { dtype: "i32", shape: [1, length] },
          positions: type,
          documents: type,
          ...Object.fromEntries(values),
        },
        (feeds) => {
          const { tokens, positions, documents, ...parameters } = feeds as unknown as {
            readonly [name: string]: Tensor;
          };
          const rest = packed ? [positions!, documents!] : [];
          return functionalCall(begun, new Map(Object.entries(parameters)), () =>
            begun.forward(tokens!, ...rest),
          ) as Tensor;
        },
      );
    expect(() => run(4, true)).toThrow(expect.objectContaining({ code: "model/packed" }));
    expect(() => run(10, false)).toThrow(expect.objectContaining({ code: "model/context" }));
    expect(() => run(9, false)).not.toThrow();
  });
});
