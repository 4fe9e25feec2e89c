// Documents of a file, one after the other, in pieces: a file of text is one, a row of JSON is one. Whatever their sizes, little is held.
import { fail } from "../base/index.ts";
import { cutWords } from "./cut-words.ts";
import { recordsOf } from "./json-records.ts";
import { openText, type TextOptions, type TextTally } from "./text-source.ts";
import type { Tokenizer } from "./tokenizer.ts";
import type { TrainedTokenizerSpec } from "./training-settings.ts";

/** Texts to encode: each is a document or, the last, what a piece holds of a long one. */
export interface DocumentPiece {
  readonly texts: readonly string[];
  /** Whether the last text is the end of its document. */
  readonly ends: boolean;
}

/** Tokens that end a text, by the names that they have; the first that a tokenizer has is taken. */
export const endNames = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"];

/** The token that ends a document. Errors with `data/end-token`. */
export function endToken({ specialTokens }: Tokenizer): number {
  const [end] = endNames.flatMap((name) => specialTokens.get(name) ?? []);
  if (end !== undefined) return end;
  return fail("data/end-token", "the tokenizer has no token that ends a document", {
    where: "tokenizer",
    expected: `one of ${endNames.join(", ")}`,
    got: [...specialTokens.keys()].join(", ") || "no special tokens",
    fix: "use byte, { bpe: 4096 }, or a tokenizer.json that has one; or leave data.packing out",
  });
}

/** A tokenizer to train, with a token that ends a document. */
export function withEnd(spec: TrainedTokenizerSpec): TrainedTokenizerSpec {
  return "bpe" in spec ? { ...spec, specialTokens: [...new Set([endNames[0]!, ...(spec.specialTokens ?? [])])] } : spec;
}

export const holdsRows = (path: string): boolean => /\.(?:jsonl|ndjson|json)(?:\.gz)?$/.test(path);

/** The text of a row: itself, or its column. Errors with `data/empty-text`. */
export function textOfRow(row: unknown, column: string, where: string): string {
  const value = typeof row === "string" ? row : (row as { readonly [column: string]: unknown } | null)?.[column];
  if (typeof value === "string" && value !== "") return value;
  return fail("data/empty-text", "a row has no text", {
    where,
    expected: `a text, or an object with the column ${column}`,
    got: JSON.stringify(row)?.slice(0, 100) ?? "nothing",
    fix: "take it out; data.text of a recipe, --text of a command, names another column",
  });
}

/** Characters of a piece; a longer document is cut between words. Foreign tokenizers may treat a beginning in a way of their own: few cuts. */
const pieceLength = 2 ** 20;

/**
 * The documents of one file, in pieces that depend on nothing but the file. `column` names the text of a row. Errors: `data/empty-text`, and
 * those of reading; with `invalid: "skip"` rows and files without a text are left out, and told in `tally`.
 */
export async function* documentPieces(
  path: string,
  column: string,
  options: TextOptions,
  tally: TextTally,
): AsyncGenerator<DocumentPiece> {
  let [texts, length]: [string[], number] = [[], 0];
  for await (const { text, ends } of holdsRows(path)
    ? rows(path, column, options, tally)
    : file(path, options, tally)) {
    texts.push(text);
    length += text.length;
    if (ends && length < pieceLength) continue;
    yield { texts, ends };
    [texts, length] = [[], 0];
  }
  if (texts.length > 0) yield { texts, ends: true };
}

interface Stretch {
  readonly text: string;
  readonly ends: boolean;
}

async function* rows(path: string, column: string, options: TextOptions, tally: TextTally): AsyncGenerator<Stretch> {
  for await (const { record, place } of recordsOf(path, options, tally)) {
    const text = leavingOut(place, options, tally, () => textOfRow(record, column, place));
    if (text !== undefined) yield* closed(cutWords(text, pieceLength, (words) => words, true));
  }
}

async function* file(path: string, options: TextOptions, tally: TextTally): AsyncGenerator<Stretch> {
  let [rest, held]: [string, string | undefined] = ["", undefined];
  for await (const piece of (await openText({ path }, options)).pieces(tally)) {
    const cut = cutWords(rest + piece, pieceLength, (words) => words, false);
    let next = cut.next();
    for (; !next.done; next = cut.next()) {
      if (held !== undefined) yield { text: held, ends: false };
      held = next.value;
    }
    rest = next.value;
  }
  const end = [...cutWords(rest, pieceLength, (words) => words, true)];
  const all = held === undefined ? end : [held, ...end];
  const isSkipped = tally.skipped.at(-1)?.name === path;
  if (all.length === 0 && !isSkipped) leavingOut(path, options, tally, () => textOfRow("", "text", path));
  yield* closed(all);
}

/** Pieces of which the last ends the document. */
function* closed(pieces: Iterable<string>): Generator<Stretch> {
  let held: string | undefined;
  for (const text of pieces) {
    if (held !== undefined) yield { text: held, ends: false };
    held = text;
  }
  if (held !== undefined) yield { text: held, ends: true };
}

function leavingOut<T>(name: string, { invalid }: TextOptions, tally: TextTally, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (invalid !== "skip") throw error;
    tally.skipped.push({ name, reason: (error as Error).message.split("\n")[0]! });
    return undefined;
  }
}
