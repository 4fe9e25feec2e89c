// The work of making token stores from text: scan, train a tokenizer, encode, write. Plain data in and out, so that it runs
// in a worker thread as well as in place. Three passes in bounded memory: the text itself is never held whole.
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AthanorError, fail, formatBytes } from "../base/index.ts";
import { byteTokenizer } from "./bpe-tokenizer.ts";
import { CharacterSet, CharTokenizer } from "./char-tokenizer.ts";
import { cutWords } from "./cut-words.ts";
import { loadTokenizer, parseTokenizer } from "./load-tokenizer.ts";
import {
  openText,
  scanText,
  type TextInput,
  type TextOptions,
  type TextReport,
  type TextSource,
} from "./text-source.ts";
import { bytesPerToken, MemoryTokens, openTokens, type TokenArray, TokenWriter } from "./token-store.ts";
import { saveTokenizer, type Tokenizer, type TokenizerFile } from "./tokenizer.ts";
import { openTrainer } from "./train-tokenizer.ts";
import type { TrainedTokenizerSpec } from "./training-settings.ts";

/** How text becomes ids: characters, bytes, a vocabulary trained on the training part, or a tokenizer that exists already. */
export type TokenizerSpec =
  | "char"
  | "byte"
  | TrainedTokenizerSpec
  | { readonly file: string }
  | { readonly content: TokenizerFile };

/** Plain data, so that it can be posted to a worker. */
export interface TokenizeJob {
  readonly input: TextInput;
  readonly options: TextOptions;
  readonly tokenizer: TokenizerSpec;
  /** Share of the characters, from the end, that is held out. */
  readonly validation: number;
  /** Where token files and trained tokenizers are kept. Without it ids stay in memory. */
  readonly cacheFolder?: string;
  readonly maxTokenBytes: number;
}

/** Ids of one part: in memory, or the token file that holds them. */
export type SavedTokens = { readonly data: TokenArray; readonly fingerprint: string } | { readonly path: string };

export interface TokenizeResult {
  readonly tokenizer: TokenizerFile;
  readonly report: TextReport;
  /** Unicode characters of the training part; the rest is validation. */
  readonly trainCharacters: number;
  readonly train: SavedTokens;
  readonly validation: SavedTokens;
  /** Whether the token files were there already. */
  readonly cached: boolean;
}

/** What the work tells while it runs. `pause` may wait, to leave the thread to others. */
export interface TokenizeHooks {
  pause?(): Promise<void> | void;
  progress?(stage: "scan" | "train tokenizer" | "encode", characters: number, total: number | undefined): void;
}

const parts = ["train", "validation"] as const;
type Part = (typeof parts)[number];

/** Runs a job. Errors: those of reading text and of tokenizers, `data/split`, `data/changed`, `data/too-large`. */
export async function tokenizeText(job: TokenizeJob, hooks: TokenizeHooks = {}): Promise<TokenizeResult> {
  const source = await openText(job.input, job.options);
  const characters = job.tokenizer === "char" ? new CharacterSet() : undefined;
  let scanned = 0;
  const report = await scanText(source, async (piece) => {
    characters?.add(piece);
    scanned += piece.length;
    hooks.progress?.("scan", scanned, undefined);
    await hooks.pause?.();
  });
  const trainCharacters = Math.floor(report.characters * (1 - job.validation));
  if (!(job.validation >= 0 && job.validation < 1) || trainCharacters < 1) {
    fail("data/split", "the split leaves nothing to learn from", {
      where: source.name,
      expected: "a validation share of at least 0 and below 1, and text for both parts",
      got: `${report.characters} characters, a validation share of ${job.validation}`,
    });
  }
  if (job.cacheFolder !== undefined)
    await mkdir(job.cacheFolder, { recursive: true }).catch((cause) => failWrite(job.cacheFolder!, cause));
  const text: SplitText = { source, trainCharacters, report, hooks };
  const tokenizer = characters ? new CharTokenizer(characters.toArray()) : await makeTokenizer(job, text);
  const { saved, cached } = await encodeParts(job, text, tokenizer);
  return { tokenizer: tokenizer.toJSON(), report, trainCharacters, ...saved, cached };
}

interface SplitText {
  readonly source: TextSource;
  readonly trainCharacters: number;
  readonly report: TextReport;
  readonly hooks: TokenizeHooks;
}

