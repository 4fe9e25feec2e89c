// The coordinate check of muP (Yang et al. 2022, appendix D.1): how far a few steps move what each layer puts out, by width.
import type { HostArray } from "../base/index.ts";
import { gradients, type Tensor } from "../core/index.ts";
import { evaluate } from "../engine/index.ts";
import { functionalCall, initialize, type Module, mup, Parameter } from "../nn/index.ts";

type Model = { forward(x: Tensor): Tensor } & Module;

export interface CoordinateOptions {
  /** At least two, rising; the first is the base that muP scales from. */
  readonly widths: readonly number[];
  readonly x: HostArray;
  readonly target: HostArray;
  /** A scalar. */
  readonly loss: (output: Tensor, target: Tensor) => Tensor;
  /** Starts and rates as muP has them, or the same rate for all parameters of all widths. */
  readonly mup: boolean;
  /** Default 0.01. */
  readonly lr?: number;
  /** Default 3. */
  readonly steps?: number;
  /** Starts whose changes are averaged; default 1, 2 and 3. */
  readonly seeds?: readonly number[];
}

export interface LayerChange {
  /** Path of a module that has parameters of its own. */
  readonly layer: string;
  /** Root mean square of what the steps changed in its output, by width. */
  readonly changes: readonly number[];
  /** Of log change against log width, by least squares: 0 where a rate that is right for one width is right for all. */
  readonly slope: number;
}

/**
 * Trains `build(width)` for a few steps of Adam without memory (each parameter moves by its rate, against the sign of its gradient), on the
 * reference engine, and compares what every layer puts out before and after.
 *
 * @example
 * ```ts
 * const layers = coordinateCheck((width) => new Mlp([16, width, width, 4]), {
 *   widths: [32, 64, 128],
 *   x: fromNumbers("f64", [1, 16], new Array(16).fill(0.5)),
 *   target: fromNumbers("f64", [1, 4], [1, 0, 0, 0]),
 *   loss: (output, target) => meanSquaredError(output, target),
 *   mup: true,
 * });
 * console.table(layers); // a slope of about 0 in each
 * ```
 */
export function coordinateCheck(build: (width: number) => Model, options: CoordinateOptions): LayerChange[] {
  const { widths, seeds = [1, 2, 3] } = options;
  const byWidth = widths.map((width) => seeds.map((seed) => changesOf(build, width, seed, options)));
  return Object.keys(byWidth[0]![0]!).map((layer) => {
    const changes = byWidth.map((runs) => runs.reduce((sum, run) => sum + run[layer]!, 0) / seeds.length);
    return { layer, changes, slope: slopeOf(widths.map(Math.log), changes.map(Math.log)) };
  });
}

function slopeOf(x: readonly number[], y: readonly number[]): number {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  const spread = x.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return x.reduce((sum, value, at) => sum + (value - mean) * y[at]!, 0) / spread;
}

function changesOf(
  build: (width: number) => Model,
  width: number,
  seed: number,
  { widths, x, target, loss, mup: scales, lr = 0.01, steps = 3 }: CoordinateOptions,
): { [layer: string]: number } {
  const model = build(width);
  const rates = scales ? mup(model, build(widths[0]!)) : undefined;
  const names = [...model.parameters().keys()];
  const bound = (given: readonly Tensor[]) => new Map(names.map((name, at) => [name, given[at]!]));
  const feeds = (state: readonly HostArray[]) => ({
    ...Object.fromEntries(state.map((array, at) => [`parameter ${at}`, array])),
    x,
    target,
  });
  const outputs = (state: readonly HostArray[]) =>
    evaluate((...given) => functionalCall(model, bound(given), () => outputsOf(model, given.at(-2)!)), feeds(state));
  const step = (state: readonly HostArray[]): HostArray[] => {
    const next = evaluate((...given) => {
      const value = functionalCall(model, bound(given), () => loss(model.forward(given.at(-2)!), given.at(-1)!));
      const found = gradients([value], given.slice(0, names.length));
      const moved = names.map((name, at) => {
        const slope = found[at];
        return slope === undefined ? given[at]! : given[at]!.sub(slope.sign().mul(lr * (rates?.get(name)?.adam ?? 1)));
      });
      return Object.fromEntries(moved.map((tensor, at) => [`${at}`, tensor]));
    }, feeds(state));
    return names.map((_, at) => {
      const { shape, data } = next[`${at}`]!;
      return { dtype: "f64", shape, data: Float64Array.from(data) };
    });
  };
  let state = [...model.parameters()].map(([name, { init, shape }]) => initialize(init, name, shape, "f64", seed));
  const before = outputs(state);
  for (let done = 0; done < steps; done++) state = step(state);
  const after = outputs(state);
  return Object.fromEntries(
    Object.entries(after).map(([layer, { data }]) => {
      const squares = data.reduce((sum, value, at) => sum + (value - before[layer]!.data[at]!) ** 2, 0);
      return [layer, Math.sqrt(squares / data.length)];
    }),
  );
}

/** What each module that has parameters of its own puts out while the model runs, by path. */
function outputsOf(model: Model, x: Tensor): { [layer: string]: Tensor } {
  const outputs: { [layer: string]: Tensor } = {};
  const layers = [...model.modules()].filter(([, module]) =>
    Object.values(module).some((field) => field instanceof Parameter),
  );
  for (const [path, module] of layers) {
    const forward = module.forward.bind(module);
    module.forward = (...inputs: Tensor[]) => {
      const output = forward(...inputs);
      outputs[path] = output as Tensor;
      return output;
    };
  }
  try {
    model.forward(x);
  } finally {
    for (const [, module] of layers) Reflect.deleteProperty(module, "forward");
  }
  return outputs;
}
