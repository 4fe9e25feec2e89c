// Module: a piece of a model. Its fields, in order of declaration, are the tree of names; it holds no data and no mode.
import { AthanorError, fail } from "../base/index.ts";
import { currentScope, locate, type Tensor, withScope } from "../core/index.ts";
import { Parameter, withParameters } from "./parameter.ts";

const brand = Symbol.for("athanor.Module");

/** Full path of each module while its model is traced. */
const paths = new WeakMap<Module, string>();

export abstract class Module {
  get [brand](): true {
    return true;
  }

  static is(value: unknown): value is Module {
    return typeof value === "object" && value !== null && (value as { [brand]?: unknown })[brand] === true;
  }

  /** The computation, on tensors without data. Synchronous. */
  abstract forward(...inputs: Tensor[]): unknown;

  /**
   * Every parameter by name, in order of declaration. Names are field names joined by dots, `h.0.attn.c_attn.weight`.
   * A parameter that is reached twice (a tied weight) appears under its first name.
   */
  parameters(): Map<string, Parameter> {
    const found = new Map<string, Parameter>();
    const seen = new Set<Parameter>();
    visit(this, "", (path, value) => {
      if (!(value instanceof Parameter) || seen.has(value)) return;
      seen.add(value);
      found.set(path, value);
    });
    return found;
  }

  /** Every module by path, this one first under "". */
  modules(): Map<string, Module> {
    const found = new Map<string, Module>();
    visit(this, "", (path, value) => {
      if (Module.is(value)) found.set(path, value);
    });
    return found;
  }
}

/** Walks fields, arrays and plain objects, each object once. */
function visit(
  value: unknown,
  path: string,
  report: (path: string, value: unknown) => void,
  seen = new Set<object>(),
): void {
  if (typeof value !== "object" || value === null) return;
  if (value instanceof Parameter) {
    report(path, value);
    return;
  }
  const isPlain = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
  if (!(Module.is(value) || isPlain) || seen.has(value)) return;
  seen.add(value);
  if (Module.is(value)) report(path, value);
  for (const [name, field] of Object.entries(value)) visit(field, path === "" ? name : `${path}.${name}`, report, seen);
}

/**
 * Calls a module as part of its parent's forward: the nodes it makes carry its path, so that errors and profiles can say
 * `h.3.attn.c_attn`. Modules call their children through this.
 *
 * Returns whatever the module's `forward` returns.
 */
export function call<A extends readonly Tensor[], R>(module: { forward(...inputs: A): R }, ...inputs: A): R {
  return within(module, () => module.forward(...inputs));
}

/** The same for another method than `forward`: `within(block, () => block.decode(x, cache))`. */
export function within<R>(module: object, fn: () => R): R {
  const path = Module.is(module) ? paths.get(module) : undefined;
  return withScope(path ?? currentScope(), () => {
    try {
      return fn();
    } catch (error) {
      throw error instanceof AthanorError ? error.at(locate(path ?? module.constructor.name, error)) : error;
    }
  });
}

/**
 * Runs `fn`, usually `() => model.forward(x)`, with the model's parameters standing for the given tensors.
 * Every parameter must be given. Errors with `nn/missing-parameter`.
 */
export function functionalCall<T>(model: Module, tensors: ReadonlyMap<string, Tensor>, fn: () => T): T {
  const binding = new Map<Parameter, Tensor>();
  for (const [name, parameter] of model.parameters()) {
    const tensor = tensors.get(name);
    if (tensor === undefined)
      fail("nn/missing-parameter", `no tensor was given for parameter ${name}`, { where: model.constructor.name });
    binding.set(parameter, tensor);
  }
  for (const [path, module] of model.modules()) paths.set(module, path);
  return withParameters(binding, () => {
    try {
      return fn();
    } catch (error) {
      throw error instanceof AthanorError ? error.at(locate(model.constructor.name, error)) : error;
    }
  });
}
