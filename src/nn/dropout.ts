// Dropout (Srivastava et al. 2014): acts only while a trace is in train mode.
import { fail } from "../base/index.ts";
import { constant, currentScope, currentTrace, dropoutOf, type RandomInputs, type Tensor } from "../core/index.ts";
import { Module } from "./module.ts";

/**
 * Zeroes elements with probability `rate` and scales the rest by 1 / (1 − rate). Masks are drawn from the trace's random inputs,
 * with the module's path as stream: the first dimension of `x` must be the batch's rows. The identity in eval mode.
 */
export class Dropout extends Module {
  readonly rate: number;

  constructor(rate: number) {
    super();
    this.rate = checkRate(rate);
  }

  forward(x: Tensor): Tensor {
    const random = randomInputs(this.rate);
    return random === undefined
      ? x
      : dropoutOf(x, constant(this.rate, x.dtype), random.key, random.rows, currentScope());
  }
}

/** Errors with `nn/dropout` unless 0 ≤ rate < 1. */
export function checkRate(rate: number): number {
  if (rate >= 0 && rate < 1) return rate;
  return fail("nn/dropout", "a dropout rate is a probability below 1", {
    expected: "0 ≤ rate < 1",
    got: String(rate),
    fix: "0 means no dropout",
  });
}

/** What masks are drawn from, or `undefined` when nothing is dropped: rate 0, or a trace in eval mode. */
export function randomInputs(rate: number): RandomInputs | undefined {
  const { mode, random } = currentTrace();
  if (rate === 0 || mode === "eval") return undefined;
  return (
    random ??
    fail("nn/random", "dropout needs random inputs", {
      where: currentScope(),
      expected: "a trace with a random key and row ids",
      got: "train mode without them",
      fix: 'give trace() the option random, or trace with mode: "eval"',
    })
  );
}
