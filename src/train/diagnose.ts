// What made a step non-finite: runs the same feeds again with a check behind every operation, and names the first culprit.
// Used after the guard has refused an update; never part of a normal step.
import { AthanorError, formatType, type HostArray, isFloat, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { applyCheck, type Graph, markOutput } from "../core/index.ts";
import type { StepInputs, StepPrograms } from "./programs.ts";

/** An error that names the first non-finite tensor of a step: a feed, a parameter, or an operation and its layer. */
export async function diagnose(programs: StepPrograms, inputs: StepInputs): Promise<AthanorError> {
  const { step } = inputs;
  const { targets } = inputs.batch;
  if (targets?.data.every((target) => target === -1 || Number.isNaN(target)) && targets.data.length > 0)
    return new AthanorError("train/all-masked", `step ${step + 1} stopped before the update: every target is masked`, {
      where: `feed "targets" of the batch of samples ${inputs.sampleIds[0]} to ${inputs.sampleIds.at(-1)}`,
      expected: "at least one target that counts",
      got: `${targets.data.length} targets, each ${targets.data[0]}`,
      fix: "look at how targets are masked; a cut that leaves only masked ones must drop the row",
    });
  for (const [name, array] of Object.entries(inputs.batch)) {
    const at = firstNonFinite(array);
    if (at >= 0) {
      const row = Math.floor(at / Math.max(1, array.data.length / (array.shape[0] ?? 1)));
      return nonFinite(`the data holds ${array.data[at]}`, step, {
        where: `feed "${name}", row ${row} of the batch (sample ${inputs.sampleIds[row]})`,
        got: `${array.data[at]} in ${formatType(array.dtype, array.shape)}`,
        fix: "clean the data, or set a policy for missing values",
      });
    }
  }
  for (const { name } of [...programs.graphs.parameterTypes, ...programs.graphs.slotTypes]) {
    const array = programs.store.read(name);
    const at = firstNonFinite(array);
    if (at >= 0) {
      return nonFinite(`${name} holds ${toNumbers(array)[at]}`, step, {
        where: name,
        got: `element ${at} of ${formatType(array.dtype, array.shape)}`,
        fix: "resume from an earlier checkpoint",
      });
    }
  }
  const culprit = await firstBadNode(programs, inputs);
  if (culprit !== undefined) {
    return nonFinite(`${culprit.op} gave a value that is not finite`, step, {
      where: `${culprit.scope || "the loss"} (operation ${culprit.op}${culprit.backward ? ", backward" : ""})`,
      got: culprit.type,
      fix: "lower the learning rate, clip the gradients (optimizer clip), or look at the rows of this batch",
    });
  }
  return nonFinite("the gradient norm is not finite", step, {
    where: "sum of the squared gradients",
    fix: "lower the learning rate or clip the gradients",
  });
}

function nonFinite(what: string, step: number, fields: { where: string; got?: string; fix: string }): AthanorError {
  return new AthanorError("train/non-finite", `step ${step + 1} stopped before the update: ${what}`, {
    expected: "finite numbers; no parameter was changed",
    ...fields,
  });
}

function firstNonFinite({ dtype, data }: HostArray): number {
  if (dtype === "bf16") return (data as Uint16Array).findIndex((word) => (word & 0x7f80) === 0x7f80);
  if (!(dtype === "f32" || dtype === "f64")) return -1;
  return (data as Float64Array).findIndex((value) => !Number.isFinite(value));
}

interface Culprit {
  readonly op: string;
  readonly scope: string;
  readonly type: string;
  readonly backward: boolean;
}

async function firstBadNode(programs: StepPrograms, inputs: StepInputs): Promise<Culprit | undefined> {
  const { engine, store, graphs } = programs;
  let lossNode = 0;
  // Level 0 with the gradients as outputs, so that nothing is dead and nothing is written.
  const graph = graphs.traced(programs.formOf(inputs), "train", (sums, parameters) => {
    lossNode = sums.sum.graph.value(sums.sum.id).node;
    graphs.markGradients(sums, parameters);
    addChecks(sums.sum.graph);
  });
  const program = engine.load(compile(graph, engine.target, { optimize: false }), store);
  for (const { feeds } of programs.accumulateCalls(inputs, { only: program })) {
    const [result] = await engine.run([{ program, feeds }]);
    const bad = Object.entries(result!.outputs)
      .filter(([name, array]) => name.startsWith("check:") && array.data[0] === 0)
      .map(([name]) => Number(name.slice(6)))
      .sort((a, b) => a - b)[0];
    if (bad === undefined) continue;
    const node = graph.producer(bad);
    const { dtype, shape } = graph.value(bad);
    return { op: node.op.name, scope: node.scope, type: formatType(dtype, shape), backward: node.id > lossNode };
  }
  return undefined;
}

/** Appends an "all finite" output for every floating result of a computing node. Minus infinity is at home in masks. */
function addChecks(graph: Graph): void {
  for (const node of [...graph.nodes]) {
    if (node.op.kind === "leaf" || node.op.kind === "view" || node.op.kind === "update" || node.op.name === "where")
      continue;
    const first = node.outputs[0];
    if (first === undefined || !isFloat(graph.value(first).dtype)) continue;
    markOutput(`check:${first}`, applyCheck(graph, first));
  }
}
