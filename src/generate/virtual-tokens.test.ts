// Virtual tokens that are rows of the token table stand for the text of these tokens: in whole passes, and in generation over the cache.
import { describe, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { type Tensor, trace } from "../core/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { addPrompt, gptFamily, llamaFamily, tokenTableName } from "../models/index.ts";
import { functionalCall, initialize, type Module, promptName } from "../nn/index.ts";
import { type CachedLanguageModel, DraftModel, TokenGenerator } from "./index.ts";

const facts = { task: "language-model", vocab: 20 } as const;
const words = [3, 7, 11];
const tokens = [5, 2, 9, 13, 5, 0, 1, 19];
const engine = new ReferenceEngine();

describe.each([gptFamily, llamaFamily])("$name", (family) => {
  const build = () => family.build({ layers: 2, heads: 2, width: 8, context: 12 }, facts).module as CachedLanguageModel;
  const [plain, prompted] = [build(), build()];
  addPrompt(prompted, words.length);
  const values = new Map<string, HostArray>();
  for (const [name, { init, shape }] of plain.parameters()) {
    const { data } = initialize(init, name, shape, "f64", 5);
    // far from the usual start, so that logits differ enough for a fault in the cache to change the text
    values.set(
      name,
      fromNumbers(
        "f64",
        shape,
        [...(data as Float64Array)].map((x) => (shape.length > 1 ? 10 * x : x)),
      ),
    );
  }
  const tableName = tokenTableName(plain);
  const table = toNumbers(values.get(tableName)!);
  const rowsOf = (ids: readonly number[]) =>
    fromNumbers(
      "f64",
      [ids.length, 8],
      ids.flatMap((id) => [...table.slice(8 * id, 8 * id + 8)]),
    );
  values.set(promptName, rowsOf(words));

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

  test("a whole pass", () => {
    const whole = logitsOf(plain, [...words, ...tokens]).slice(words.length * facts.vocab);
    assertClose(logitsOf(prompted, tokens), whole, { absolute: 1e-12, what: "logits" });
  });

  function storeOf(model: Module) {
    const store = engine.createStore();
    for (const [name, { shape }] of model.parameters()) {
      store.declare([{ name, dtype: "f64", shape }]);
      store.write(name, values.get(name)!);
    }
    return store;
  }

  test("a draft that has them, or none, changes no text, past the end of the context too", async () => {
    const generator = new TokenGenerator({ engine, store: storeOf(prompted), model: prompted, chunk: 2 });
    const prompts = [tokens.slice(0, 5), tokens.slice(3, 4)];
    const options = { maxTokens: 14, temperature: 0 };
    const wanted = await generator.generateAll(prompts, options);
    for (const model of [prompted, plain]) {
      const draft = new DraftModel({ engine, store: storeOf(model), model });
      const got = await generator.generateAll(prompts, { ...options, draft, draftTokens: 3 });
      expect(got.map(({ tokens }) => tokens)).toEqual(wanted.map(({ tokens }) => tokens));
      for (const { draft: counts } of got) {
        expect(counts!.proposed).toBeGreaterThan(0);
        if (model === prompted) expect(counts!.accepted).toBe(counts!.proposed); // the model would say the same itself
      }
    }
  });

  test("texts of several lengths at once, in chunks; also after the virtual tokens changed", async () => {
    const store = storeOf(prompted);
    const generator = new TokenGenerator({ engine, store, model: prompted, chunk: 2 });
    const reference = new TokenGenerator({ engine, store: storeOf(plain), model: plain });
    expect(generator.context).toBe(12 - words.length);
    const options = { maxTokens: 4, temperature: 0 };
    const prompts = [tokens.slice(0, 5), tokens.slice(3, 4), tokens.slice(2, 5)];
    for (const before of [words, [17, 0, 4]]) {
      store.write(promptName, rowsOf(before));
      const got = await generator.generateAll(prompts, options);
      const wanted = await reference.generateAll(
        prompts.map((ids) => [...before, ...ids]),
        options,
      );
      expect(got).toEqual(wanted);
    }
  });

  test("rows of several documents are refused, and texts longer than the room", () => {
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
          return functionalCall(prompted, new Map(Object.entries(parameters)), () =>
            prompted.forward(tokens!, ...rest),
          ) as Tensor;
        },
      );
    expect(() => run(4, true)).toThrow(expect.objectContaining({ code: "nn/prompt" }));
    expect(() => run(10, false)).toThrow(expect.objectContaining({ code: "model/context" }));
    expect(() => run(9, false)).not.toThrow();
  });
});