async function makeTokenizer(job: TokenizeJob, text: SplitText): Promise<Tokenizer> {
  const { tokenizer: spec } = job;
  if (spec === "char") return fail("internal/unreachable", "characters are collected while scanning");
  if (spec === "byte") return byteTokenizer();
  if ("file" in spec) return loadTokenizer(spec.file);
  if ("content" in spec) return parseTokenizer(spec.content);
  const key = keyOf("trained", text.report.sha256, text.trainCharacters, spec);
  const cachePath = job.cacheFolder && join(job.cacheFolder, `tokenizer-${key}.json`);
  const cached = cachePath && (await readCached(cachePath));
  if (cached) return cached;
  const trainer = await openTrainer(spec);
  for await (const piece of trainer.byLine ? trainingLines(text) : trainingPieces(text)) {
    trainer.add(piece);
    await text.hooks.pause?.();
  }
  const tokenizer = await trainer.train(text.hooks.pause);
  if (cachePath)
    await saveTokenizer({ hash: tokenizer.hash, tokenizer }, cachePath).catch(({ cause }) =>
      failWrite(cachePath, cause),
    );
  return tokenizer;
}

/** The training part in pieces that end where words end. */
async function* trainingPieces(text: SplitText): AsyncGenerator<string> {
  for await (const { part, words } of wordAligned(text, sliceLength)) {
    if (part !== "train") return;
    yield words;
  }
}

/** Its lines, each with its end. */
async function* trainingLines(text: SplitText): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of trainingPieces(text)) {
    const lines = (rest + piece).split(/(?<=\n)/);
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}

/** The trained tokenizer that a cache holds; one that is damaged is trained again. */
async function readCached(path: string): Promise<Tokenizer | undefined> {
  try {
    const { hash, tokenizer } = JSON.parse(await readFile(path, "utf8")) as { hash: string; tokenizer: TokenizerFile };
    const parsed = parseTokenizer(tokenizer);
    return parsed.hash === hash ? parsed : undefined;
  } catch {
    return undefined;
  }
}

async function encodeParts(job: TokenizeJob, text: SplitText, tokenizer: Tokenizer) {
  const { vocabSize, hash } = tokenizer;
  const info = { vocabSize, tokenizerHash: hash, textHash: text.report.sha256 };
  const key = keyOf("tokens", text.report.sha256, hash, text.trainCharacters);
  const pathOf = (part: Part) => job.cacheFolder && join(job.cacheFolder, `tokens-${key}.${part}.bin`);
  const files = { train: pathOf("train"), validation: pathOf("validation") };
  if (files.train && files.validation && (await bothValid([files.train, files.validation], info))) {
    return { saved: { train: { path: files.train }, validation: { path: files.validation } }, cached: true };
  }
  const sinkOf = (path: string | undefined) =>
    path ? new FileSink(path, info) : new MemorySink(vocabSize, job.maxTokenBytes);
  const sinks: Record<Part, TokenSink> = { train: sinkOf(files.train), validation: sinkOf(files.validation) };
  try {
    const length = tokenizer.kind === "foreign" ? foreignSliceLength : sliceLength;
    for await (const { part, words } of wordAligned(text, length)) {
      await sinks[part].append(tokenizer.encode(words));
      await text.hooks.pause?.();
    }
    return { saved: { train: await sinks.train.finish(), validation: await sinks.validation.finish() }, cached: false };
  } catch (error) {
    for (const part of parts) await sinks[part].abort();
    throw error;
  }
}

function keyOf(...values: unknown[]): string {
  return createHash("sha256")
    .update(JSON.stringify([1, ...values]))
    .digest("hex")
    .slice(0, 24);
}

async function bothValid(
  paths: readonly string[],
  info: { textHash: string; tokenizerHash: string },
): Promise<boolean> {
  for (const path of paths) {
    const store = await openTokens(path, info, 0).catch(() => undefined); // a damaged cache is made again
    if (store === undefined) return false;
    await store.close();
  }
  return true;
}

const sliceLength = 2 ** 16;
/** Foreign tokenizers may treat the beginning of a text in a way of their own: few cuts. */
const foreignSliceLength = 2 ** 20;

