// Evaluation: the mean loss over whole held-out data, independent of how it is cut into batches.
import { fail } from "../base/index.ts";
import type { Feeds } from "../engine/index.ts";
import type { StepPrograms } from "./programs.ts";

export interface EvaluationResult {
  /** Mean loss per item, in nats for cross-entropy. */
  readonly loss: number;
  readonly count: number;
  /** exp(loss), for language models and classifiers. */
  readonly perplexity: number;
  /** Further means: `accuracy`, `meanAbsoluteError`. */
  readonly metrics: { readonly [name: string]: number };
}

const metricNames: { readonly [sum: string]: string } = { correct: "accuracy", absolute: "meanAbsoluteError" };

/** Sums over all batches and divides once. Errors with `eval/empty` when nothing was counted. */
export async function evaluateAll(
  programs: StepPrograms,
  batches: AsyncIterable<Feeds> | Iterable<Feeds>,
): Promise<EvaluationResult> {
  const sums: Record<string, number> = {};
  for await (const batch of batches) {
    for (const [name, value] of Object.entries(await programs.evaluate(batch))) sums[name] = (sums[name] ?? 0) + value;
  }
  const { sum = 0, count = 0, ...extra } = sums;
  if (count === 0)
    fail("eval/empty", "there is nothing to evaluate", { fix: "give more held-out data or a smaller context" });
  const loss = sum / count;
  const metrics = Object.fromEntries(
    Object.entries(extra).map(([name, value]) => [metricNames[name] ?? name, value / count]),
  );
  return { loss, count, perplexity: Math.exp(loss), metrics };
}
