// Masked language modelling (Devlin et al. 2018): windows of a text with some words hidden, others each time a window is drawn (Liu et
// al. 2019). What is hidden is a function of the seed and the sample's number: a run that was stopped goes on with the same words.
import { fail, type HostArray } from "../base/index.ts";
import type { Dataset } from "./batch.ts";
import { ignoreIndex } from "./loader.ts";
import { type SampleDraws, sampleDraws } from "./sample-draws.ts";
import type { SpecialIds } from "./special-tokens.ts";
import type { TokenStore } from "./token-store.ts";
import type { WordParts } from "./word-parts.ts";

/** `tokens` i32 [B, T], −1 behind a text's end; `places` i32 [B, K], where words are to be guessed, and which: `targets` i32 [B, K]. */
export type MaskedBatch = { tokens: HostArray; places: HostArray; targets: HostArray };

export interface Masking {
  /** Share of a window's tokens that is to be guessed. */
  readonly share: number;
  /** Of these so many are hidden behind `[MASK]`, and so many become a random token; the rest stays as it is. */
  readonly hidden: number;
  readonly random: number;
  /** Where words are known, whole ones are guessed. */
  readonly words?: WordParts | undefined;
}

export interface MaskedWindowOptions extends Masking {
  /** Tokens of a window, `[CLS]` and `[SEP]` among them. */
  readonly context: number;
  readonly special: SpecialIds;
  readonly seed: number;
  /** `random`: any window, to be drawn from. `sequential`: the text cut into windows, the last one shorter. */
  readonly order: "random" | "sequential";
}

export class MaskedWindows implements Dataset<MaskedBatch> {
  readonly unit = "window";
  readonly length: number;
  readonly fingerprint: string;
  /** Places of a row. */
  readonly numPlaces: number;
  private readonly store: TokenStore;
  private readonly options: MaskedWindowOptions;
  /** Tokens of text in a window. */
  private readonly width: number;

  /** Errors with `data/context` when the text is shorter than a window. */
  constructor(store: TokenStore, options: MaskedWindowOptions) {
    const { context, order, share, hidden, random } = options;
    this.store = store;
    this.options = options;
    this.width = context - 2;
    const needed = order === "random" ? this.width : 1;
    if (this.width < 1 || store.length < needed)
      fail("data/context", "the text is too short for the context", {
        expected: `a context of at least 3 and at least ${needed} tokens`,
        got: `a context of ${context} and ${store.length} tokens`,
        fix: "set a context that the text fills, or give more text",
      });
    this.numPlaces = Math.max(1, Math.round(share * this.width));
    this.length = order === "random" ? store.length - this.width + 1 : Math.ceil(store.length / this.width);
    const masking = [share, hidden, random, options.words === undefined ? "tokens" : "words"].join();
    this.fingerprint = `${store.fingerprint.slice(0, 16)}/${context}/${order}/masked ${masking}`;
  }

  async collate(positions: readonly number[], samples: readonly number[] = positions): Promise<MaskedBatch> {
    const { numPlaces, width, store } = this;
    const { context, special, order } = this.options;
    const rows = positions.length;
    const tokens = new Int32Array(rows * context).fill(ignoreIndex);
    const sizes = positions.map((position) =>
      order === "random" ? width : Math.min(width, store.length - position * width),
    );
    await Promise.all(
      positions.map((position, row) =>
        store.readInto(tokens, row * context + 1, order === "random" ? position : position * width, sizes[row]!),
      ),
    );
    const places = new Int32Array(rows * numPlaces);
    const targets = new Int32Array(rows * numPlaces).fill(ignoreIndex);
    sizes.forEach((size, row) => {
      const window = tokens.subarray(row * context, (row + 1) * context);
      window[0] = special.cls;
      window[size + 1] = special.sep;
      const chosen = this.choose(window.subarray(1, size + 1), samples[row]!).map((at) => at + 1);
      places.set(chosen, row * numPlaces);
      targets.set(
        chosen.map((at) => window[at]!),
        row * numPlaces,
      );
      this.hide(window, chosen, samples[row]!);
    });
    const whole = (data: Int32Array, columns: number): HostArray => ({ dtype: "i32", shape: [rows, columns], data });
    return {
      tokens: whole(tokens, context),
      places: whole(places, numPlaces),
      targets: whole(targets, numPlaces),
    };
  }

  /** Positions of words in a random order, as many as the share allows; in ascending order. */
  private choose(window: Int32Array, sample: number): number[] {
    const draw = this.drawer("data/masking/words", sample);
    const words = wordsOf(window, this.options.words);
    const keys = words.map((_, at) => draw.uniform(at));
    const order = [...keys.keys()].sort((a, b) => keys[a]! - keys[b]! || a - b);
    const room = Math.max(1, Math.round(this.options.share * window.length));
    const chosen: number[] = [];
    for (const at of order) {
      const word = words[at]!;
      if (chosen.length + word.length <= room) chosen.push(...word);
    }
    // a window of one long word: its beginning
    return chosen.length > 0 ? chosen.sort((a, b) => a - b) : words[order[0]!]!.slice(0, room);
  }

  private hide(window: Int32Array, chosen: readonly number[], sample: number): void {
    const { special, hidden, random } = this.options;
    const [what, other] = [this.drawer("data/masking/what", sample), this.drawer("data/masking/token", sample)];
    for (const at of chosen) {
      const drawn = what.uniform(at);
      if (drawn < hidden) window[at] = special.mask;
      else if (drawn < hidden + random) window[at] = other.below(this.store.vocabSize, at);
    }
  }

  private drawer(name: string, sample: number): SampleDraws {
    return sampleDraws(this.options.seed, `${name}/${this.options.order}`, sample);
  }
}

/** Positions of each word's tokens; without knowledge of words each token is one. */
function wordsOf(window: Int32Array, parts: WordParts | undefined): number[][] {
  const words: number[][] = [];
  window.forEach((token, at) => {
    if (at > 0 && parts?.goesOn[token] && parts.isOpen[window[at - 1]!]) words.at(-1)!.push(at);
    else words.push([at]);
  });
  return words;
}
