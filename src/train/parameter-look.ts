// A look at one step's gradients and updates, parameter by parameter: what is dead, and how far each moved. Reads, never writes.
import { byteSize, type HostArray, sizeOf, toNumbers } from "../base/index.ts";
import type { StepPrograms } from "./programs.ts";

/** What a step did to one parameter. */
export interface ParameterLook {
  readonly name: string;
  /** Two axes or more. */
  readonly isMatrix: boolean;
  readonly elements: number;
  /** Root mean square of its elements before the step, and of their changes; over a sample of large ones. */
  readonly size: number;
  readonly change: number;
  /** Share of its units, which are the places of its last axis, that had no gradient at all. */
  readonly dead: number;
}

const sampled = 4096;

/** Elements of each trained parameter, by name. */
export type ParameterSample = ReadonlyMap<string, ArrayLike<number>>;

/** What a look after the step is compared with. Costs a read of every parameter, one after the other through one buffer. */
export function sampleParameters(programs: StepPrograms): ParameterSample {
  const types = programs.graphs.trainedTypes;
  const buffer = new ArrayBuffer(Math.max(...types.map(({ dtype, shape }) => sizeOf(shape) * byteSize(dtype))));
  return new Map(types.map(({ name }) => [name, sampleOf(programs.store.read(name, buffer))]));
}

/** After the step whose beginning `before` shows. Costs another read, and one of the gradients. */
export function lookAtParameters(programs: StepPrograms, before: ParameterSample): ParameterLook[] {
  const after = sampleParameters(programs);
  return programs.graphs.trainedTypes.map(({ name, shape }) => {
    const [old, now] = [before.get(name)!, after.get(name)!];
    return {
      name,
      isMatrix: shape.length > 1,
      elements: sizeOf(shape),
      size: rootMeanSquare(old.length, (at) => old[at]!),
      change: rootMeanSquare(old.length, (at) => now[at]! - old[at]!),
      dead: deadUnits(programs.graphs.gradientNames(name).map((one) => programs.store.read(one))),
    };
  });
}

/** Every n-th element; n is odd, so that it is no multiple of a width and meets every unit. */
function sampleOf(array: HostArray): ArrayLike<number> {
  const { dtype, data } = array;
  const stride = Math.ceil(data.length / sampled) | 1;
  const taken = data.slice(0, Math.ceil(data.length / stride)) as Float32Array;
  for (let at = 0; at < taken.length; at++) taken[at] = data[at * stride] as number;
  return Float64Array.from(toNumbers({ dtype, shape: [taken.length], data: taken }));
}

function rootMeanSquare(count: number, value: (at: number) => number): number {
  let sum = 0;
  for (let at = 0; at < count; at++) sum += value(at) ** 2;
  return Math.sqrt(sum / Math.max(1, count));
}

/** Ends at the row in which the last unit shows a gradient, mostly the first. */
function deadUnits(parts: readonly HostArray[]): number {
  const units = parts[0]!.shape.at(-1) ?? 1;
  const alive = new Uint8Array(units);
  let waiting = units;
  for (const { data } of parts) {
    for (let at = 0; at < data.length && waiting > 0; at++) {
      if (data[at] === 0 || alive[at % units] === 1) continue;
      alive[at % units] = 1;
      waiting--;
    }
  }
  return waiting / Math.max(1, units);
}
