// Which engine runs a recipe: the native one where it can, else the reference engine, which says so once and refuses what would take hours.
import { fail } from "../base/index.ts";
import { type Engine, loadNativeEngine, ReferenceEngine } from "../engine/index.ts";
import type { Recipe } from "../recipe/index.ts";

export interface ChosenEngine {
  readonly engine: Engine;
  /** What the user should know about the choice; said once. */
  readonly note: string | undefined;
}

/** The engine of a recipe. `isa` is the path of a run that is resumed. Errors with `engine/missing`, `engine/precision`. */
export function chooseEngine(recipe: Pick<Recipe, "engine" | "precision">, isa?: string): ChosenEngine {
  const { name, threads } = recipe.engine;
  if (recipe.precision === "bf16") {
    fail("engine/precision", "bf16 kernels are not built yet", {
      where: "precision",
      expected: "f32 or f64",
      got: "bf16",
      fix: "set precision: f32",
    });
  }
  if (recipe.precision === "f64") {
    if (name === "native")
      fail("engine/precision", "the native engine has no f64 kernels", {
        where: "precision",
        fix: "set engine.name: reference, or precision: f32",
      });
    return { engine: new ReferenceEngine(), note: "precision f64 runs on the reference engine, which is slow" };
  }
  if (name === "reference") return { engine: new ReferenceEngine(), note: undefined };
  const path = isa ?? recipe.engine.isa;
  const native = loadNativeEngine({
    ...(threads === "auto" ? {} : { threads }),
    ...(path === "auto" || path === "javascript" ? {} : { isa: path }),
  });
  if (native.engine !== undefined) return { engine: native.engine, note: undefined };
  if (name === "native")
    fail("engine/missing", "the native engine is not there", {
      where: "engine.name",
      got: native.reason,
      fix: "npx athanor engine build",
    });
  return {
    engine: new ReferenceEngine(),
    note: `running on the reference engine, which is slow: ${native.reason}\n  build the fast one with: npx athanor engine build`,
  };
}

/** About what the reference engine does per second on an ordinary core: measured on matrix products. */
const referenceFlopsPerSecond = 3e8;

/** Refuses a run that the reference engine would need hours for. Errors with `engine/too-slow`. */
export function refuseHours(engine: Engine, totalFlops: number): void {
  const hours = totalFlops / referenceFlopsPerSecond / 3600;
  if (engine.name !== "reference" || hours < 2) return;
  fail("engine/too-slow", `the reference engine would need about ${Math.round(hours)} hours`, {
    expected: "at most 2 hours on the reference engine",
    fix: "build the native engine: npx athanor engine build (or make the run smaller)",
  });
}
