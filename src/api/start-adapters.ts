// What adapters begin as where the weight beside them says so: the lengths of its columns (DoRA), its largest singular vectors (PiSSA); of virtual
// tokens, the vectors of a text. Written once, before the first step.
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { parseTokenizer } from "../data/index.ts";
import { tokenTableName } from "../models/index.ts";
import { adaptedLayers, largestFactors, promptName, wholeTensors } from "../nn/index.ts";
import type { Prepared } from "../recipe/index.ts";
import type { StepPrograms } from "../train/index.ts";

/** Writes those parameters of the adapters that `isFresh` names. */
export function startAdapters(
  programs: StepPrograms,
  prepared: Prepared,
  isFresh: (name: string) => boolean = () => true,
): void {
  const { graphs, store } = programs;
  if (isFresh(promptName)) startPrompt(programs, prepared);
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

/** Virtual tokens begin as the tokens of a text, over and over, where it is given (Lester et al. 2021, section 2.2). */
function startPrompt({ graphs, store }: StepPrograms, { recipe, files }: Prepared): void {
  const { tokens = 0, text } = recipe.adapter?.prompt ?? {};
  if (text === undefined) return;
  const ids = parseTokenizer(files["tokenizer.json"]!).encode(text);
  const name = tokenTableName(graphs.description.model);
  const width = store.typeOf(name).shape[1]!;
  const row = (id: number) => toNumbers(store.read(name, undefined, { start: id * width, step: 1, count: width }));
  const rows = Array.from(ids.subarray(0, tokens), row);
  const { dtype, shape } = store.typeOf(promptName);
  const values = Array.from({ length: tokens }, (_, at) => [...rows[at % ids.length]!]).flat();
  store.write(promptName, fromNumbers(dtype, shape, values));
}

function columnLengths(weight: HostArray): Float64Array {
  const columns = weight.shape[1]!;
  const squares = new Float64Array(columns);
  toNumbers(weight).forEach((value, at) => {
    squares[at % columns]! += value * value;
  });
  return squares.map(Math.sqrt);
}
