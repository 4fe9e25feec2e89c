// evaluate(): numbers out of a traced function, on the reference engine. For lessons, tests and small sums, not for training.
import { type DType, type FloatDType, fail, fromNumbers, type HostArray, sizeOf, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { type RandomInputs, Tensor, trace } from "../core/index.ts";
import { ReferenceEngine } from "./reference.ts";

/** A number, nested arrays of numbers, or a host array. */
export type FeedValue = number | boolean | readonly FeedValue[] | HostArray;

/** A result: `data` in row-major order. */
export interface Evaluated {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: number[];
  /** The only element. Errors when there are more. */
  readonly value: number;
}

export interface EvaluateOptions {
  /** Element type of floating feeds and constants; default f64. */
  readonly dtype?: FloatDType;
  readonly mode?: "train" | "eval";
  readonly random?: (inputs: { [name: string]: Tensor }) => RandomInputs;
}

/**
 * Runs `fn` on numbers. Feeds are passed to it in the order of their keys.
 *
 * @example
 * ```ts run
 * import { evaluate, grad } from "athanor";
 * const second = grad(grad((x) => x.sin()));
 * console.log(evaluate(second, { x: 1 }).value); // −sin 1
 * ```
 */
export function evaluate(
  fn: (...inputs: Tensor[]) => Tensor,
  feeds: { readonly [name: string]: FeedValue },
  options?: EvaluateOptions,
): Evaluated;
export function evaluate(
  fn: (...inputs: Tensor[]) => readonly Tensor[],
  feeds: { readonly [name: string]: FeedValue },
  options?: EvaluateOptions,
): Evaluated[];
export function evaluate<K extends string>(
  fn: (...inputs: Tensor[]) => { readonly [name in K]: Tensor },
  feeds: { readonly [name: string]: FeedValue },
  options?: EvaluateOptions,
): { readonly [name in K]: Evaluated };
export function evaluate(
  fn: (...inputs: Tensor[]) => Result,
  feeds: { readonly [name: string]: FeedValue },
  options: EvaluateOptions = {},
): Evaluated | Evaluated[] | { readonly [name: string]: Evaluated } {
  const dtype = options.dtype ?? "f64";
  const arrays = Object.fromEntries(
    Object.entries(feeds).map(([name, value]) => [name, toHostArray(value, dtype, name)]),
  );
  let [single, list] = [false, false];
  const graph = trace(
    arrays,
    (inputs) => {
      const result = fn(...Object.values(inputs));
      single = Tensor.is(result);
      list = isList(result);
      return isList(result) ? Object.fromEntries(result.map((tensor, at) => [at, tensor])) : result;
    },
    { ...options, floatDType: dtype },
  );
  const engine = new ReferenceEngine();
  const program = engine.load(compile(graph, engine.target), engine.createStore());
  const { outputs } = engine.runNow({ program, feeds: arrays });
  if (single) return toEvaluated(outputs.result!);
  if (list) return Object.values(outputs).map(toEvaluated);
  return Object.fromEntries(Object.entries(outputs).map(([name, array]) => [name, toEvaluated(array)]));
}

type Result = Tensor | readonly Tensor[] | { readonly [name: string]: Tensor };
const isList = (result: Result): result is readonly Tensor[] => Array.isArray(result);

function toEvaluated(array: HostArray): Evaluated {
  const data = Array.from(toNumbers(array));
  return {
    shape: array.shape,
    dtype: array.dtype,
    data,
    get value() {
      if (data.length !== 1)
        fail("evaluate/value", "the result has more than one element", {
          got: `shape [${array.shape}]`,
          fix: "read .data",
        });
      return data[0]!;
    },
  };
}

/** Nested arrays of one shape become an array of `dtype`; booleans become bool. Errors with `evaluate/ragged`. */
export function toHostArray(value: FeedValue, dtype: DType, name = "value"): HostArray {
  if (typeof value === "object" && value !== null && "data" in value) return value;
  const shape: number[] = [];
  for (let at: FeedValue = value; Array.isArray(at); at = at[0] as FeedValue) shape.push(at.length);
  const flat: number[] = [];
  let isBool = true;
  const visit = (item: FeedValue, depth: number): void => {
    if (Array.isArray(item) && item.length === shape[depth]) {
      for (const inner of item as readonly FeedValue[]) visit(inner, depth + 1);
    } else if ((typeof item === "number" || typeof item === "boolean") && depth === shape.length) {
      isBool &&= typeof item === "boolean";
      flat.push(Number(item));
    } else {
      fail("evaluate/ragged", `"${name}" is not a rectangular array of numbers`, {
        expected: `arrays of shape [${shape}]`,
        got: `${Array.isArray(item) ? `an array of ${item.length}` : item === null ? "null" : typeof item} at depth ${depth}`,
        fix: "give every row the same length, and numbers or booleans only",
      });
    }
  };
  visit(value, 0);
  return fromNumbers(isBool && sizeOf(shape) > 0 ? "bool" : dtype, shape, flat);
}
