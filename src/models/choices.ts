// A score for each of several texts, by a model that scores one: what heads of multiple choice share. B batch, N choices, T time.
import { currentTrace, iota, type Tensor, where, withContext } from "../core/index.ts";

/** The score of a choice that is not there: none is ever picked, nor adds to a softmax. */
const absent = -1e9;

/**
 * Tokens (B, N, T), −1 behind a text's end, `score`d as rows (B · N, T) → (B, N). A row with fewer choices has −1 alone in place of the others. Each
 * choice draws random numbers of its own.
 */
export function choiceScores(tokens: Tensor, score: (rows: Tensor) => Tensor): Tensor {
  const [batch, choices, time] = tokens.shape as [number, number, number];
  const rows = tokens.reshape(batch * choices, time);
  const isThere = rows.slice(1, 0, 1).greaterEqual(0); // (B · N, 1)
  // one token stands where nothing does: no text is without tokens
  const filled = where(iota(rows.shape, 1).equal(0), rows.maximum(0), rows);
  const { random } = currentTrace();
  const ids = random?.rows
    .reshape(batch, 1)
    .mul(choices)
    .add(iota([batch, choices], 1))
    .reshape(-1);
  const scores = withContext(random && ids ? { random: { ...random, rows: ids } } : {}, () => score(filled));
  return where(isThere, scores.reshape(-1, 1), absent).reshape(batch, choices);
}
