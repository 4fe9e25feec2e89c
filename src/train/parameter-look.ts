// A look at one step's gradients and updates, parameter by parameter: what is dead, and how far each moved. Reads, never writes.
import { byteSize, type DType, type HostArray, type Shape, sizeOf, toNumbers } from "../base/index.ts";
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

/** One for all looks at a run, as large as its largest tensor: the plan counts one such, and a look is to leave no garbage behind. */
const buffers = new WeakMap<StepPrograms, ArrayBuffer>();

function bufferOf(programs: StepPrograms): ArrayBuffer {
  const { trainedTypes, description } = programs.graphs;
  const bytes = (dtype: DType, shape: Shape) => sizeOf(shape) * byteSize(dtype);
  const sizes = trainedTypes.map(({ dtype, shape }) => Math.max(bytes(dtype, shape), bytes(description.dtype, shape)));
  const buffer = buffers.get(programs) ?? new ArrayBuffer(Math.max(...sizes));
  buffers.set(programs, buffer);
  return buffer;
}

/** What a look after the step is compared with. Costs a read of every parameter, one after the other through one buffer. */
export function sampleParameters(programs: StepPrograms): ParameterSample {
  const buffer = bufferOf(programs);
  return new Map(programs.graphs.trainedTypes.map(({ name }) => [name, sampleOf(programs.store.read(name, buffer))]));
}

/** After the step whose beginning `before` shows. Costs another read, and one of the gradients. */
export function lookAtParameters(programs: StepPrograms, before: ParameterSample): ParameterLook[] {
  const after = sampleParameters(programs);
  const buffer = bufferOf(programs);
  const parts = function* (name: string) {
    for (const one of programs.graphs.gradientNames(name)) yield programs.store.read(one, buffer);
  };
  return programs.graphs.trainedTypes.map(({ name, shape }) => {
    const [old, now] = [before.get(name)!, after.get(name)!];
    return {
      name,
      isMatrix: shape.length > 1,
      elements: sizeOf(shape),
      size: rootMeanSquare(old.length, (at) => old[at]!),
      change: rootMeanSquare(old.length, (at) => now[at]! - old[at]!),
      dead: deadUnits(shape.at(-1) ?? 1, parts(name)),
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
function deadUnits(units: number, parts: Iterable<HostArray>): number {
  const alive = new Uint8Array(units);
  let waiting = units;
  for (const { data } of parts) {
    if (waiting === 0) break;
    for (let at = 0; at < data.length && waiting > 0; at++) {
      if (data[at] === 0 || alive[at % units] === 1) continue;
      alive[at % units] = 1;
      waiting--;
    }
  }
  return waiting / Math.max(1, units);
}
