// L-BFGS for small models (Liu & Nocedal 1989): all rows at once, a history of steps in place of a matrix, and line searches. It runs on the
// host, in f64, over the gradient programs of a step; as torch.optim.LBFGS with its strong-Wolfe search, to the same iterates.
import { fail, fromNumbers, sizeOf, toNumbers } from "../base/index.ts";
import { type LinePoint, searchLine } from "./line-search.ts";
import type { StepInputs, StepPrograms } from "./programs.ts";

export interface LbfgsOptions {
  /** Default 100. */
  readonly iterations?: number;
  /** Steps that are remembered. Default 10. */
  readonly history?: number;
  /** Length of a line search's first step, but for the first of all, which is no longer than 1. Default 1. */
  readonly step?: number;
  /** The search ends where no element of the gradient is larger. Default 1e-7. */
  readonly tolerance?: number;
  /** It also ends where a step or what the loss falls by is no larger. Default 1e-9. */
  readonly change?: number;
}

export interface LbfgsResult {
  readonly loss: number;
  readonly iterations: number;
  /** Gradients that were computed. */
  readonly evaluations: number;
  /** What ended it. */
  readonly reason: "iterations" | "tolerance" | "change";
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, at) => sum + x * b[at]!, 0);
const along = (x: Float64Array, t: number, d: Float64Array): Float64Array => x.map((value, at) => value + t * d[at]!);
const largest = (x: Float64Array): number => x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/**
 * Minimizes the loss over the rows of `inputs`, the batch of every step, and leaves the parameters where it ends. Dropout keeps one mask; the
 * programs' own optimizer only says which parameters are frozen. Errors with `train/non-finite`.
 *
 * @example
 * ```ts
 * import type { HostArray, StepPrograms } from "athanor";
 * import { lbfgs } from "athanor";
 * async function fitAll(programs: StepPrograms, features: HostArray, targets: HostArray) {
 *   const sampleIds = Int32Array.from({ length: targets.shape[0]! }, (_, row) => row);
 *   const { loss, reason } = await lbfgs(programs, { batch: { features, targets }, sampleIds }, { history: 20 });
 *   console.log(loss, reason);
 * }
 * ```
 */
export async function lbfgs(
  programs: StepPrograms,
  inputs: Pick<StepInputs, "batch" | "sampleIds">,
  options: LbfgsOptions = {},
): Promise<LbfgsResult> {
  const { iterations = 100, history = 10, step = 1, tolerance = 1e-7, change = 1e-9 } = options;
  const types = programs.graphs.trainedTypes;
  const { store } = programs;
  let evaluations = 0;
  const write = (x: Float64Array) => {
    let at = 0;
    for (const { name, dtype, shape } of types) {
      const size = sizeOf(shape);
      store.write(name, fromNumbers(dtype, shape, x.subarray(at, at + size)));
      at += size;
    }
  };
  const read = (): Float64Array => Float64Array.from(types.flatMap(({ name }) => [...toNumbers(store.read(name))]));
  const evaluate = async (x: Float64Array): Promise<{ loss: number; gradient: Float64Array }> => {
    write(x);
    evaluations++;
    const { loss, gradients } = await programs.gradient({ ...inputs, step: 0 });
    const gradient = Float64Array.from(types.flatMap(({ name }) => [...toNumbers(gradients.get(name)!)]));
    if (Number.isFinite(loss) && Number.isFinite(largest(gradient))) return { loss, gradient };
    return fail("train/non-finite", "a line search came to where the loss is not finite", {
      where: `gradient ${evaluations} of L-BFGS`,
      expected: "finite numbers",
      got: `loss ${loss}`,
      fix: "lower step, scale the features, or use another optimizer",
    });
  };
  let x = read();
  let { loss, gradient } = await evaluate(x);
  const moves: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  let scale = 1;
  const done = (count: number, reason: LbfgsResult["reason"]): LbfgsResult => {
    write(x);
    return { loss, iterations: count, evaluations, reason };
  };
  if (largest(gradient) <= tolerance) return done(0, "tolerance");
  for (let count = 1; count <= iterations; count++) {
    const d = direction(gradient, moves, scale);
    const slope = dot(gradient, d);
    if (slope > -change) return done(count - 1, "change");
    const first = count === 1 ? Math.min(1, 1 / gradient.reduce((sum, g) => sum + Math.abs(g), 0)) * step : step;
    const at = async (t: number): Promise<LinePoint> => {
      const point = await evaluate(along(x, t, d));
      return { t, ...point, slope: dot(point.gradient, d) };
    };
    const found = await searchLine(at, { t: 0, loss, gradient, slope }, first, change / largest(d));
    const s = d.map((value) => value * found.t);
    const y = found.gradient.map((value, i) => value - gradient[i]!);
    const fall = Math.abs(found.loss - loss);
    [x, loss, gradient] = [along(x, found.t, d), found.loss, found.gradient];
    if (largest(gradient) <= tolerance) return done(count, "tolerance");
    if (largest(s) <= change || fall < change) return done(count, "change");
    const curvature = dot(y, s);
    if (curvature > 1e-10) {
      moves.push({ s, y, rho: 1 / curvature });
      if (moves.length > history) moves.shift();
      scale = curvature / dot(y, y);
    }
  }
  return done(iterations, "iterations");
}

/** −H g by the two loops over the history (Nocedal & Wright 2006, algorithm 7.4), H starting as `scale` times the identity. */
function direction(
  gradient: Float64Array,
  moves: readonly { readonly s: Float64Array; readonly y: Float64Array; readonly rho: number }[],
  scale: number,
): Float64Array {
  let q: Float64Array = gradient.map((value) => -value);
  const shares: number[] = [];
  for (const { s, y, rho } of moves.toReversed()) {
    const share = rho * dot(s, q);
    shares.unshift(share);
    q = along(q, -share, y);
  }
  q = q.map((value) => value * scale);
  moves.forEach(({ s, y, rho }, at) => {
    q = along(q, shares[at]! - rho * dot(y, q), s);
  });
  return q;
}
