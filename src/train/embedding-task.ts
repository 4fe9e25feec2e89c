// The task of vectors of texts: of a microbatch's keys, the one that belongs to a query is the nearest (InfoNCE, van den Oord et al. 2018).
import { concat, currentTrace, iota, type Tensor, where, withContext } from "../core/index.ts";
import { infoNceLoss } from "../nn/index.ts";
import type { Task } from "./task.ts";

export interface EmbeddingOptions {
  /** Divides cosines. */
  readonly temperature: number;
  /** Keys pick their queries, too (Radford et al. 2021). */
  readonly symmetric: boolean;
}

/** model(tokens i32 [B,T]) → vectors (B,C), of `queries` and `keys`, i32 [B,T]; `targets` i32 [B] are −1 for rows that are no pair. */
export function embeddingTask(context: number, options: EmbeddingOptions): Task {
  return {
    name: "embedding",
    itemsPerRow: 1,
    feeds: (rows) => {
      const texts = { dtype: "i32", shape: [rows, context] } as const;
      return { queries: texts, keys: texts, targets: { dtype: "i32", shape: [rows] } };
    },
    loss: (model, { queries, keys, targets }) => {
      const rows = queries!.shape[0]!;
      const vectors = inPairs(() => model.forward(concat([queries!, keys!])) as Tensor); // (2B, C)
      const [asked, found] = [vectors.slice(0, 0, rows), vectors.slice(0, rows, 2 * rows)];
      const mask = targets!.notEqual(-1);
      const float = (x: Tensor) => x.cast(vectors.dtype).sum();
      const losses = infoNceLoss(asked, found, { ...options, mask, reduction: "none" });
      return { sum: losses.sum(), count: float(mask), extra: { correct: float(nearest(asked, found, mask)) } };
    },
  };
}

/** Runs `fn` with two rows for each of the batch: the second one's random numbers are those of sample −1 − id, which no other row has. */
function inPairs<T>(fn: () => T): T {
  const { random } = currentTrace();
  if (random === undefined) return fn();
  return withContext({ random: { ...random, rows: concat([random.rows, random.rows.neg().sub(1)]) } }, fn);
}

/** bool (B): whether a query's own key has the largest cosine with it, of those in the mask. */
function nearest(queries: Tensor, keys: Tensor, mask: Tensor): Tensor {
  const rows = mask.shape[0]!;
  const lengths = keys.square().sum({ axis: -1 }).add(1e-24).sqrt();
  const scores = queries.matmul(keys.transpose()).div(lengths.reshape(1, rows));
  return where(mask.reshape(1, rows), scores, -1e30)
    .argMax(-1)
    .equal(iota([rows], 0))
    .and(mask);
}
