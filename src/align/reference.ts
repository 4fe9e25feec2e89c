// What the model thinks before it is trained: log-probabilities of whole completions, computed once and kept with the run.
import { fail, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { type Tensor, trace } from "../core/index.ts";
import type { Program } from "../engine/index.ts";
import { functionalCall } from "../nn/index.ts";
import type { StepPrograms } from "../train/index.ts";
import { completionLogProbs } from "./completions.ts";
import type { PairDataset } from "./preference-data.ts";

/** The file of a checkpoint that keeps them. */
export const referenceFile = "reference.json";

const format = "athanor-reference";

/** One program for the log-probabilities of `rows` completions of `width` positions, by the weights in the store as they are. */
export function logProbProgram(
  { graphs, engine, store }: StepPrograms,
  { rows, width, perToken }: { readonly rows: number; readonly width: number; readonly perToken: boolean },
): Program {
  const { model, dtype } = graphs.description;
  const graph = trace(
    { tokens: { dtype: "i32", shape: [rows, width] }, targets: { dtype: "i32", shape: [rows, width] } },
    ({ tokens, targets }: { [name: string]: Tensor }) => ({
      sums: functionalCall(model, graphs.evaluatedWeights(), () =>
        completionLogProbs(model, tokens!, targets!, perToken),
      ),
    }),
    { mode: "eval", floatDType: dtype },
  );
  return engine.load(compile(graph, engine.target, graphs.compileOptions("evaluate")), store);
}

/**
 * Writes the reference's log-probabilities into datasets: those of `saved`, the text that this gave before, or of the weights in the
 * store. Returns the text to keep. Errors with `align/reference` where what was saved is of other pairs.
 */
export async function writeReference(
  datasets: { readonly [part: string]: PairDataset },
  programs: StepPrograms,
  options: { readonly sides: readonly string[]; readonly perToken: boolean; readonly saved?: string | undefined },
): Promise<string> {
  const { sides, perToken, saved } = options;
  if (saved !== undefined) {
    readSaved(datasets, sides, saved);
    return saved;
  }
  const rows = programs.graphs.description.evalBatchSize;
  const [{ width }] = Object.values(datasets) as [PairDataset];
  const program = logProbProgram(programs, { rows, width, perToken });
  const parts: Record<string, object> = {};
  for (const [part, dataset] of Object.entries(datasets)) {
    const columns: Record<string, string> = {};
    for (const side of sides) {
      const values = new Float32Array(dataset.length);
      for (let start = 0; start < dataset.length; start += rows) {
        const positions = Array.from({ length: rows }, (_, at) => Math.min(start + at, dataset.length - 1));
        const [result] = await programs.engine.run([{ program, feeds: dataset.rowsOf(side, positions) }]);
        values.set(toNumbers(result!.outputs.sums!).subarray(0, dataset.length - start), start);
      }
      dataset.reference.set(side, values);
      columns[side] = Buffer.from(values.buffer).toString("base64");
    }
    parts[part] = { fingerprint: dataset.fingerprint, ...columns };
  }
  return JSON.stringify({ format, ...parts });
}

function readSaved(datasets: { readonly [part: string]: PairDataset }, sides: readonly string[], saved: string): void {
  const parts = JSON.parse(saved) as { [part: string]: { [column: string]: string } | undefined };
  for (const [part, dataset] of Object.entries(datasets)) {
    if (parts[part]?.fingerprint !== dataset.fingerprint)
      fail("align/reference", "what the reference thinks is kept of other pairs than these", {
        where: referenceFile,
        expected: `pairs with the fingerprint ${parts[part]?.fingerprint}`,
        got: dataset.fingerprint,
        fix: "give the data that the run was trained with: the weights that it began with are gone",
      });
    for (const side of sides) {
      const bytes = Buffer.from(parts[part]![side] ?? "", "base64");
      const values = new Float32Array(new Uint8Array(bytes).buffer);
      if (values.length !== dataset.length)
        fail("align/reference", "the reference's file is damaged", {
          where: `${referenceFile}, ${part}.${side}`,
          expected: `${dataset.length} numbers`,
          got: String(values.length),
          fix: "go on from an earlier checkpoint",
        });
      dataset.reference.set(side, values);
    }
  }
}
