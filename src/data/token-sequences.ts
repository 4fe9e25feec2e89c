// Token sequences of different lengths as rows of one length: each alone in a row and padded, or several in a row, packed. Sequences are
// documents or conversations, with some of their tokens left out of the loss. No tokenizer, no order.
import { createHash } from "node:crypto";
import { fail, type HostArray } from "../base/index.ts";
import type { Dataset } from "./batch.ts";
import type { TokenSequence } from "./chat-format.ts";
import type { DatasetOfLengths } from "./length-batches.ts";
import { ignoreIndex } from "./loader.ts";
import type { TextBatch } from "./text-windows.ts";

/** `documents` i32 [B, T]: which document a position belongs to, −1 for padding; `positions` i32 [B, T]: its place in that document. */
export type PackedBatch = TextBatch & { documents: HostArray; positions: HostArray };

/** Sequences of different lengths, to be put into rows. */
export interface SequenceRows {
  readonly length: number;
  /** Changes when the sequences do. */
  readonly fingerprint: string;
  /** Positions that sequence `at` takes in a row: its last token is a target alone. */
  positionsOf(at: number): number;
  /** Writes the inputs and targets of sequence `at` from `place` on. */
  write(at: number, tokens: Int32Array, targets: Int32Array, place: number): void | Promise<void>;
}

/** Sequences side by side in one array. A token outside the loss is kept as its complement, −1 − id. */
export class TokenSequences implements SequenceRows {
  readonly length: number;
  /** SHA-256 over tokens, marks and lengths. */
  readonly fingerprint: string;
  private readonly ids: Int32Array;
  private readonly starts: Float64Array;

  constructor(sequences: readonly TokenSequence[]) {
    this.length = sequences.length;
    this.starts = new Float64Array(sequences.length + 1);
    sequences.forEach(({ ids }, at) => {
      this.starts[at + 1] = this.starts[at] + ids.length;
    });
    this.ids = new Int32Array(this.starts[sequences.length]);
    sequences.forEach(({ ids, trained }, at) => {
      const from = this.starts[at];
      for (let i = 0; i < ids.length; i++) this.ids[from + i] = trained[i] ? ids[i] : -1 - ids[i];
    });
    this.fingerprint = createHash("sha256").update(this.ids).update(this.starts).digest("hex").slice(0, 16);
  }

  positionsOf(at: number): number {
    return this.starts[at + 1] - this.starts[at] - 1;
  }

  /** Tokens that the loss counts, over all sequences; the first token of each is never predicted. */
  get trainedTokens(): Int32Array {
    return this.ids.filter((id) => id >= 0);
  }

  write(at: number, tokens: Int32Array, targets: Int32Array, place: number): void {
    const [start, count] = [this.starts[at], this.positionsOf(at)];
    for (let i = 0; i < count; i++) {
      const [id, next] = [this.ids[start + i], this.ids[start + i + 1]];
      tokens[place + i] = id < 0 ? -1 - id : id;
      targets[place + i] = next < 0 ? ignoreIndex : next;
    }
  }
}

/** Errors with `data/context` unless every sequence has two tokens or more and fits the context. */
function checkLengths(sequences: SequenceRows, context: number): void {
  for (let at = 0; at < sequences.length; at++) {
    const positions = sequences.positionsOf(at);
    if (positions >= 1 && positions <= context) continue;
    fail("data/context", "a sequence does not fit the context", {
      where: `sequence ${at + 1}`,
      expected: `2 to ${context + 1} tokens`,
      got: String(positions + 1),
      fix: "raise the context, or leave the sequence out",
    });
  }
}

const int = (rows: number, context: number, value = 0): HostArray & { data: Int32Array } => ({
  dtype: "i32",
  shape: [rows, context],
  data: new Int32Array(rows * context).fill(value),
});

/** One sequence a row; behind it tokens are 0 and targets count for nothing. */
export class PaddedSequences implements DatasetOfLengths<TextBatch> {
  readonly unit = "conversation";
  readonly length: number;
  readonly fingerprint: string;
  private readonly sequences: SequenceRows;
  private readonly context: number;

  /** Errors with `data/context`. */
  constructor(sequences: SequenceRows, context: number) {
    checkLengths(sequences, context);
    this.sequences = sequences;
    this.context = context;
    this.length = sequences.length;
    this.fingerprint = `${sequences.fingerprint}/${context}/padded`;
  }

  lengthsOf(position: number): { tokens: number; targets: number } {
    const tokens = this.sequences.positionsOf(position);
    return { tokens, targets: tokens };
  }

  async collate(positions: readonly number[]): Promise<TextBatch> {
    const { context } = this;
    const [tokens, targets] = [int(positions.length, context), int(positions.length, context, ignoreIndex)];
    await Promise.all(positions.map((at, row) => this.sequences.write(at, tokens.data, targets.data, row * context)));
    return { tokens, targets };
  }
}

/** Several sequences a row, as many as fit, told apart by `documents`. */
export class PackedSequences implements Dataset<PackedBatch> {
  readonly unit = "packed row";
  readonly length: number;
  readonly fingerprint: string;
  /** Share of all positions that hold a token. */
  readonly fill: number;
  private readonly sequences: SequenceRows;
  private readonly context: number;
  private readonly rows: readonly (readonly number[])[];

  /** Errors with `data/context`. */
  constructor(sequences: SequenceRows, context: number) {
    checkLengths(sequences, context);
    const lengths = Array.from({ length: sequences.length }, (_, at) => sequences.positionsOf(at));
    this.sequences = sequences;
    this.context = context;
    this.rows = packRows(lengths, context);
    this.length = this.rows.length;
    this.fill = lengths.reduce((sum, one) => sum + one, 0) / Math.max(1, this.length * context);
    this.fingerprint = `${sequences.fingerprint}/${context}/packed`;
  }

  async collate(positions: readonly number[]): Promise<PackedBatch> {
    const { context, sequences } = this;
    const make = (value?: number) => int(positions.length, context, value);
    const batch = { tokens: make(), targets: make(ignoreIndex), documents: make(ignoreIndex), positions: make() };
    const writes: (void | Promise<void>)[] = [];
    positions.forEach((at, row) => {
      let place = row * context;
      this.rows[at].forEach((sequence, document) => {
        const count = sequences.positionsOf(sequence);
        writes.push(sequences.write(sequence, batch.tokens.data, batch.targets.data, place));
        batch.documents.data.fill(document, place, place + count);
        for (let i = 0; i < count; i++) batch.positions.data[place + i] = i;
        place += count;
      });
    });
    await Promise.all(writes);
    return batch;
  }
}

/**
 * Which lengths share a row of `room`: the longest first, each into the row that it fills best (best fit decreasing; Johnson et al. 1974:
 * at most 11/9 of the fewest rows, and 4 more).
 */
export function packRows(lengths: readonly number[], room: number): number[][] {
  const order = lengths.map((_, at) => at).toSorted((a, b) => lengths[b] - lengths[a] || a - b);
  const rows: number[][] = [];
  const open: number[][] = Array.from({ length: room + 1 }, () => []); // rows by the room that is left
  for (const at of order) {
    let left = lengths[at];
    while (left <= room && open[left].length === 0) left++;
    const row = left <= room ? open[left].pop()! : rows.push([]) - 1;
    rows[row].push(at);
    open[Math.min(left, room) - lengths[at]].push(row);
  }
  return rows;
}
