// Windows of a text made into what is read and what is written: with spans hidden, or cut in two behind a beginning of random length. How is
// drawn anew each time, by the seed and the sample's number: a run that was stopped goes on with the same.
import { fail } from "../base/index.ts";
import type { Dataset } from "./batch.ts";
import { ignoreIndex } from "./loader.ts";
import { type SampleDraws, sampleDraws } from "./sample-draws.ts";
import { drawSpans, hideSpans, type SpanShares } from "./span-corruption.ts";
import { type PairLayout, padPairs, type TextPairBatch } from "./text-pairs.ts";
import type { TextBatch } from "./text-windows.ts";
import type { TokenStore } from "./token-store.ts";

/** How a window becomes what is read and what is written. */
export interface WindowCut {
  /** Also the name of its random numbers: tells two ways of cutting apart. */
  readonly name: string;
  cut(ids: Int32Array, draws: SampleDraws): readonly [source: Int32Array, target: Int32Array];
}

/** Spans hidden behind sentinels. */
export const hiddenSpans = (shares: SpanShares, sentinels: readonly number[]): WindowCut => ({
  name: `spans ${shares.noise},${shares.meanLength},${sentinels[0]}`,
  cut: (ids, draws) => hideSpans(ids, drawSpans(ids.length, shares, draws), sentinels),
});

/** A beginning of any length is read, and the rest is written. */
export const randomPrefix: WindowCut = {
  name: "prefix",
  cut: (ids, { below }) => {
    const length = 1 + below(ids.length - 1, 0);
    return [ids.subarray(0, length), ids.subarray(length)];
  },
};

export interface SequenceWindowOptions extends WindowCut {
  /** Tokens of a window. */
  readonly width: number;
  readonly layout: PairLayout;
  readonly seed: number;
  /** `random`: any window, to be drawn from. `sequential`: the text cut into windows; a last token alone is left out. */
  readonly order: "random" | "sequential";
}

export class SequenceWindows implements Dataset<TextPairBatch> {
  readonly unit = "window";
  readonly length: number;
  readonly fingerprint: string;
  private readonly store: TokenStore;
  private readonly options: SequenceWindowOptions;

  /** Errors with `data/context` when the text is shorter than a window, or a window than two tokens. */
  constructor(store: TokenStore, options: SequenceWindowOptions) {
    const { width, order, name, layout } = options;
    const needed = order === "random" ? width : 2;
    if (width < 2 || store.length < needed)
      fail("data/context", "the text is too short for the context", {
        expected: `windows of at least 2 tokens, and at least ${needed} tokens of text`,
        got: `windows of ${width} tokens, and ${store.length} tokens of text`,
        fix: "set a context that the text fills, or give more text",
      });
    this.store = store;
    this.options = options;
    this.length = order === "random" ? store.length - width + 1 : Math.floor((store.length - 2) / width) + 1;
    const { context, targetContext } = layout;
    this.fingerprint = `${store.fingerprint.slice(0, 16)}/${width}/${context}/${targetContext}/${order}/${name}`;
  }

  async collate(positions: readonly number[], samples: readonly number[] = positions): Promise<TextPairBatch> {
    const { store } = this;
    const { width, layout, seed, order, name, cut } = this.options;
    const pairs = positions.map(async (position, row) => {
      const start = order === "random" ? position : position * width;
      const ids = new Int32Array(Math.min(width, store.length - start));
      await store.readInto(ids, 0, start, ids.length);
      return cut(ids, sampleDraws(seed, `data/${name}/${order}`, samples[row]!));
    });
    return padPairs(await Promise.all(pairs), layout);
  }
}

/**
 * Windows for a model of next tokens, of which a beginning of random length, 1 to all but the last target, is given: it is seen like any
 * other text, token by token from the left, and not counted in the loss.
 */
export class PrefixWindows implements Dataset<TextBatch> {
  readonly unit = "window";
  readonly length: number;
  readonly fingerprint: string;
  private readonly windows: Dataset<TextBatch>;
  private readonly seed: number;

  constructor(windows: Dataset<TextBatch>, seed: number) {
    this.windows = windows;
    this.seed = seed;
    this.length = windows.length;
    this.fingerprint = `${windows.fingerprint}/prefix`;
  }

  async collate(positions: readonly number[], samples: readonly number[] = positions): Promise<TextBatch> {
    const batch = await this.windows.collate(positions);
    const [rows, context] = batch.targets.shape as [number, number];
    const targets = batch.targets.data as Int32Array;
    for (let row = 0; row < rows; row++) {
      const own = targets.subarray(row * context, (row + 1) * context);
      const end = own.indexOf(ignoreIndex); // of a last window
      const given = sampleDraws(this.seed, "data/prefix", samples[row]!).below(end < 0 ? context : end, 0);
      own.fill(ignoreIndex, 0, given);
    }
    return batch;
  }
}
