// All ways to cut a word into pieces: their expected counts, and the best of them. Knows no training, and pieces by number alone.
import { PairTable } from "./pair-table.ts";

/** Pieces as a tree of characters. Piece 0 stands for a character that is no piece itself. */
export class PieceTree {
  private readonly children = new PairTable(2 ** 14);
  /** The piece that ends at a node, or -1. */
  private pieces = new Int32Array(2 ** 14).fill(-1);
  private size = 1;

  constructor(pieces: readonly string[]) {
    for (let id = 1; id < pieces.length; id++) this.add(pieces[id], id);
  }

  /** The node below `node` by the code point `char`, or -1. The root is 0. */
  child(node: number, char: number): number {
    return this.children.get(node, char);
  }

  pieceAt(node: number): number {
    return this.pieces[node];
  }

  private add(piece: string, id: number): void {
    let node = 0;
    for (const char of piece) {
      const codePoint = char.codePointAt(0)!;
      let next = this.children.get(node, codePoint);
      if (next < 0) {
        next = this.size++;
        this.children.set(node, codePoint, next);
        if (next === this.pieces.length) {
          const grown = new Int32Array(2 * next).fill(-1);
          grown.set(this.pieces);
          this.pieces = grown;
        }
      }
      node = next;
    }
    this.pieces[node] = id;
  }
}

const unknownPenalty = 10;

/**
 * The pieces of one word at a time, by where they begin. `scores` are log-probabilities by piece; that of piece 0 is ignored: an
 * unknown character scores 10 below the least.
 */
export class Lattice {
  private readonly tree: PieceTree;
  private readonly scores: Float64Array;
  private readonly unknownScore: number;
  private length = 0;
  /** Edge i of the word: it begins at `from[i]`, ends at `to[i]` and is piece `piece[i]`; in order of from, then to. */
  private edges = 0;
  private from = new Int32Array(256);
  private to = new Int32Array(256);
  private piece = new Int32Array(256);
  private score = new Float64Array(256);
  /** By position: the sums over all ways from the beginning and to the end, as logarithms. */
  private ahead = new Float64Array(64);
  private behind = new Float64Array(64);
  private bestEdge = new Int32Array(64);

  constructor(tree: PieceTree, scores: Float64Array) {
    this.tree = tree;
    this.scores = scores;
    let least = Number.POSITIVE_INFINITY;
    for (let id = 1; id < scores.length; id++) if (scores[id] < least) least = scores[id];
    this.unknownScore = least - unknownPenalty;
  }

  /** Takes the word `text[start..end)`. */
  read(text: Int32Array, start: number, end: number): void {
    const { tree, scores } = this;
    this.length = end - start;
    this.edges = 0;
    if (this.length >= this.ahead.length) this.reservePositions(this.length + 1);
    for (let at = start; at < end; at++) {
      let single = false;
      for (let node = 0, stop = at; stop < end; stop++) {
        node = tree.child(node, text[stop]);
        if (node < 0) break;
        const id = tree.pieceAt(node);
        if (id < 0) continue;
        single ||= stop === at;
        this.add(at - start, stop + 1 - start, id, scores[id]);
      }
      if (!single) this.add(at - start, at + 1 - start, 0, this.unknownScore);
    }
  }

  /** Adds to `expected`, by piece, how often it occurs in all ways to cut the word, each by its probability, times `count`. */
  addExpected(count: number, expected: Float64Array): void {
    const { length, edges, from, to, piece, score, ahead, behind } = this;
    ahead.fill(Number.NaN, 0, length + 1);
    behind.fill(Number.NaN, 0, length + 1);
    ahead[0] = behind[length] = 0;
    for (let i = 0; i < edges; i++) ahead[to[i]] = logAdd(ahead[to[i]], score[i] + ahead[from[i]]);
    // edges of one beginning in their order, beginnings from the last
    for (let last = edges; last > 0; ) {
      let first = last;
      while (first > 0 && from[first - 1] === from[last - 1]) first--;
      for (let i = first; i < last; i++) behind[from[i]] = logAdd(behind[from[i]], score[i] + behind[to[i]]);
      last = first;
    }
    const total = ahead[length];
    for (let i = 0; i < edges; i++)
      expected[piece[i]] += count * Math.exp(ahead[from[i]] + score[i] + behind[to[i]] - total);
  }

  /**
   * The pieces of the best way to cut the word, from its end to its beginning, and its score. `whole: false` leaves out the way of
   * one piece.
   */
  best({ whole = true } = {}): { readonly score: number; readonly pieces: readonly number[] } {
    const { length, edges, from, to, piece, score, ahead, bestEdge } = this;
    ahead.fill(Number.NEGATIVE_INFINITY, 0, length + 1);
    ahead[0] = 0;
    for (let i = 0; i < edges; i++) {
      if (!whole && to[i] - from[i] === length) continue;
      const reached = ahead[from[i]] + score[i];
      if (!(reached > ahead[to[i]])) continue;
      ahead[to[i]] = reached;
      bestEdge[to[i]] = i;
    }
    const pieces: number[] = [];
    for (let at = length; at > 0; at = from[bestEdge[at]]) pieces.push(piece[bestEdge[at]]);
    return { score: ahead[length], pieces };
  }

  private add(from: number, to: number, piece: number, score: number): void {
    if (this.edges === this.from.length) this.reserveEdges();
    this.from[this.edges] = from;
    this.to[this.edges] = to;
    this.piece[this.edges] = piece;
    this.score[this.edges++] = score;
  }

  private reserveEdges(): void {
    const grow = (old: Int32Array) => {
      const grown = new Int32Array(2 * old.length);
      grown.set(old);
      return grown;
    };
    [this.from, this.to, this.piece] = [this.from, this.to, this.piece].map(grow);
    const scores = new Float64Array(2 * this.score.length);
    scores.set(this.score);
    this.score = scores;
  }

  private reservePositions(size: number): void {
    this.ahead = new Float64Array(2 * size);
    this.behind = new Float64Array(2 * size);
    this.bestEdge = new Int32Array(2 * size);
  }
}

/** log(exp(a) + exp(b)); an `a` of NaN is nothing yet. */
function logAdd(a: number, b: number): number {
  if (Number.isNaN(a)) return b;
  const [least, greatest] = a > b ? [b, a] : [a, b];
  return greatest > least + 50 ? greatest : greatest + Math.log(Math.exp(least - greatest) + 1);
}
