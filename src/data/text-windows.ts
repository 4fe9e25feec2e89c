// Windows of token ids as batches for a language model: any window for training, all of them in a row for evaluation.
import { fail, type HostArray } from "../base/index.ts";
import type { Dataset } from "./batch.ts";
import { ignoreIndex } from "./loader.ts";
import type { TokenStore } from "./token-store.ts";

/** `tokens` i32 [B, T] and `targets` i32 [B, T], the same shifted by one. */
export type TextBatch = { tokens: HostArray; targets: HostArray };

/** Every window of `context` + 1 ids, by where it begins: for training, drawn at random. */
export class TextWindows implements Dataset<TextBatch> {
  readonly unit = "window";
  readonly length: number;
  readonly fingerprint: string;
  private readonly store: TokenStore;
  private readonly context: number;

  /** Errors with `data/context` when the text is not longer than the context. */
  constructor(store: TokenStore, context: number) {
    checkContext(store, context, context + 1);
    this.store = store;
    this.context = context;
    this.length = store.length - context;
    this.fingerprint = `${store.fingerprint.slice(0, 16)}/${context}`;
  }

  collate(positions: readonly number[]): Promise<TextBatch> {
    return readWindows(this.store, this.context, positions);
  }
}

/** The text cut into windows that do not overlap: each id but the first is predicted once. The last is padded. */
export class SequentialWindows implements Dataset<TextBatch> {
  readonly unit = "window";
  readonly length: number;
  readonly fingerprint: string;
  /** Number of targets that count: one less than the ids. */
  readonly numTargets: number;
  private readonly store: TokenStore;
  private readonly context: number;

  /** Errors with `data/context` when there are fewer than two ids. */
  constructor(store: TokenStore, context: number) {
    checkContext(store, context, 2);
    this.store = store;
    this.context = context;
    this.numTargets = store.length - 1;
    this.length = Math.ceil(this.numTargets / context);
    this.fingerprint = `${store.fingerprint.slice(0, 16)}/${context}/sequential`;
  }

  collate(positions: readonly number[]): Promise<TextBatch> {
    const starts = positions.map((position) => position * this.context);
    return readWindows(this.store, this.context, starts);
  }
}

function checkContext(store: TokenStore, context: number, needed: number): void {
  if (Number.isInteger(context) && context >= 1 && store.length >= needed) return;
  fail("data/context", "the text is too short for the context", {
    expected: `a context of at least 1 and at least ${needed} tokens`,
    got: `a context of ${context} and ${store.length} tokens`,
    fix: store.length > 1 ? `set the context to ${store.length - 1} or less, or give more text` : "give more text",
  });
}

/** Reads windows; where the text ends within one, tokens are 0 and targets `ignoreIndex`. */
async function readWindows(store: TokenStore, context: number, starts: readonly number[]): Promise<TextBatch> {
  const width = context + 1;
  const windows = new Int32Array(starts.length * width).fill(ignoreIndex);
  const reads: (void | Promise<void>)[] = [];
  for (const [i, start] of starts.entries()) {
    reads.push(store.readInto(windows, i * width, start, Math.min(width, store.length - start)));
  }
  await Promise.all(reads);
  const tokens = new Int32Array(starts.length * context);
  const targets = new Int32Array(starts.length * context);
  for (let row = 0; row < starts.length; row++) {
    tokens.set(windows.subarray(row * width, row * width + context), row * context);
    targets.set(windows.subarray(row * width + 1, (row + 1) * width), row * context);
  }
  for (let i = 0; i < tokens.length; i++) if (tokens[i] === ignoreIndex) tokens[i] = 0;
  const shape = [starts.length, context];
  return { tokens: { dtype: "i32", shape, data: tokens }, targets: { dtype: "i32", shape, data: targets } };
}
