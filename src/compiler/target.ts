// What a compilation aims at: which kernels exist, and what they can address. Not an engine: nothing runs here.
import type { DType } from "../base/index.ts";
import { allOps } from "../core/index.ts";

export interface Target {
  readonly name: string;
  /** Kernels the engine has, by op name. */
  hasKernel(op: string): boolean;
  /** True where kernels address by strides, so that views cost nothing. */
  readonly strided: boolean;
  /** True where elementwise chains run as one `tape`. */
  readonly tapes: boolean;
  /** Element types that kernels compute with; left out, all. Any can be moved. */
  readonly computes?: readonly DType[];
}

/** The reference engine: every op with a scalar function or a naive implementation, on dense arrays. */
export const referenceTarget: Target = {
  name: "reference",
  hasKernel: (name) => {
    const op = allOps().get(name);
    return name === runsLoops || (op !== undefined && (op.scalar !== undefined || op.reference !== undefined));
  },
  strided: false,
  tapes: false,
};

/** Every engine runs loops, of which none is in another. */
const runsLoops = "scan";

/** The same target for what runs in a loop. */
export function bodyTarget(target: Target): Target {
  return { ...target, hasKernel: (op) => op !== runsLoops && target.hasKernel(op) };
}

/** The native engine, given the names of the kernels its binary holds. */
export function nativeTarget(kernels: Iterable<string>, tapeOps: Iterable<string>): Target {
  const names = new Set(kernels);
  const opcodes = new Set(tapeOps);
  return {
    name: "native",
    hasKernel: (op) => op === runsLoops || names.has(op) || opcodes.has(op),
    strided: true,
    tapes: true,
    computes: ["f32", "i32", "u8", "bool"],
  };
}
