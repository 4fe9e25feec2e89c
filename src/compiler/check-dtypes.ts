// Which element types a kernel may be given: refused while compiling, with the place in the model.
import { type DType, fail, formatType } from "../base/index.ts";
import { type Graph, movesElements, type Node, type TapeStep, takesBf16 } from "../core/index.ts";
import type { Target } from "./target.ts";

/** Errors with `engine/dtype` where a node computes in what the target does not. Any element type can be moved. */
export function checkDTypes({ op, inputs, outputs, attrs, scope }: Node, graph: Graph, target: Target): void {
  const { computes, name } = target;
  const isForeign = (id: number, mayBeBf16: boolean): boolean => {
    const { dtype } = graph.value(id);
    return computes !== undefined && !computes.includes(dtype) && !((mayBeBf16 || op.ownBf16) && dtype === "bf16");
  };
  const casts =
    op.name === "tape" &&
    onlyCastsTouchBf16(attrs.steps as readonly TapeStep[], inputs.length, (at) => graph.value(inputs[at]!).dtype);
  const id =
    inputs.find((id, at) => isForeign(id, casts || takesBf16(op, at))) ??
    outputs.find((id, at) => isForeign(id, casts || op.bf16?.outputs.includes(at) === true));
  const foreign = id === undefined ? undefined : graph.value(id);
  if (foreign === undefined || movesElements(op)) return;
  fail("engine/dtype", `the ${name} engine does not compute in ${foreign.dtype}`, {
    where: scope,
    expected: computes?.join(", ") ?? "any",
    got: `${op.name === "tape" ? "arithmetic" : op.name} on ${formatType(foreign.dtype, foreign.shape)}`,
    fix: 'cast to f32, or choose engine "reference", which computes in every dtype',
  });
}

/** True when a chain only converts from and to bf16: its registers are f32. */
function onlyCastsTouchBf16(steps: readonly TapeStep[], numInputs: number, inputDType: (at: number) => DType): boolean {
  const dtypeOf = (register: number) =>
    register < numInputs ? inputDType(register) : steps[register - numInputs]!.dtype;
  return steps.every(
    ({ op, args, dtype, value }) =>
      op === "cast" || value !== undefined || ![dtype, ...args.map(dtypeOf)].includes("bf16"),
  );
}
