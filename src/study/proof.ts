// What a proof is: a program that shows one technique with figures and bounds chosen in advance. Runs none: prove.ts does.
import { AthanorError } from "../base/index.ts";

/** One measured value and the bound that it must keep. */
export interface Figure {
  readonly name: string;
  readonly value: number | string | boolean;
  /** For people, such as `2 ± 1e-6`. */
  readonly bound: string;
  readonly ok: boolean;
}

export interface ProofContext {
  /** An empty folder that goes away afterwards. */
  readonly folder: string;
  /** Real data to run on instead of the generated; only for proofs that have `data`. */
  readonly data?: string;
  readonly signal?: AbortSignal;
  readonly note: (text: string) => void;
}

/** A row of the list of techniques: from nothing, offline, with fixed seeds. */
export interface Proof {
  readonly id: string;
  readonly doc: string;
  /** What `--data` may name; left out where the figures belong to the generated problem. */
  readonly data?: string;
  /** More than half a minute on two cores: tests that run in part leave it out. */
  readonly isLong?: true;
  run(context: ProofContext): Promise<readonly Figure[]>;
}

/** `|value − expected| ≤ tolerance`. */
export function within(name: string, value: number, expected: number, tolerance: number): Figure {
  return { name, value, bound: `${expected} ± ${tolerance}`, ok: Math.abs(value - expected) <= tolerance };
}

export function atMost(name: string, value: number, limit: number): Figure {
  return { name, value, bound: `≤ ${limit}`, ok: value <= limit };
}

export function atLeast(name: string, value: number, limit: number): Figure {
  return { name, value, bound: `≥ ${limit}`, ok: value >= limit };
}

/** The same value, compared as it is printed. */
export function equal(name: string, value: number | string, expected: number | string): Figure {
  return { name, value, bound: `= ${expected}`, ok: value === expected };
}

export function holds(name: string, value: boolean, bound = "true"): Figure {
  return { name, value, bound, ok: value };
}

/** A figure of which nothing is demanded: what a run on real data shows. */
export function shown(name: string, value: number | string): Figure {
  return { name, value, bound: "none", ok: true };
}

/** Refused with this error code, and not otherwise. */
export function refused(name: string, code: string, body: () => unknown): Figure {
  try {
    body();
  } catch (error) {
    return equal(name, error instanceof AthanorError ? error.code : String(error), code);
  }
  return equal(name, "accepted", code);
}

/** Largest |a − b| of two lists of one length. */
export function largestDifference(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce((worst, value, at) => Math.max(worst, Math.abs(value - b[at]!)), 0);
}
