// What adapters begin as where the weight beside them says so: the lengths of its columns (DoRA), its largest singular vectors (PiSSA).
// Written once, before the first step.
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { adaptedLayers, largestFactors, wholeTensors } from "../nn/index.ts";
import type { StepPrograms } from "../train/index.ts";

/** Writes those parameters of the adapters that `isFresh` names. */
export function startAdapters({ graphs, store }: StepPrograms, isFresh: (name: string) => boolean = () => true): void {
  const names = store.names();
  for (const [path, { lora }] of adaptedLayers(graphs.description.model)) {
    if (!isFresh(`${path}.lora.A`) || (lora.magnitude === undefined && lora.A0 === undefined)) continue;
    const name = `${path}.weight`;
    const parts = names.filter((one) => one === name || one.startsWith(`${name}.`));
    const weight = wholeTensors(new Map(parts.map((part) => [part, store.read(part)]))).get(name)!;
    const write = (part: string, values: Float64Array) => {
      const { dtype, shape } = store.typeOf(`${path}.lora.${part}`);
      store.write(`${path}.lora.${part}`, fromNumbers(dtype, shape, values));
    };
    if (lora.magnitude !== undefined) write("magnitude", columnLengths(weight));
    if (lora.A0 === undefined) continue;
    const { left, right } = largestFactors(weight, lora.A0.shape[1]!);
    const root = Math.sqrt(lora.scale); // of which each factor takes its share
    for (const part of ["A", "A0"])
      write(
        part,
        left.map((value) => value / root),
      );
    for (const part of ["B", "B0"])
      write(
        part,
        right.map((value) => value / root),
      );
  }
}

function columnLengths(weight: HostArray): Float64Array {
  const columns = weight.shape[1]!;
  const squares = new Float64Array(columns);
  toNumbers(weight).forEach((value, at) => {
    squares[at % columns]! += value * value;
  });
  return squares.map(Math.sqrt);
}
