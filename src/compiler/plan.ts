// A Plan: what an engine runs, as plain data. No addresses, no functions, nothing of one machine.
import type { DType, Shape } from "../base/index.ts";
import type { Attrs } from "../core/index.ts";

export const planSpaces = ["arena", "variable", "feed", "constant"] as const;
/** The memory a tensor lies in. */
export type PlanSpace = (typeof planSpaces)[number];

/** Where a tensor's bytes are. Row-major; strides make slices, transposes and broadcasts free. */
export interface PlanTensor {
  readonly space: PlanSpace;
  /** Of the variable or feed; 0 otherwise. */
  readonly index: number;
  /** Bytes from the start of that space's block (arena, constant) or of that variable or feed. */
  readonly offset: number;
  readonly dtype: DType;
  readonly shape: Shape;
  /** In elements; 0 = broadcast. */
  readonly strides: readonly number[];
  /** Bytes that it moves by from turn to turn of the loop it is used in; left out, 0. */
  readonly step?: number;
}

export interface Instruction {
  readonly kernel: string;
  /** Indices into `tensors`. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly params: readonly number[];
  /** The op's attributes, for engines that run ops instead of kernels. */
  readonly attrs: Attrs;
  /** Graph node id, for errors and profiles. */
  readonly node: number;
  /** Skipped when the guard is false. */
  readonly commit: boolean;
  /** How often it runs, where it is in a loop. */
  readonly turns?: number;
}

/** Name, dtype and shape of what a plan is given or keeps. */
export interface PlanType {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

export interface PlanLoop {
  readonly first: number;
  readonly count: number;
  readonly turns: number;
}

export interface PlanOutput {
  readonly name: string;
  readonly tensor: number;
}

export interface Plan {
  readonly tensors: readonly PlanTensor[];
  readonly code: readonly Instruction[];
  /** In order and apart: `count` instructions from `first` on run `turns` times. */
  readonly loops?: readonly PlanLoop[];
  readonly arenaBytes: number;
  readonly constants: Uint8Array;
  readonly variables: readonly PlanType[];
  readonly feeds: readonly PlanType[];
  readonly outputs: readonly PlanOutput[];
  /** Tensor index of a bool scalar, or -1: every commit is made. */
  readonly guard: number;
  /** What each graph node is, for errors, profiles and forecasts. */
  readonly nodes: readonly { readonly op: string; readonly scope: string; readonly flops: number }[];
}

/** The instructions of a plan as they run: each in every turn of the loop it is in. */
export function* runOrder({ code, loops = [] }: Plan): Generator<{ readonly at: number; readonly turn: number }> {
  const starts = new Map(loops.map((loop) => [loop.first, loop]));
  for (let at = 0; at < code.length; ) {
    const { count, turns } = starts.get(at) ?? { count: 1, turns: 1 };
    for (let turn = 0; turn < turns; turn++) for (let i = 0; i < count; i++) yield { at: at + i, turn };
    at += count;
  }
}

/** The kernels that a plan needs, each once, in order of first use. */
export function kernelNames(plan: Plan): string[] {
  return [...new Set(plan.code.map(({ kernel }) => kernel))];
}
