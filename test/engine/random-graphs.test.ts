// Random graphs on the native engine against the reference engine: values to f32's accuracy, optimized as not.
import { expect, test } from "vitest";
import { compile } from "../../src/compiler/index.ts";
import { type Engine, ReferenceEngine } from "../../src/engine/index.ts";
import { amount } from "../amount.ts";
import { assertClose } from "../support/close.ts";
import { type RandomProgram, randomProgram } from "../support/random-graph.ts";
import { nativeEngine } from "../support/run-native.ts";

async function outcome(engine: Engine, { graph, feeds, variables }: RandomProgram, optimize: boolean) {
  const store = engine.createStore();
  const program = engine.load(compile(graph, engine.target, { optimize }), store);
  for (const name of store.names()) store.write(name, variables[name]!);
  const [result] = await engine.run([{ program, feeds }]);
  const values = store.names().map((name) => [`variable ${name}`, store.read(name)] as const);
  return { committed: result!.committed, values: { ...result!.outputs, ...Object.fromEntries(values) } };
}

test.each(Array.from({ length: amount(150, 50) }, (_, seed) => seed))("graph %i", async (seed) => {
  const program = randomProgram(seed, { jumps: false });
  const expected = await outcome(new ReferenceEngine(), program, false);
  for (const optimize of [true, false]) {
    const actual = await outcome(nativeEngine()!, program, optimize);
    expect(actual.committed).toBe(expected.committed);
    for (const [name, value] of Object.entries(expected.values)) {
      const found = actual.values[name];
      if (found === undefined)
        expect(name).toMatch(/^variable/); // one that nothing reads is in no optimized plan
      else assertClose(found, value, { absolute: 2e-6, relative: 1e-5, scale: 2e-6, what: name });
    }
  }
});
