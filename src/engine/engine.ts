// What every engine offers: load a plan over a store, run programs, read and write variables. No engine lives here.
import { fail, formatType, type HostArray, sameShape, sizeOf } from "../base/index.ts";
import type { Plan, PlanType, Target } from "../compiler/index.ts";

/** Host arrays by name. */
export type Feeds = { readonly [name: string]: HostArray };

/** `count` elements of a tensor in row-major order, every `step`-th from `start` on. */
export interface Part {
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

/** Named tensors that outlive a run: parameters, slots, statistics, caches. All programs of a model share one. */
export interface Store {
  /** Makes variables, zeroed. Names already declared with the same type are left as they are. */
  declare(types: readonly PlanType[]): void;
  names(): string[];
  typeOf(name: string): PlanType;
  /**
   * A copy of a variable's value, or of a part of it as one axis, in a new buffer or at the start of `into`. Errors with `store/unknown`,
   * and with `store/part` for what is not within the variable. Reading many variables through one buffer leaves no garbage behind.
   */
  read(name: string, into?: ArrayBuffer, part?: Part): HostArray;
  /** Errors with `store/type` when dtype or shape differ. */
  write(name: string, value: HostArray): void;
  /** How often `write` was called. */
  readonly writes: number;
  /** Bytes of all variables. */
  readonly bytes: number;
}

/** Errors with `store/part` unless the part lies within the variable. */
export function checkPart({ name, shape }: PlanType, { start, step, count }: Part): void {
  const elements = sizeOf(shape);
  const isWhole = [start, step, count].every((value) => Number.isSafeInteger(value) && value >= 0);
  if (isWhole && step > 0 && (count === 0 || start + (count - 1) * step < elements)) return;
  fail("store/part", `a part of "${name}" is not within it`, {
    expected: `elements from 0 to ${elements - 1}`,
    got: `${count} from ${start} on, every ${step}`,
  });
}

/** A plan loaded on an engine, bound to a store. */
export interface Program {
  readonly plan: Plan;
  readonly store: Store;
  readonly workspaceBytes: number;
}

export interface ProgramCall {
  readonly program: Program;
  readonly feeds: Feeds;
}

export interface RunResult {
  /** False when the program's guard was false: no variable was written. */
  readonly committed: boolean;
  readonly outputs: { readonly [name: string]: HostArray };
}

export interface Engine {
  readonly name: "reference" | "native";
  /** Instruction-set path: results are the same bytes on one path. */
  readonly isa: string;
  readonly threads: number;
  readonly target: Target;
  createStore(): Store;
  /** Bytes that kernels of the plan use while they run; nothing is taken. */
  workspaceBytes(plan: Plan): number;
  /** Validates the plan and takes memory for it. Errors with `engine/*`. */
  load(plan: Plan, store: Store): Program;
  /**
   * Runs programs in order, as one job. Errors with `run/*`; what ran before the error has happened. With `times`, one array
   * per call, every instruction is timed: its nanoseconds lie there afterwards, 0 for one that the guard skipped.
   */
  run(calls: readonly ProgramCall[], times?: readonly Float64Array[]): Promise<RunResult[]>;
}

/** The plan's feeds in order. Errors with `run/feed` when one is missing, unknown, or of another type. */
export function orderFeeds(plan: Plan, feeds: Feeds): HostArray[] {
  const unknown = Object.keys(feeds).filter((name) => !plan.feeds.some((feed) => feed.name === name));
  if (unknown.length > 0) {
    fail("run/feed", `the program has no feed called ${unknown.join(", ")}`, {
      expected: plan.feeds.map((feed) => feed.name).join(", ") || "no feeds",
      got: unknown.join(", "),
    });
  }
  return plan.feeds.map((type) => checkArray(type, feeds[type.name], "run/feed", "feed"));
}

/** Checks that a host array has the declared dtype, shape and length. */
export function checkArray(type: PlanType, value: HostArray | undefined, code: string, what: string): HostArray {
  if (value === undefined) {
    return fail(code, `${what} "${type.name}" is missing`, { expected: formatType(type.dtype, type.shape) });
  }
  if (value.dtype !== type.dtype || !sameShape(value.shape, type.shape) || value.data.length !== sizeOf(type.shape)) {
    fail(code, `${what} "${type.name}" has another type`, {
      expected: formatType(type.dtype, type.shape),
      got: `${formatType(value.dtype, value.shape)} with ${value.data.length} elements`,
    });
  }
  return value;
}

/** `native avx512, 2 threads` */
export function describeEngine({ name, isa, threads }: Pick<Engine, "name" | "isa" | "threads">): string {
  return `${name} ${isa}, ${formatThreads(threads)}`;
}

export const formatThreads = (threads: number): string => `${threads} thread${threads === 1 ? "" : "s"}`;
