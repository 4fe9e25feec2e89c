// Pairs of texts made ready for a model that writes one from the other: tokens of two lengths, the target shifted by its start.
import { createHash } from "node:crypto";
import { fail, type HostArray } from "../base/index.ts";
import type { DatasetOfLengths } from "./length-batches.ts";
import { type Split, type SplitOptions, splitRows } from "./split.ts";
import { readTable, type Table, type TableInput, type TableReadOptions } from "./table.ts";
import { findColumn } from "./table-columns.ts";
import { makeTokenizer, readTexts } from "./text-classification.ts";
import type { TokenizerSpec } from "./tokenize-text.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * `source` i32 [B, S] ends with the end token; `tokens` i32 [B, T] is the target from its start token on, `targets` i32 [B, T] the same one
 * token on, up to the end token. What is shorter is filled up with −1.
 */
export type TextPairBatch = { source: HostArray; tokens: HostArray; targets: HostArray };

/** A text and what is to be written from it. */
export interface TextPair {
  readonly source: string;
  readonly target: string;
}

/** Columns of pairs, and how files of them are read. */
export interface TextPairColumns extends TableReadOptions {
  /** Column of what is read; default `source`. */
  readonly source?: string;
  /** Column of what is written; default `target`. */
  readonly target?: string;
}

/** Where the tokens of a pair go. */
export interface PairLayout {
  readonly context: number;
  readonly targetContext: number;
  readonly start: number;
  readonly end: number;
}

export interface TextPairOptions<R extends object = object>
  extends TextPairColumns,
    Pick<SplitOptions, "validation" | "seed"> {
  /** Held out in place of a share of the pairs. */
  readonly heldOut?: TableInput<R> | undefined;
  readonly tokenizer: TokenizerSpec | Tokenizer;
  /** From the tokenizer, whose ids start and end lie beside. */
  readonly layout: (tokenizer: Tokenizer) => PairLayout;
}

/** A pair as token ids. */
type EncodedPair = readonly [source: Int32Array, target: Int32Array];

/** Pairs as token ids. */
export class TextPairDataset implements DatasetOfLengths<TextPairBatch> {
  readonly unit = "pair";
  readonly fingerprint: string;
  readonly pairs: readonly EncodedPair[];
  private readonly layout: PairLayout;

  constructor(pairs: readonly EncodedPair[], layout: PairLayout, fingerprint: string) {
    this.pairs = pairs;
    this.layout = layout;
    this.fingerprint = fingerprint;
  }

  get length(): number {
    return this.pairs.length;
  }

  /** Pairs of which a part is longer than what is read of it. */
  get cut(): number {
    const { context, targetContext } = this.layout;
    return this.pairs.filter(([source, target]) => source.length >= context || target.length >= targetContext).length;
  }

  /** How often each id is a target, ends counted. */
  counts(): Map<number, number> {
    const counts = new Map([[this.layout.end, this.length]]);
    for (const [, target] of this.pairs) for (const id of target) counts.set(id, (counts.get(id) ?? 0) + 1);
    return counts;
  }

  lengthsOf(position: number): { source: number; tokens: number; targets: number } {
    const { context, targetContext } = this.layout;
    const [source, target] = this.pairs[position]!;
    const written = Math.min(target.length + 1, targetContext);
    return { source: Math.min(source.length + 1, context), tokens: written, targets: written };
  }

  collate(positions: readonly number[]): TextPairBatch {
    return padPairs(
      positions.map((position) => this.pairs[position]!),
      this.layout,
    );
  }
}

/** Sources and targets as rows of one length each. */
export function padPairs(rows: readonly EncodedPair[], layout: PairLayout): TextPairBatch {
  const { context, targetContext, start, end } = layout;
  const padded = (width: number, ids: (pair: EncodedPair) => readonly number[]): HostArray => {
    const data = new Int32Array(rows.length * width).fill(-1);
    rows.forEach((pair, row) => {
      data.set(ids(pair).slice(0, width), row * width);
    });
    return { dtype: "i32", shape: [rows.length, width], data };
  };
  return {
    // a source that is cut ends all the same; a target that is cut does not
    source: padded(context, ([source]) => [...source.subarray(0, context - 1), end]),
    tokens: padded(targetContext, ([, target]) => [start, ...target]),
    targets: padded(targetContext, ([, target]) => [...target, end]),
  };
}

