// A look at one step's gradients and updates, parameter by parameter: what is dead, and how far each moved. Reads, never writes.
import { type HostArray, sizeOf, toNumbers } from "../base/index.ts";
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

/** Elements of a gradient that are looked at at once. */
const chunk = 65_536;

/** One for all looks at a run, so that they leave no garbage behind. */
const buffers = new WeakMap<StepPrograms, ArrayBuffer>();

function bufferOf(programs: StepPrograms): ArrayBuffer {
  const buffer = buffers.get(programs) ?? new ArrayBuffer(chunk * 8);
  buffers.set(programs, buffer);
  return buffer;
}

/** What a look after the step is compared with: of each parameter at most 4096 elements, taken evenly. */
export function sampleParameters(programs: StepPrograms): ParameterSample {
  const buffer = bufferOf(programs);
  const sample = (name: string, elements: number) => {
    const step = Math.ceil(elements / sampled) | 1; // odd, so that it is no multiple of a width and meets every unit
    const part = { start: 0, step, count: Math.ceil(elements / step) };
    return Float64Array.from(toNumbers(programs.store.read(name, buffer, part)));
  };
  return new Map(programs.graphs.trainedTypes.map(({ name, shape }) => [name, sample(name, sizeOf(shape))]));
}

/** After the step whose beginning `before` shows. Costs another sample, and of each gradient as much as shows its last unit alive. */
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
      dead: deadUnits(shape.at(-1) ?? 1, gradientOf(programs, name, sizeOf(shape))),
    };
  });
}

/** All elements of a parameter's gradient, piece by piece through one buffer, of one sum after the other. */
function* gradientOf(
  programs: StepPrograms,
  name: string,
  elements: number,
): Iterable<readonly [start: number, HostArray]> {
  const buffer = bufferOf(programs);
  for (const one of programs.graphs.gradientNames(name))
    for (let start = 0; start < elements; start += chunk)
      yield [start, programs.store.read(one, buffer, { start, step: 1, count: Math.min(chunk, elements - start) })];
}

function rootMeanSquare(count: number, value: (at: number) => number): number {
  let sum = 0;
  for (let at = 0; at < count; at++) sum += value(at) ** 2;
  return Math.sqrt(sum / Math.max(1, count));
}

/** Ends at the row in which the last unit shows a gradient, mostly the first. */
function deadUnits(units: number, parts: Iterable<readonly [start: number, HostArray]>): number {
  const alive = new Uint8Array(units);
  let waiting = units;
  for (const [start, { data }] of parts) {
    for (let at = 0; at < data.length && waiting > 0; at++) {
      const unit = (start + at) % units;
      if (data[at] === 0 || alive[unit] === 1) continue;
      alive[unit] = 1;
      waiting--;
    }
    if (waiting === 0) break;
  }
  return waiting / Math.max(1, units);
}
