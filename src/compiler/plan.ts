// A Plan: what an engine runs, as plain data. No addresses, no functions, nothing of one machine.
import type { DType } from "../base/index.ts";

/** Where a tensor's bytes are. Row-major; strides make slices, transposes and broadcasts free. */
export interface PlanTensor {
  space: "arena" | "variable" | "feed" | "constant";
  /** Of the variable or feed; 0 otherwise. */
  index: number;
  /** Bytes from the start of that space's block (arena, constant) or of that variable or feed. */
  offset: number;
  dtype: DType;
  shape: number[];
  /** In elements; 0 = broadcast. */
  strides: number[];
}

export interface Instruction {
  kernel: string;
  /** Indices into `tensors`. */
  inputs: number[];
  outputs: number[];
  params: number[];
  /** Graph node id, for errors and profiles. */
  node: number;
  /** Skipped when the guard is false. */
  commit: boolean;
}

/** Name, dtype and shape of what a plan is given or keeps. */
export interface PlanSignature {
  name: string;
  dtype: DType;
  shape: number[];
}

export interface Plan {
  tensors: PlanTensor[];
  code: Instruction[];
  arenaBytes: number;
  constants: Uint8Array;
  variables: PlanSignature[];
  feeds: PlanSignature[];
  outputs: { name: string; tensor: number }[];
  /** Tensor index of a bool scalar, or -1. */
  guard: number;
}