export interface TextPairData {
  readonly train: TextPairDataset;
  readonly validation: TextPairDataset;
  /** The texts of `validation`. */
  readonly heldOut: readonly TextPair[];
  /** Pairs that are not trained on, since their source is held out elsewhere. */
  readonly numShared: number;
  readonly tokenizer: Tokenizer;
  readonly layout: PairLayout;
  readonly sha256: string;
  /** What `invalid` did: files left out, faults that became U+FFFD. */
  readonly skipped: Table["skipped"];
  readonly replaced: number;
}

/** Pairs as they are, of CSV, TSV, JSON Lines, arrays, async iterables. Errors: those of `readTable`, `data/empty-text`, naming the row. */
export async function readTextPairs<R extends object>(
  input: TableInput<R>,
  options: TextPairColumns,
): Promise<{ readonly pairs: TextPair[]; readonly table: Table }> {
  const table = await readTable(input, { missingMarkers: [""], ...options });
  const textsOf = (name: string) => readTexts(table, findColumn(table, name));
  const [sources, targets] = [textsOf(options.source ?? "source"), textsOf(options.target ?? "target")];
  return { table, pairs: sources.map((source, row) => ({ source, target: targets[row]! })) };
}

/**
 * Reads pairs of texts, splits and tokenizes them. Pairs of one source stay together, so that nothing held out was trained on; one tokenizer,
 * trained on the sources and targets of the training part, serves both sides. Errors as `readTextPairs`, and with `data/empty`, `data/split`.
 */
export async function prepareTextPairs<R extends object>(
  input: TableInput<R>,
  options: TextPairOptions<R>,
): Promise<TextPairData> {
  const { table, pairs: own } = await readTextPairs(input, options);
  const other = options.heldOut === undefined ? undefined : await readTextPairs(options.heldOut, options);
  const pairs = [...own, ...(other?.pairs ?? [])];
  const split = other === undefined ? splitBySource(own, options) : splitAt(own, other.pairs);
  const textsOf = (rows: readonly number[]) =>
    (["source", "target"] as const).flatMap((side) => rows.map((row) => pairs[row]![side]));
  const tokenizer = await makeTokenizer(options.tokenizer, textsOf(split.train), textsOf([...pairs.keys()]));
  const layout = options.layout(tokenizer);
  const sha256 = [table, ...(other === undefined ? [] : [other.table])].map((read) => read.sha256).join("/");
  const part = (rows: readonly number[]) => {
    const order = createHash("sha256").update(`${sha256}/${tokenizer.hash}/${JSON.stringify(layout)}/${rows}`);
    const encoded = rows.map((row) => {
      const { source, target } = pairs[row]!;
      return [tokenizer.encode(source), tokenizer.encode(target)] as const;
    });
    return new TextPairDataset(encoded, layout, order.digest("hex").slice(0, 16));
  };
  return {
    train: part(split.train),
    validation: part(split.validation),
    heldOut: split.validation.map((row) => pairs[row]!),
    numShared: pairs.length - split.train.length - split.validation.length,
    tokenizer,
    layout,
    sha256: table.sha256,
    skipped: table.skipped,
    replaced: table.replaced,
  };
}

/** Rows of each part. */
type Parts = Pick<Split, "train" | "validation">;

/** Pairs held out by themselves stand behind those to train on, of which none has a source of theirs. */
function splitAt(own: readonly TextPair[], heldOut: readonly TextPair[]): Parts {
  const held = new Set(heldOut.map(({ source }) => source));
  const train = [...own.keys()].filter((row) => !held.has(own[row]!.source));
  if (train.length === 0 && own.length > 0)
    fail("data/split", "every text to train on is held out too", {
      where: "data.heldOutPath",
      expected: "texts that are not those of data.path",
      got: `all ${own.length} pairs have a source of the held-out ones`,
      fix: "name another file; to score a model on pairs it was trained on: npx athanor eval RUN --task FILE",
    });
  return { train, validation: heldOut.map((_, at) => own.length + at) };
}

/** Those of one source lie in one part. */
function splitBySource(pairs: readonly TextPair[], options: SplitOptions): Parts {
  const rowsOf = new Map<string, number[]>();
  pairs.forEach(({ source }, row) => {
    const rows = rowsOf.get(source);
    if (rows === undefined) rowsOf.set(source, [row]);
    else rows.push(row);
  });
  const groups = [...rowsOf.values()];
  if (groups.length === 0) fail("data/empty", "there are no pairs of texts", { expected: "at least one", got: "none" });
  const { train, validation } = splitRows(groups.length, options);
  const rows = (part: readonly number[]) => part.flatMap((group) => groups[group]!).sort((a, b) => a - b);
  return { train: rows(train), validation: rows(validation) };
}
