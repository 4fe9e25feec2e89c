// Which engine a recipe gets. That the native one runs is tested where it is built.
import { expect, test } from "vitest";
import { ReferenceEngine } from "../engine/index.ts";
import { parseRecipe } from "../recipe/index.ts";
import { chooseEngine, refuseHours } from "./engine.ts";

const recipe = (...set: string[]) => parseRecipe({ data: { path: "x" }, model: "mlp" }, { set });

test("f64 runs on the reference engine and says that it is slow; asked for by name it says nothing", () => {
  const { engine, note } = chooseEngine(recipe("precision=f64"));
  expect([engine.name, note]).toEqual(["reference", expect.stringContaining("slow")]);
  expect(chooseEngine(recipe("engine.name=reference"))).toMatchObject({
    engine: { name: "reference" },
    note: undefined,
  });
});

test.each([
  ["engine={ name: native }", "javascript", "engine/isa"],
  ["engine={ name: reference, isa: avx2 }", undefined, "engine/isa"],
  ["engine={ name: reference }", "avx512", "engine/isa"],
  ["engine={ name: auto }", "no-such-path", "engine/"],
])("%s with the path %s is refused", (change, isa, code) => {
  expect(() => chooseEngine(recipe(change), isa)).toThrow(code);
});

test("f64 on the native engine is refused", () => {
  expect(() => chooseEngine(recipe("precision=f64", "engine.name=native"))).toThrow(/engine\/precision/);
});

test("a run of the reference engine goes on with it, native or not", () => {
  expect(chooseEngine(recipe(), "javascript").engine.name).toBe("reference");
});

test("hours on the reference engine are refused with the command that helps", () => {
  const engine = new ReferenceEngine();
  expect(() => refuseHours(engine, 1e9)).not.toThrow();
  expect(() => refuseHours(engine, 1e14)).toThrow(/engine\/too-slow[\s\S]*engine build/);
});
