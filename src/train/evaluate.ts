// Evaluation: the mean loss over whole held-out data, independent of how it is cut into batches.
import { fail } from "../base/index.ts";
import type { Feeds } from "../engine/index.ts";
import type { StepPrograms } from "./programs.ts";
import type { StepGraphs } from "./step-graphs.ts";

type Batches = AsyncIterable<Feeds> | Iterable<Feeds>;

export interface EvaluationResult {
  /** Mean loss per item: in nats for cross-entropy, in squared units of the target for squared error. */
  readonly loss: number;
  /** Items that were counted, and what they are: `tokens`, `rows`, `words`. */
  readonly count: number;
  readonly unit: string;
  /** exp(loss), of language models that learn tokens. */
  readonly perplexity?: number;
  /** Further means: `accuracy`, `meanAbsoluteError`. */
  readonly metrics: { readonly [name: string]: number };
}

const metricNames: { readonly [sum: string]: string } = { correct: "accuracy", absolute: "meanAbsoluteError" };

/** Names of the figures that evaluations tell. The model is traced for it. */
export function figureNames(graphs: StepGraphs): string[] {
  const { name, inNats = name === "language-model" } = graphs.description.task;
  const extra = [...graphs.evaluate().outputs.keys()].filter((name) => name !== "sum" && name !== "count");
  return ["loss", ...(inNats ? ["perplexity"] : []), ...extra.map((name) => metricNames[name] ?? name)];
}

/**
 * Sums over all batches and divides once. `undefined` when the signal fired before the last batch.
 * Errors with `eval/empty` when nothing was counted.
 */
export async function evaluateAll(programs: StepPrograms, batches: Batches): Promise<EvaluationResult>;
export async function evaluateAll(
  programs: StepPrograms,
  batches: Batches,
  signal: AbortSignal | undefined,
): Promise<EvaluationResult | undefined>;
export async function evaluateAll(
  programs: StepPrograms,
  batches: Batches,
  signal?: AbortSignal,
): Promise<EvaluationResult | undefined> {
  const sums: Record<string, number> = {};
  for await (const batch of batches) {
    if (signal?.aborted) return undefined;
    for (const [name, value] of Object.entries(await programs.evaluate(batch))) sums[name] = (sums[name] ?? 0) + value;
  }
  const { sum = 0, count = 0, ...extra } = sums;
  if (count === 0)
    fail("eval/empty", "there is nothing to evaluate", { fix: "give more held-out data or a smaller context" });
  const { name, units, itemsPerRow, item, inNats = name === "language-model" } = programs.graphs.description.task;
  const unit = `${item ?? (itemsPerRow > 1 ? "token" : "row")}s`;
  const loss = (sum / count) * (units?.loss ?? 1);
  const metrics = Object.fromEntries(
    Object.entries(extra).map(([one, value]) => [metricNames[one] ?? one, (value / count) * (units?.extra[one] ?? 1)]),
  );
  return { loss, count, unit, ...(inNats ? { perplexity: Math.exp(loss) } : {}), metrics };
}
