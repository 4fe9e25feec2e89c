// Documents made ready for a language model that keeps them apart: files or rows of text, each ended by a token, cut where they are longer
// than the context. In memory: a text that is one stream is read by prepareText.
import { createHash } from "node:crypto";
import { byteTokenizer } from "./bpe-tokenizer.ts";
import type { TokenSequence } from "./chat-format.ts";
import { endNames, endToken, holdsRows, textOfRow, withEnd } from "./document-stream.ts";
import { listFiles } from "./files.ts";
import { type JsonInput, readJsonRecords } from "./json-records.ts";
import { splitRows } from "./split.ts";
import { makeTokenizer } from "./text-classification.ts";
import { readText, type TextOptions } from "./text-source.ts";
import { TokenSequences } from "./token-sequences.ts";
import type { TokenizerSpec } from "./tokenize-text.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { isTrained } from "./training-settings.ts";

export interface DocumentOptions extends TextOptions {
  /** One that is trained here, or made of bytes, gets `<|endoftext|>`. */
  readonly tokenizer: TokenizerSpec | Tokenizer;
  /** Positions of a row. A document that has more is cut into pieces, in which each token but the first is predicted once. */
  readonly context: number;
  /** Column of rows. Default `text`. */
  readonly text?: string | undefined;
  /** Share of the documents that is held out. Default 0.1. */
  readonly validation?: number;
  readonly seed?: number;
}

export interface DocumentData {
  readonly tokenizer: Tokenizer;
  readonly train: TokenSequences;
  readonly validation: TokenSequences;
  readonly documents: number;
  readonly sha256: string;
}

/**
 * Reads documents (text files, each of them one; rows of JSON) and encodes them. Errors: `data/end-token`, `data/empty-text`, `data/split`,
 * and those of reading.
 */
export async function prepareDocuments(input: JsonInput, options: DocumentOptions): Promise<DocumentData> {
  const { validation = 0.1, seed = 0, context } = options;
  const texts = await readDocuments(input, options);
  const split = splitRows(texts.length, { validation, seed });
  const tokenizer = await documentTokenizer(options.tokenizer, () => split.train.map((at) => texts[at]!));
  const end = endToken(tokenizer);
  const part = (positions: readonly number[]) =>
    new TokenSequences(
      positions.flatMap((at) => piecesOf(Int32Array.from([...tokenizer.encode(texts[at]!), end]), context)),
    );
  const hash = createHash("sha256");
  for (const text of texts) hash.update(JSON.stringify(text));
  return {
    tokenizer,
    train: part(split.train),
    validation: part(split.validation),
    documents: texts.length,
    sha256: hash.digest("hex"),
  };
}

async function readDocuments(input: JsonInput, options: DocumentOptions): Promise<string[]> {
  const { text = "text" } = options;
  const ofRows = async (rows: JsonInput) => {
    const { records, places } = await readJsonRecords(rows, options);
    return records.map((row, at) => textOfRow(row, text, places[at]!));
  };
  if ("records" in input) return await ofRows(input);
  const all: string[] = [];
  for (const path of await listFiles(input.path)) {
    if (holdsRows(path)) all.push(...(await ofRows({ path })));
    else all.push((await readText({ path }, options)).text);
  }
  return all;
}

/** Stretches of up to `context` + 1 tokens; each begins with the last token of the one before. */
function piecesOf(ids: Int32Array, context: number): TokenSequence[] {
  const pieces: TokenSequence[] = [];
  for (let start = 0; start < ids.length - 1; start += context) {
    const piece = ids.subarray(start, start + context + 1);
    pieces.push({ ids: piece, trained: new Uint8Array(piece.length).fill(1) });
  }
  return pieces;
}

async function documentTokenizer(spec: TokenizerSpec | Tokenizer, texts: () => string[]): Promise<Tokenizer> {
  if (spec === "byte") return byteTokenizer(endNames.slice(0, 1));
  return await makeTokenizer(isTrained(spec) ? withEnd(spec) : spec, texts(), isTrained(spec) ? [] : texts());
}
