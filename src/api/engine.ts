// Which engine runs a recipe: the native one where it can, else the reference engine, which says so once and refuses what would take hours.
import { fail, formatCount } from "../base/index.ts";
import { type Engine, loadNativeEngine, ReferenceEngine } from "../engine/index.ts";
import type { Recipe } from "../recipe/index.ts";

export interface ChosenEngine {
  readonly engine: Engine;
  /** What the user should know about the choice; said once. */
  readonly note: string | undefined;
}

/**
 * The engine of a recipe. `isa` is the path of a run that goes on or is repeated: another would give other bytes, so it is
 * that one or none. Errors with `engine/missing`, `engine/precision`, `engine/isa`.
 */
export function chooseEngine(recipe: Pick<Recipe, "engine" | "precision">, isa?: string): ChosenEngine {
  const { name } = recipe.engine;
  const isDouble = recipe.precision === "f64";
  if (isDouble && name === "native") {
    fail("engine/precision", "the native engine has no f64 kernels", {
      where: "precision",
      expected: "f32",
      got: "f64",
      fix: "set engine.name: reference, or precision: f32",
    });
  }
  const path = isa ?? (recipe.engine.isa === "auto" ? undefined : recipe.engine.isa);
  if (isDouble || name === "reference" || isa === referenceIsa) return reference(name, isDouble, path);
  return native(recipe.engine, path);
}

const referenceIsa = "javascript";

function reference(name: Recipe["engine"]["name"], isDouble: boolean, path: string | undefined): ChosenEngine {
  if (name === "native" || (path !== undefined && path !== referenceIsa)) {
    fail("engine/isa", "two different engines are asked for", {
      where: "engine",
      expected: name === "native" ? "engine.name: native" : `instruction set ${path}`,
      got: name === "native" ? "a run of the reference engine" : "the reference engine",
      fix: "set engine.name: auto",
    });
  }
  const why = isDouble ? "precision f64 runs on the reference engine alone" : undefined;
  return { engine: new ReferenceEngine(), note: why && `${why}, which is slow` };
}

function native({ name, threads }: Recipe["engine"], path: string | undefined): ChosenEngine {
  const { engine, reason } = loadNativeEngine({
    ...(threads === "auto" ? {} : { threads }),
    ...(path === undefined ? {} : { isa: path as Exclude<Recipe["engine"]["isa"], "auto"> }),
  });
  if (engine !== undefined) return { engine, note: undefined };
  if (name === "native" || path !== undefined) {
    fail("engine/missing", "the native engine is not there", {
      where: name === "native" ? "engine.name" : "engine.isa",
      expected: path === undefined ? "the native engine" : `the native engine with ${path}`,
      got: reason,
      fix: "npx athanor engine build",
    });
  }
  return {
    engine: new ReferenceEngine(),
    note: `running on the reference engine, which is slow: ${reason}\n  build the fast one with: npx athanor engine build`,
  };
}

/** About what the reference engine does per second on an ordinary core: measured on matrix products. */
const referenceFlopsPerSecond = 3e8;

/** Refuses a run that the reference engine would need hours for. Errors with `engine/too-slow`. */
export function refuseHours(engine: Engine, totalFlops: number): void {
  const hours = totalFlops / referenceFlopsPerSecond / 3600;
  if (engine.name !== "reference" || hours < 2) return;
  fail("engine/too-slow", `the reference engine would need about ${Math.round(hours)} hours`, {
    where: "steps",
    expected: "at most 2 hours on the reference engine",
    got: `${formatCount(totalFlops)}FLOP`,
    fix: "build the native engine: npx athanor engine build (or make the run smaller)",
  });
}
