// Choosing the next token from logits, on the host in f64. Pure: the same logits, settings and number give the same token.
import { z } from "zod";
import { fail } from "../base/index.ts";

/** How the next token is chosen. Applied in this order: repetitionPenalty, temperature, topK, topP, minP. */
export const samplingSchema = z.strictObject({
  temperature: z.number().nonnegative().default(1).describe("0 takes the likeliest token always"),
  topK: z.number().int().positive().optional().describe("only the k likeliest tokens"),
  topP: z.number().gt(0).max(1).optional().describe("only the likeliest tokens that together reach this probability"),
  minP: z.number().min(0).max(1).optional().describe("only tokens at least so probable as this share of the likeliest"),
  repetitionPenalty: z
    .number()
    .positive()
    .optional()
    .describe("logits of tokens already there are divided by this, or multiplied where negative; 1 for none"),
});

export type SamplingOptions = z.input<typeof samplingSchema>;
export type Sampling = z.output<typeof samplingSchema>;

/**
 * The token that `uniform` (in [0, 1)) draws; `seen` are the ids of the text so far. With temperature 0 the likeliest, the lowest
 * id among equals. Errors with `generate/not-finite` when a logit is NaN or infinite.
 */
export function chooseToken(
  logits: ArrayLike<number>,
  sampling: Sampling,
  uniform: number,
  seen: readonly number[] = [],
): number {
  if (sampling.temperature === 0 || sampling.topK === 1) return likeliest(penalized(logits, sampling, seen));
  return drawToken(tokenWeights(logits, sampling, seen), uniform);
}

/** What each id weighs in the draw, 0 where it may not be drawn and 1 for the likeliest: not normalized. */
export function tokenWeights(logits: ArrayLike<number>, sampling: Sampling, seen: readonly number[]): Float64Array {
  const scores = penalized(logits, sampling, seen);
  const best = likeliest(scores);
  const { temperature, topK = scores.length, topP = 1, minP = 0 } = sampling;
  const weights = new Float64Array(scores.length);
  if (temperature === 0 || topK === 1) {
    weights[best] = 1;
    return weights;
  }
  for (let id = 0; id < scores.length; id++) weights[id] = Math.exp((scores[id]! - scores[best]!) / temperature);
  if (topK < weights.length) keepStrongest(weights, topK, kthLargest(weights, topK));
  if (topP < 1) keepNucleus(weights, topP);
  if (minP > 0) for (let id = 0; id < weights.length; id++) if (weights[id]! < minP) weights[id] = 0;
  return weights;
}

/** The id at `uniform` (in [0, 1)) of all weights, in the order of ids. */
export function drawToken(weights: Float64Array, uniform: number): number {
  let left = uniform * sumOf(weights);
  for (let id = 0; id < weights.length; id++) {
    left -= weights[id]!;
    if (left < 0) return id;
  }
  // Rounding: uniform was close to 1. The last token that has any weight.
  return weights.findLastIndex((weight) => weight > 0);
}

/** A token that the draft drew, and what each id weighed in the draw. */
export interface Proposal {
  readonly token: number;
  readonly weights: Float64Array;
}

/**
 * Speculative sampling (Leviathan et al. 2023; Chen et al. 2023): the token to take where the draft drew a `proposal`. It is
 * that one with probability min(1, p / q), else one drawn from (p − q)₊; p are the model's `weights` and q the draft's, over their
 * sums. `accept` and `uniform` are numbers in [0, 1) of their own. What comes is distributed as p, whatever q is.
 */
export function judgeProposal(proposal: Proposal, weights: Float64Array, accept: number, uniform: number): number {
  const q = normalized(proposal.weights);
  const p = normalized(weights);
  const { token } = proposal;
  if (accept * q[token]! < p[token]!) return token;
  const left = p.map((share, id) => Math.max(0, share - q[id]!));
  return left.some((share) => share > 0) ? drawToken(left, uniform) : token; // nothing is left only by rounding
}

/** ln of the probability that the model itself, before any of the settings, gives to `id`. */
export function logProbability(logits: ArrayLike<number>, id: number): number {
  let highest = Number.NEGATIVE_INFINITY;
  for (let at = 0; at < logits.length; at++) highest = Math.max(highest, logits[at]!);
  let total = 0;
  for (let at = 0; at < logits.length; at++) total += Math.exp(logits[at]! - highest);
  return logits[id]! - highest - Math.log(total);
}

/** Keskar et al. 2019, in the form of Transformers, which pushes negative logits down too. */
function penalized(
  logits: ArrayLike<number>,
  { repetitionPenalty: penalty = 1 }: Sampling,
  seen: readonly number[],
): ArrayLike<number> {
  if (penalty === 1) return logits;
  const scores = Float64Array.from(logits);
  for (const id of new Set(seen)) scores[id] = scores[id]! * (scores[id]! < 0 ? penalty : 1 / penalty);
  return scores;
}

function likeliest(logits: ArrayLike<number>): number {
  let best = 0;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (!Number.isFinite(logit)) {
      fail("generate/not-finite", "the model's output is not finite", {
        got: `logit ${id} is ${logit}`,
        fix: "the weights are damaged or training diverged: use an earlier checkpoint",
      });
    }
    if (logit > logits[best]!) best = id;
  }
  return best;
}

/** Zeros all weights below `least`, and of those equal to it the last ones, so that `count` stay. */
function keepStrongest(weights: Float64Array, count: number, least: number): void {
  let room = count;
  for (const weight of weights) if (weight > least) room--;
  for (let id = 0; id < weights.length; id++) {
    if (weights[id]! > least || (weights[id] === least && room-- > 0)) continue;
    weights[id] = 0;
  }
}

/** The k-th largest of the first few is at most that of all, and leaves little to sort. */
function kthLargest(values: Float64Array, k: number): number {
  const few = values.slice(0, 8 * k).sort();
  const bound = few[few.length - k]!;
  const rest = values.filter((value) => value >= bound).sort();
  return rest[rest.length - k]!;
}

/** Leaves the smallest set of likeliest tokens whose probability reaches `share` (Holtzman et al. 2020). */
function keepNucleus(weights: Float64Array, share: number): void {
  const total = sumOf(weights);
  // All tokens lighter than this together weigh less than what may be left out: they need no sorting.
  const light = ((1 - share) * total) / weights.length;
  const heavy = weights.filter((weight) => weight >= light).sort();
  let reached = 0;
  for (let count = 1; count <= heavy.length; count++) {
    const weight = heavy[heavy.length - count]!;
    reached += weight;
    if (reached < share * total) continue;
    keepStrongest(weights, count, weight);
    return;
  }
}

function normalized(weights: Float64Array): Float64Array {
  const total = sumOf(weights);
  return weights.map((weight) => weight / total);
}

function sumOf(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}