/**
 * The text again, split into its two parts and into pieces of about `length` that end where words end: encoding them
 * one by one is encoding the whole. A single word longer than 16 pieces is cut. Errors with `data/changed` when the text is
 * not the one that was scanned.
 */
async function* wordAligned(text: SplitText, length: number): AsyncGenerator<{ part: Part; words: string }> {
  const hash = createHash("sha256");
  let [rest, part, left, done] = ["", "train" as Part, text.trainCharacters, 0];
  for await (const piece of text.source.pieces()) {
    hash.update(piece, "utf8");
    done += piece.length;
    text.hooks.progress?.("encode", Math.min(done, text.report.characters), text.report.characters);
    let fresh = piece;
    if (part === "train") {
      const cut = indexOfCharacter(piece, left);
      if (cut.index >= 0) {
        yield* cutWords(rest + piece.slice(0, cut.index), length, (words) => ({ part: "train" as const, words }), true);
        [rest, part, fresh] = ["", "validation", piece.slice(cut.index)];
      }
      left -= cut.characters;
    }
    const current = part;
    rest = yield* cutWords(rest + fresh, length, (words) => ({ part: current, words }), false);
  }
  if (hash.digest("hex") !== text.report.sha256) {
    fail("data/changed", "the text changed while it was read", { where: text.source.name, fix: "start again" });
  }
  if (rest !== "") yield { part, words: rest };
}

/** Where the character number `target` begins, or -1 with the number of characters there are. */
function indexOfCharacter(text: string, target: number): { index: number; characters: number } {
  let characters = 0;
  for (let i = 0; i < text.length; i++) {
    if (characters === target) return { index: i, characters };
    if ((text.charCodeAt(i) & 0xfc00) === 0xd800) i++;
    characters++;
  }
  return { index: -1, characters };
}

interface TokenSink {
  append(ids: Int32Array): Promise<void>;
  finish(): Promise<SavedTokens>;
  abort(): Promise<void>;
}

class MemorySink implements TokenSink {
  private data: TokenArray;
  private length = 0;
  private readonly vocabSize: number;
  private readonly maxBytes: number;

  constructor(vocabSize: number, maxBytes: number) {
    this.vocabSize = vocabSize;
    this.data = bytesPerToken(vocabSize) === 2 ? new Uint16Array(2 ** 16) : new Uint32Array(2 ** 16);
    this.maxBytes = maxBytes;
  }

  async append(ids: Int32Array): Promise<void> {
    const length = this.length + ids.length;
    if (length * this.data.BYTES_PER_ELEMENT > this.maxBytes) {
      fail("data/too-large", "the tokens do not fit the memory given to them", {
        expected: `at most ${formatBytes(this.maxBytes)}`,
        fix: "set data.cache to a folder: token files are read in pieces",
      });
    }
    if (length > this.data.length) {
      const size = Math.max(length, 2 * this.data.length);
      const grown = this.data instanceof Uint16Array ? new Uint16Array(size) : new Uint32Array(size);
      grown.set(this.data);
      this.data = grown;
    }
    this.data.set(ids, this.length);
    this.length = length;
  }

  async finish(): Promise<SavedTokens> {
    const data = this.data.slice(0, this.length);
    return { data, fingerprint: new MemoryTokens(data, this.vocabSize).fingerprint };
  }

  async abort(): Promise<void> {}
}

class FileSink implements TokenSink {
  private readonly path: string;
  private readonly writer: TokenWriter;

  constructor(path: string, info: ConstructorParameters<typeof TokenWriter>[1]) {
    this.path = path;
    this.writer = new TokenWriter(path, info);
  }

  append(ids: Int32Array): Promise<void> {
    return this.writer.append(ids).catch((cause) => failWrite(this.path, cause));
  }

  async finish(): Promise<SavedTokens> {
    await this.writer.finish().catch((cause) => failWrite(this.path, cause));
    return { path: this.path };
  }

  abort(): Promise<void> {
    return this.writer.abort();
  }
}

function failWrite(path: string, cause: unknown): never {
  if (cause instanceof AthanorError) throw cause;
  fail("data/cache", "the cache of tokens cannot be written", {
    where: path,
    expected: "a folder that can be written, with room for the tokens",
    got: (cause as NodeJS.ErrnoException).code ?? String(cause),
    fix: "make room, or set data.cache to another folder",
    cause,
  });
}
