// A whole training step of a small transformer: native against reference, the same bytes for any number of threads, nothing
// written when the guard is false.
import { expect, test } from "vitest";
import { fromNumbers, type HostArray, RandomStream, sizeOf } from "../../src/base/index.ts";
import { compile, type Plan } from "../../src/compiler/index.ts";
import { type Engine, ReferenceEngine, type Store } from "../../src/engine/index.ts";
import { assertClose } from "../support/close.ts";
import { trainingStep } from "../support/deep-model.ts";
import { nativeEngine } from "../support/run-native.ts";

const small = { layers: 2, rows: 2, tokens: 8, width: 16, heads: 2, vocabulary: 40 };
const large = { layers: 1, rows: 4, tokens: 96, width: 96, heads: 4, vocabulary: 700 };

/** Parameters and slots as they start; second moments are positive. */
function start(store: Store): void {
  for (const name of store.names()) {
    const { dtype, shape } = store.typeOf(name);
    const random = new RandomStream(1, name);
    const draw = (i: number) => {
      if (name.startsWith("adam.v")) return 0.01 + 0.01 * random.uniform(i);
      return name.endsWith("ln_1.weight") || name.endsWith("ln_2.weight") || name.endsWith("ln_f.weight")
        ? 1 + 0.1 * random.normal(i)
        : 0.1 * random.normal(i);
    };
    store.write(
      name,
      fromNumbers(
        dtype,
        shape,
        Array.from({ length: sizeOf(shape) }, (_, i) => draw(i)),
      ),
    );
  }
}

function feedsOf(plan: Plan, vocabulary: number, lr: number): Record<string, HostArray> {
  return Object.fromEntries(
    plan.feeds.map(({ name, dtype, shape }) => {
      const random = new RandomStream(2, name);
      const values = Array.from({ length: sizeOf(shape) }, (_, i) =>
        name === "lr" ? lr : random.below(vocabulary, i),
      );
      return [name, fromNumbers(dtype, shape, values)];
    }),
  );
}

async function train(engine: Engine, model: typeof small, { steps = 2, lr = 0.01, optimize = true, spoil = "" } = {}) {
  const store = engine.createStore();
  const plan = compile(trainingStep(model), engine.target, { optimize });
  const program = engine.load(plan, store);
  start(store);
  if (spoil !== "") {
    const bad = store.read(spoil);
    (bad.data as Float32Array)[3] = Number.NaN;
    store.write(spoil, bad);
  }
  const before = new Map(store.names().map((name) => [name, store.read(name)]));
  const feeds = feedsOf(plan, model.vocabulary, lr);
  const results = await engine.run(Array.from({ length: steps }, () => ({ program, feeds })));
  const after = new Map(store.names().map((name) => [name, store.read(name)]));
  return { before, after, losses: results.map(({ outputs }) => Number(outputs.loss!.data[0])), results };
}

const bytesOf = (values: ReadonlyMap<string, HostArray>) =>
  [...values].map(
    ([name, { data }]) => `${name} ${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64")}`,
  );

test("native and reference agree on losses, parameters and slots", async () => {
  const expected = await train(new ReferenceEngine(), small);
  for (const optimize of [true, false]) {
    const actual = await train(nativeEngine()!, small, { optimize });
    assertClose(actual.losses, expected.losses, { relative: 1e-6, what: "losses" });
    for (const [name, value] of expected.after)
      assertClose(actual.after.get(name)!, value, { absolute: 2e-5, scale: 1e-5, what: name });
  }
  expect(expected.losses[1]).toBeLessThan(expected.losses[0]!);
});

test("1, 2 and 3 threads write the same bytes", async () => {
  const [one, two, three] = await Promise.all([1, 2, 3].map((threads) => train(nativeEngine(threads)!, large)));
  expect(bytesOf(two!.after)).toEqual(bytesOf(one!.after));
  expect(bytesOf(three!.after)).toEqual(bytesOf(one!.after));
  expect(two!.losses).toEqual(one!.losses);
});

test("a parameter that is not a number stops the update: no byte changes", async () => {
  for (const engine of [nativeEngine()!, new ReferenceEngine()]) {
    const { before, after, results } = await train(engine, small, { steps: 1, spoil: "h.0.fc.weight" });
    expect(results[0]!.committed).toBe(false);
    expect(bytesOf(after)).toEqual(bytesOf(before));
  }
});
