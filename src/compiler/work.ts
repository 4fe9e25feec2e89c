// What an instruction has to do at least: its arithmetic, and the bytes that it must read and write. Not how long it takes.
import { byteSize } from "../base/index.ts";
import type { Instruction, Plan, PlanTensor } from "./plan.ts";

export interface Work {
  readonly flops: number;
  /** Every element it reads and every one it writes, once each. */
  readonly bytes: number;
}

/** Kernels that read of their first operand only what their indices name: about as much as they write. */
const picking: readonly string[] = ["take", "takeAlong"];

export function workOf(plan: Plan, { kernel, inputs, outputs, node, turns = 1 }: Instruction): Work {
  const bytesOf = (at: number): number => distinctBytes(plan.tensors[at]!);
  const sum = (list: readonly number[]): number => [...new Set(list)].reduce((total, at) => total + bytesOf(at), 0);
  const written = sum(outputs);
  const unread = picking.includes(kernel) ? Math.max(0, bytesOf(inputs[0]!) - written) : 0;
  const made = plan.nodes[node];
  // A copy made for the sake of a node computes nothing of it.
  return { flops: made?.op === kernel ? made.flops : 0, bytes: turns * (sum(inputs) - unread + written) };
}

/** A broadcast dimension holds one element, however often it is read. */
function distinctBytes({ dtype, shape, strides }: PlanTensor): number {
  return shape.reduce((bytes, dim, axis) => bytes * (strides[axis] === 0 ? Math.min(1, dim) : dim), byteSize(dtype));
}
