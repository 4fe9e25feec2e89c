// Documents of a token folder as sequences for rows: cut where they are longer than the context, read when a batch wants them.
import { createHash } from "node:crypto";
import type { TokenFolder } from "./token-folder.ts";
import type { SequenceRows } from "./token-sequences.ts";
import type { TokenStore } from "./token-store.ts";

/** Every token is learnt, but the first of a document. Equal to what `prepareDocuments` makes of the same documents. */
export class StoredSequences implements SequenceRows {
  readonly length: number;
  readonly fingerprint: string;
  private readonly tokens: TokenStore;
  /** Of each sequence: where it begins, and how many tokens it has. */
  private readonly starts: Float64Array;
  private readonly counts: Int32Array;

  /** The documents at `positions`, in stretches of up to `context` + 1 tokens, each of which begins with the last of the one before. */
  constructor({ tokens, ends }: Pick<TokenFolder, "tokens" | "ends">, positions: readonly number[], context: number) {
    const from = (document: number) => (document === 0 ? 0 : ends[document - 1]!);
    const piecesOf = (document: number) => Math.ceil((ends[document]! - from(document) - 1) / context);
    this.length = positions.reduce((sum, document) => sum + piecesOf(document), 0);
    this.starts = new Float64Array(this.length);
    this.counts = new Int32Array(this.length);
    let at = 0;
    for (const document of positions)
      for (let start = from(document); start < ends[document]! - 1; start += context) {
        this.starts[at] = start;
        this.counts[at++] = Math.min(context + 1, ends[document]! - start);
      }
    this.tokens = tokens;
    const identity = createHash("sha256").update(tokens.fingerprint).update(this.starts).update(this.counts);
    this.fingerprint = identity.digest("hex").slice(0, 16);
  }

  positionsOf(at: number): number {
    return this.counts[at]! - 1;
  }

  async write(at: number, tokens: Int32Array, targets: Int32Array, place: number): Promise<void> {
    const ids = await this.tokens.read(this.starts[at]!, this.counts[at]!);
    tokens.set(ids.subarray(0, -1), place);
    targets.set(ids.subarray(1), place);
  }
}
