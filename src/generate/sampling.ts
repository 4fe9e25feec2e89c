// Choosing the next token from logits, on the host in f64. Pure: the same logits, settings and number give the same token.
import { z } from "zod";
import { fail } from "../base/index.ts";

/** How the next token is chosen. Applied in this order: temperature, topK, topP. */
export const samplingSchema = z.strictObject({
  temperature: z.number().nonnegative().default(1).describe("0 takes the likeliest token always"),
  topK: z.number().int().positive().optional().describe("only the k likeliest tokens"),
  topP: z.number().gt(0).max(1).optional().describe("only the likeliest tokens that together reach this probability"),
});

export type SamplingOptions = z.input<typeof samplingSchema>;
export type Sampling = z.output<typeof samplingSchema>;

interface Candidate {
  readonly id: number;
  readonly weight: number;
}

/**
 * The token that `uniform` (in [0, 1)) draws. With temperature 0 the likeliest, the lowest id among equals.
 * Errors with `generate/not-finite` when a logit is NaN or infinite.
 */
export function chooseToken(logits: ArrayLike<number>, sampling: Sampling, uniform: number): number {
  const best = likeliest(logits);
  const { temperature, topK, topP } = sampling;
  if (temperature === 0 || topK === 1) return best;
  const highest = logits[best]!;
  let candidates: Candidate[] = [];
  // Ids stay in order, so that equal weights are ordered by id.
  for (let id = 0; id < logits.length; id++)
    candidates.push({ id, weight: Math.exp((logits[id]! - highest) / temperature) });
  if (topK !== undefined && topK < candidates.length) candidates = strongest(candidates, topK);
  if (topP !== undefined && topP < 1) candidates = nucleus(candidates, topP);
  return draw(candidates, uniform);
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

function strongest(candidates: readonly Candidate[], count: number): Candidate[] {
  const weights = Float64Array.from(candidates, ({ weight }) => weight).sort();
  const least = weights[weights.length - count]!;
  const above = candidates.filter(({ weight }) => weight > least);
  const equal = candidates.filter(({ weight }) => weight === least);
  return [...above, ...equal.slice(0, count - above.length)];
}

/** The smallest set of likeliest tokens whose probability reaches `share` (Holtzman et al. 2020). */
function nucleus(candidates: readonly Candidate[], share: number): Candidate[] {
  const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
  // All tokens lighter than this together weigh less than what may be left out: they need no sorting.
  const light = ((1 - share) * total) / candidates.length;
  const heavy = candidates.filter(({ weight }) => weight >= light).sort((a, b) => b.weight - a.weight || a.id - b.id);
  let reached = 0;
  const count = heavy.findIndex(({ weight }) => {
    reached += weight;
    return reached >= share * total;
  });
  return count < 0 ? heavy : heavy.slice(0, count + 1);
}

function draw(candidates: readonly Candidate[], uniform: number): number {
  const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
  let left = uniform * total;
  for (const { id, weight } of candidates) {
    left -= weight;
    if (left < 0) return id;
  }
  // Rounding: uniform was close to 1. The last token that has any weight.
  return candidates.findLast(({ weight }) => weight > 0)!.id;
}
