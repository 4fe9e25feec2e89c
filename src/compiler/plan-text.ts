// A plan's instructions as text: what is written from what, and where it lies. For people; nothing reads it back.
import { formatType } from "../base/index.ts";
import type { Instruction, Plan, PlanTensor } from "./plan.ts";

/** Kernel, operands with their places, strides and steps by turn (`>`), layer; `*` marks a commit. */
export function instructionText(plan: Plan, { kernel, inputs, outputs, node, commit, turns }: Instruction): string {
  const tensors = (list: readonly number[]) => list.map((at) => tensorText(plan, plan.tensors[at]!)).join(" ");
  const scope = plan.nodes[node]?.scope ?? "";
  const times = turns === undefined ? "" : `${turns}× `;
  return `${commit ? "* " : "  "}${times}${kernel.padEnd(18)} ${tensors(outputs)} <- ${tensors(inputs)}${scope ? `   # ${scope}` : ""}`;
}

function tensorText(
  { variables, feeds }: Plan,
  { space, index, offset, dtype, shape, strides, step }: PlanTensor,
): string {
  const place =
    space === "variable" ? variables[index]!.name : space === "feed" ? feeds[index]!.name : `${space}+${offset}`;
  return `${place}:${dtype}[${shape}]${strides.join() === "" ? "" : `/${strides}`}${step === undefined ? "" : `>${step}`}`;
}

/** Kernel and types alone, numbers that stand alone left out: the same for the same work, wherever it is done. */
export function workText(plan: Plan, { kernel, inputs, outputs }: Instruction): string {
  const types = (list: readonly number[]): string => {
    const shaped = list.map((at) => plan.tensors[at]!).filter(({ shape }) => shape.length > 0);
    const counts = new Map<string, number>();
    for (const { dtype, shape } of shaped) {
      const type = formatType(dtype, shape);
      counts.set(type, (counts.get(type) ?? 0) + 1);
    }
    return [...counts].map(([type, count]) => (count === 1 ? type : `${count}×${type}`)).join(" ") || "numbers";
  };
  return `${kernel} ${types(inputs)} -> ${types(outputs)}`;
}
