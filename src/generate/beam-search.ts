// Beam search over any model that gives logits for the next token: the bookkeeping alone. What a beam's state is (a cache, a hidden
// vector) and how its rows are put in a new order is the caller's matter. The rules are those of Transformers' `generate`.
import { z } from "zod";
import { fail } from "../base/index.ts";

export const beamSchema = z.strictObject({
  beams: z.number().int().positive().default(1).describe("sequences followed at once; 1 is greedy"),
  lengthPenalty: z
    .number()
    .default(1)
    .describe(
      "power of the length by which a sum of log-probabilities is divided: 0 favours short texts, more longer ones",
    ),
  earlyStopping: z
    .boolean()
    .default(false)
    .describe("end when as many texts are finished as there are beams, though a longer one might still be likelier"),
  maxTokens: z.number().int().positive().default(200),
});

export type BeamOptions = z.input<typeof beamSchema>;
export type BeamSettings = z.output<typeof beamSchema>;

/** A finished sequence: its tokens without the one that ended it, and its log-probability over length^lengthPenalty. */
export interface Hypothesis {
  readonly tokens: readonly number[];
  readonly score: number;
  /** False where maxTokens cut it off. */
  readonly ended: boolean;
}

interface Beam {
  readonly tokens: readonly number[];
  /** Sum of the tokens' log-probabilities. */
  readonly sum: number;
}

interface Candidate {
  readonly parent: number;
  readonly token: number;
  readonly sum: number;
}

/**
 * One search. Its first logits are those after the prompt, in row 0. After each `advance`, row i of the model's state must continue what
 * was row `parents[i]`, and is given `tokens[i]`:
 *
 * @example
 * ```ts
 * import { BeamSearch } from "athanor";
 * async function search(step: (tokens: readonly number[], parents: readonly number[]) => Promise<number[][]>, first: number[]) {
 *   const beams = new BeamSearch({ beams: 4, lengthPenalty: 1, earlyStopping: false, maxTokens: 50 }, [0]);
 *   for (let logits = [first]; ; logits = await step(beams.tokens, beams.parents)) {
 *     beams.advance(logits);
 *     if (beams.isDone) return beams.best[0];
 *   }
 * }
 * ```
 */
export class BeamSearch {
  private readonly settings: BeamSettings;
  private readonly ends: ReadonlySet<number>;
  private running: readonly Beam[] = [{ tokens: [], sum: 0 }];
  private finished: readonly Hypothesis[] = [];
  /** Rows of the state that each running beam continues. */
  parents: readonly number[] = [];
  isDone = false;

  /** `ends` are the tokens that end a sequence. */
  constructor(settings: BeamSettings, ends: Iterable<number>) {
    this.settings = settings;
    this.ends = new Set(ends);
  }

  /** The newest token of each running beam; at most `beams` of them. */
  get tokens(): readonly number[] {
    return this.running.map(({ tokens }) => tokens.at(-1)!);
  }

  /** Finished sequences, the best first; at most `beams` of them. */
  get best(): readonly Hypothesis[] {
    return this.finished;
  }

  /** Chooses among all continuations of the running beams, of whose logits (V) there is one row each. Errors with `generate/not-finite`. */
  advance(logits: readonly ArrayLike<number>[]): void {
    const { beams, lengthPenalty, earlyStopping, maxTokens } = this.settings;
    // enough that some go on when all of the likeliest end
    const ranked = this.likeliest(logits, Math.max(2, 1 + this.ends.size) * beams);
    const length = this.running[0]!.tokens.length + 1;
    const isLast = length === maxTokens;
    const next: Beam[] = [];
    const parents: number[] = [];
    const finished = [...this.finished];
    for (const [rank, { parent, token, sum }] of ranked.entries()) {
      const before = this.running[parent]!.tokens;
      const ended = this.ends.has(token);
      if (ended || isLast) {
        // a sequence ends only where it would have been followed
        if (rank < beams)
          finished.push({ tokens: ended ? before : [...before, token], score: sum / length ** lengthPenalty, ended });
      } else if (next.length < beams) {
        next.push({ tokens: [...before, token], sum });
        parents.push(parent);
      }
    }
    this.finished = finished.sort((a, b) => b.score - a.score).slice(0, beams);
    this.running = next;
    this.parents = parents;
    const worst = this.finished.length === beams ? this.finished.at(-1)!.score : Number.NEGATIVE_INFINITY;
    const canImprove = next.length > 0 && next[0]!.sum / length ** lengthPenalty > worst;
    this.isDone = !canImprove || (earlyStopping && this.finished.length === beams);
  }

  /** The continuations of greatest probability, in order; equal ones by row and token. */
  private likeliest(logits: readonly ArrayLike<number>[], count: number): Candidate[] {
    const kept: Candidate[] = [];
    let least = Number.NEGATIVE_INFINITY;
    for (const [parent, { sum: before }] of this.running.entries()) {
      const row = logits[parent]!;
      const shift = logSumExp(row);
      for (let token = 0; token < row.length; token++) {
        const sum = before + row[token]! - shift;
        if (!(sum > least)) continue; // nor one that is impossible
        let at = kept.length;
        while (at > 0 && sum > kept[at - 1]!.sum) at--;
        kept.splice(at, 0, { parent, token, sum });
        if (kept.length > count) kept.pop();
        if (kept.length === count) least = kept[count - 1]!.sum;
      }
    }
    return kept;
  }
}

/** log Σ exp over logits. Errors with `generate/not-finite`. */
function logSumExp(logits: ArrayLike<number>): number {
  let highest = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) highest = Math.max(highest, logits[id]!);
  let total = 0;
  for (let id = 0; id < logits.length; id++) total += Math.exp(logits[id]! - highest);
  if (Number.isFinite(total)) return highest + Math.log(total);
  return fail("generate/not-finite", "the model's scores of the next token are no numbers", {
    expected: "finite logits",
    got: `a largest logit of ${highest}`,
    fix: "the weights may not be finite: load an earlier checkpoint, or train with a lower learning rate",
  });
}
