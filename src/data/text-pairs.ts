// Pairs of texts made ready for a model that writes one from the other: tokens of two lengths, the target shifted by its start.
import { createHash } from "node:crypto";
import { fail, type HostArray } from "../base/index.ts";
import type { Dataset } from "./batch.ts";
import { type SplitOptions, splitRows } from "./split.ts";
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

/** Where the tokens of a pair go. */
export interface PairLayout {
  readonly context: number;
  readonly targetContext: number;
  readonly start: number;
  readonly end: number;
}

export interface TextPairOptions extends TableReadOptions, Pick<SplitOptions, "validation" | "seed"> {
  /** Column of what is read; default `source`. */
  readonly source?: string;
  /** Column of what is written; default `target`. */
  readonly target?: string;
  readonly tokenizer: TokenizerSpec | Tokenizer;
  /** From the tokenizer, whose ids start and end lie beside. */
  readonly layout: (tokenizer: Tokenizer) => PairLayout;
}

type TextPair = readonly [source: Int32Array, target: Int32Array];

/** Pairs as token ids. */
export class TextPairDataset implements Dataset<TextPairBatch> {
  readonly unit = "pair";
  readonly fingerprint: string;
  private readonly pairs: readonly TextPair[];
  private readonly layout: PairLayout;

  constructor(pairs: readonly TextPair[], layout: PairLayout, fingerprint: string) {
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

  collate(positions: readonly number[]): TextPairBatch {
    return padPairs(
      positions.map((position) => this.pairs[position]!),
      this.layout,
    );
  }
}

/** Sources and targets as rows of one length each. */
export function padPairs(rows: readonly TextPair[], layout: PairLayout): TextPairBatch {
  const { context, targetContext, start, end } = layout;
  const padded = (width: number, ids: (pair: TextPair) => readonly number[]): HostArray => {
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
  readonly tokenizer: Tokenizer;
  readonly layout: PairLayout;
  readonly sha256: string;
  /** What `invalid` did: files left out, faults that became U+FFFD. */
  readonly skipped: Table["skipped"];
  readonly replaced: number;
}

/**
 * Reads pairs of texts (CSV, TSV, JSON Lines, arrays, async iterables), splits and tokenizes them. Pairs of one source stay together, so
 * that nothing held out was trained on; one tokenizer, trained on the sources and targets of the training part, serves both sides.
 * Errors: those of `readTable`, `data/empty-text`, naming the row.
 */
export async function prepareTextPairs<R extends object>(
  input: TableInput<R>,
  options: TextPairOptions,
): Promise<TextPairData> {
  const table = await readTable(input, { missingMarkers: [""], ...options });
  const { source = "source", target = "target" } = options;
  const [sources, targets] = [source, target].map((name) => readTexts(table, findColumn(table, name))) as [
    string[],
    string[],
  ];
  const split = splitBySource(sources, options);
  const textsOf = (rows: readonly number[]) => [
    ...rows.map((row) => sources[row]!),
    ...rows.map((row) => targets[row]!),
  ];
  const tokenizer = await makeTokenizer(options.tokenizer, textsOf(split.train), [...sources, ...targets]);
  const layout = options.layout(tokenizer);
  const part = (rows: readonly number[]) => {
    const order = createHash("sha256").update(`${table.sha256}/${tokenizer.hash}/${JSON.stringify(layout)}/${rows}`);
    const pairs = rows.map((row) => [tokenizer.encode(sources[row]!), tokenizer.encode(targets[row]!)] as const);
    return new TextPairDataset(pairs, layout, order.digest("hex").slice(0, 16));
  };
  return {
    train: part(split.train),
    validation: part(split.validation),
    tokenizer,
    layout,
    sha256: table.sha256,
    skipped: table.skipped,
    replaced: table.replaced,
  };
}

/** Rows of each part; those of one source lie in one. */
function splitBySource(sources: readonly string[], options: SplitOptions): { train: number[]; validation: number[] } {
  const rowsOf = new Map<string, number[]>();
  sources.forEach((text, row) => {
    const rows = rowsOf.get(text);
    if (rows === undefined) rowsOf.set(text, [row]);
    else rows.push(row);
  });
  const groups = [...rowsOf.values()];
  if (groups.length === 0) fail("data/empty", "there are no pairs of texts", { expected: "at least one", got: "none" });
  const { train, validation } = splitRows(groups.length, options);
  const rows = (part: readonly number[]) => part.flatMap((group) => groups[group]!).sort((a, b) => a - b);
  return { train: rows(train), validation: rows(validation) };
}
