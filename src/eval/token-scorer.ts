// What a language model thinks of given tokens: their log-probabilities, and whether it would have written them itself. Rows go
// through fixed shapes, each for itself: a score does not depend on what else is in its batch.
import { fail, fromNumbers, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { logSoftmax, type Tensor, takeAlong, trace } from "../core/index.ts";
import type { Engine, Program, Store } from "../engine/index.ts";
import { functionalCall, type Module, storedParameters } from "../nn/index.ts";

/** A language model: tokens i32 (B, T) → logits (B, T, V). */
export interface LanguageModel extends Module {
  readonly config: { readonly context: number };
  /** Places of the context that are taken before every text. */
  readonly start?: number;
  forward(tokens: Tensor): Tensor;
}

export interface ScorerOptions {
  readonly engine: Engine;
  /** Holds the model's parameters under their names. */
  readonly store: Store;
  readonly model: LanguageModel;
  /** Rows of a program; default 8. */
  readonly batch?: number;
}

/** Tokens, of which those from `from` (at least 1) on are scored, each given all before it. */
export interface ScoredRow {
  readonly tokens: readonly number[];
  readonly from: number;
}

export interface TokenScore {
  /** Sum of ln p over the tokens scored. */
  readonly logProbability: number;
  readonly count: number;
  /** Every token scored was the likeliest at its place. */
  readonly isGreedy: boolean;
}

const shortest = 16;

export class TokenScorer {
  /** Most tokens that a row may have. */
  readonly longest: number;
  private readonly options: ScorerOptions;
  private readonly batch: number;
  private readonly programs = new Map<number, Program>();

  constructor(options: ScorerOptions) {
    this.options = options;
    this.batch = options.batch ?? 8;
    const { config, start = 0 } = options.model;
    this.longest = config.context - start + 1; // the last is a target alone
  }

  /** A score for each row, in order. Errors with `eval/row` when a row has nothing to score or does not fit. */
  async score(rows: readonly ScoredRow[]): Promise<TokenScore[]> {
    rows.forEach((row, at) => {
      this.checkRow(row, at);
    });
    const scores = new Array<TokenScore>(rows.length);
    // rows of one length together: little is computed for the sake of filling
    const order = rows.map((_, at) => at).sort((a, b) => rows[a]!.tokens.length - rows[b]!.tokens.length);
    for (let first = 0; first < order.length; first += this.batch) {
      const chosen = order.slice(first, first + this.batch);
      const found = await this.scoreBatch(chosen.map((at) => rows[at]!));
      chosen.forEach((at, i) => {
        scores[at] = found[i]!;
      });
    }
    return scores;
  }

  private async scoreBatch(rows: readonly ScoredRow[]): Promise<TokenScore[]> {
    const longest = Math.max(...rows.map(({ tokens }) => tokens.length - 1));
    const width = Math.min(this.longest - 1, 2 ** Math.ceil(Math.log2(Math.max(shortest, longest))));
    const tokens = new Int32Array(this.batch * width);
    const targets = new Int32Array(this.batch * width);
    rows.forEach((row, at) => {
      tokens.set(row.tokens.slice(0, -1), at * width);
      targets.set(row.tokens.slice(1), at * width);
    });
    const shape = [this.batch, width];
    const feeds = { tokens: fromNumbers("i32", shape, tokens), targets: fromNumbers("i32", shape, targets) };
    const [run] = await this.options.engine.run([{ program: this.programFor(width), feeds }]);
    const [chosen, best] = [toNumbers(run!.outputs.chosen!), toNumbers(run!.outputs.best!)];
    return rows.map(({ tokens, from }, row) => {
      const places = Array.from({ length: tokens.length - from }, (_, i) => row * width + from - 1 + i);
      return {
        logProbability: places.reduce((sum, at) => sum + chosen[at]!, 0),
        count: places.length,
        isGreedy: places.every((at) => chosen[at]! >= best[at]!),
      };
    });
  }

  private programFor(width: number): Program {
    const { engine, store, model } = this.options;
    const known = this.programs.get(width);
    if (known !== undefined) return known;
    const types = [...model.parameters().keys()].map((name) => store.typeOf(name));
    const ids = { dtype: "i32", shape: [this.batch, width] } as const;
    const graph = trace(
      { tokens: ids, targets: ids },
      ({ tokens, targets }) => {
        const logits = functionalCall(model, storedParameters(types), () => model.forward(tokens));
        const all = logSoftmax(logits.reshape(this.batch * width, -1)); // (B·T, V)
        return { chosen: takeAlong(all, targets.reshape(-1)), best: all.max({ axis: -1 }) };
      },
      { mode: "eval", floatDType: types[0]!.dtype === "f64" ? "f64" : "f32" },
    );
    const program = engine.load(compile(graph, engine.target), store);
    this.programs.set(width, program);
    return program;
  }

  private checkRow({ tokens, from }: ScoredRow, at: number): void {
    if (from >= 1 && from < tokens.length && tokens.length <= this.longest) return;
    fail("eval/row", "these tokens cannot be scored", {
      where: `row ${at + 1}`,
      expected: `up to ${this.longest} tokens, of which the first is given and the last is scored`,
      got: `${tokens.length} tokens, to be scored from ${from} on`,
      fix: "give something before what is to be scored, and cut what is longer than the context",
    });
  }
}
