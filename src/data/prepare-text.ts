// Text made ready for a language model: tokenizer, training and validation ids. The work runs in a worker thread; where a
// worker cannot be loaded (source files on a Node.js without TypeScript, some bundles) it runs here in short slices.
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { AthanorError, type ErrorFields } from "../base/index.ts";
import { parseTokenizer } from "./load-tokenizer.ts";
import type { TextInput, TextOptions, TextReport } from "./text-source.ts";
import type { WorkerMessage } from "./text-worker.ts";
import { MemoryTokens, openTokens, type TokenStore } from "./token-store.ts";
import {
  type SavedTokens,
  type TokenizeHooks,
  type TokenizeJob,
  type TokenizeResult,
  type TokenizerSpec,
  tokenizeText,
} from "./tokenize-text.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface TextDataOptions extends TextOptions {
  /** `"char"`, `"byte"`, `{ bpe: vocabularySize }`, `{ file: "tokenizer.json" }`, or a tokenizer. */
  readonly tokenizer: TokenizerSpec | Tokenizer;
  /** Share of the characters, from the end, held out for validation. Default 0.1. */
  readonly validation?: number;
  /** Where token files and trained tokenizers are kept for the next time; without it ids stay in memory. */
  readonly cacheFolder?: string;
  /** Most memory for ids when there is no `cacheFolder`, in bytes. Default 1 GiB. */
  readonly maxTokenBytes?: number;
  /** `inline` runs on this thread, in slices of about 10 ms. Default: a worker thread where possible. */
  readonly thread?: "worker" | "inline";
  readonly signal?: AbortSignal;
  readonly onProgress?: NonNullable<TokenizeHooks["progress"]>;
}

/** Text ready for training. Close the stores when done with them. */
export interface TextData {
  readonly tokenizer: Tokenizer;
  readonly train: TokenStore;
  readonly validation: TokenStore;
  /** What was read; `sha256` identifies the text. */
  readonly report: TextReport & { readonly trainCharacters: number; readonly cached: boolean };
}

/**
 * Tokenizes text, the first part for training and the rest for validation; the split is by characters, before
 * tokenizing, so that no token spans it, and BPE is trained on the first part alone. (Characters are collected from the
 * whole text, else validation could not be encoded.) Errors: those of `openText`, of the tokenizer, `data/split`.
 *
 * ```ts run
 * const { tokenizer, train } = await prepareText({ text: "to be or not to be" }, { tokenizer: { bpe: 260 } });
 * tokenizer.decode(await train.read(0, train.length)); // "to be or not to "
 * ```
 */
export async function prepareText(input: TextInput, options: TextDataOptions): Promise<TextData> {
  const {
    tokenizer,
    validation = 0.1,
    cacheFolder,
    maxTokenBytes = 2 ** 30,
    thread,
    signal,
    onProgress,
    ...rest
  } = options;
  const { invalid, separator, maxMemoryBytes, maxExpansion, maxFileBytes } = rest;
  const job: TokenizeJob = {
    input: "texts" in input ? { texts: await collect(input.texts, maxMemoryBytes) } : input,
    options: dropUndefined({ invalid, separator, maxMemoryBytes, maxExpansion, maxFileBytes }),
    tokenizer: typeof tokenizer === "object" && "encode" in tokenizer ? { content: tokenizer.toJSON() } : tokenizer,
    validation,
    maxTokenBytes,
    ...(cacheFolder === undefined ? {} : { cacheFolder }),
  };
  signal?.throwIfAborted();
  const inWorker = thread === "inline" ? undefined : await runInWorker(job, signal, onProgress);
  const result = inWorker ?? (await runInline(job, signal, onProgress));
  const loaded = parseTokenizer(result.tokenizer);
  const open = (saved: SavedTokens): Promise<TokenStore> | TokenStore =>
    "path" in saved ? openTokens(saved.path) : new MemoryTokens(saved.data, loaded.vocabSize, saved.fingerprint);
  const { report, trainCharacters, cached } = result;
  return {
    tokenizer: loaded,
    train: await open(result.train),
    validation: await open(result.validation),
    report: { ...report, trainCharacters, cached },
  };
}

/** All documents as an array: an iterable cannot be posted to a worker. `openText` says what is too much. */
async function collect(texts: Iterable<string> | AsyncIterable<string>, maxBytes = 2 ** 30): Promise<string[]> {
  const all: string[] = [];
  let bytes = 0;
  for await (const text of texts) {
    all.push(text);
    bytes += 2 * text.length;
    if (bytes > maxBytes) break;
  }
  return all;
}

function dropUndefined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}

/** Runs a job here, giving way to other work every few milliseconds. */
function runInline(job: TokenizeJob, signal?: AbortSignal, progress?: TokenizeHooks["progress"]) {
  let rested = performance.now();
  const pause = async () => {
    signal?.throwIfAborted();
    if (performance.now() - rested < 10) return;
    await setImmediate();
    rested = performance.now();
  };
  return tokenizeText(job, { pause, ...(progress ? { progress } : {}) });
}

/** The worker's result, or `undefined` when the worker could not be loaded. */
function runInWorker(
  job: TokenizeJob,
  signal?: AbortSignal,
  progress?: TokenizeHooks["progress"],
): Promise<TokenizeResult | undefined> {
  const fromSource = import.meta.url.endsWith(".ts");
  if (fromSource && !("typescript" in process.features && process.features.typescript))
    return Promise.resolve(undefined);
  const url = fromSource ? new URL("./text-worker.ts", import.meta.url) : new URL("./text-worker.js", import.meta.url);
  return new Promise((resolve, reject) => {
    const worker = new Worker(url, { workerData: job });
    let ready = false;
    const abort = () => finish(() => reject(signal?.reason));
    const finish = (settle: () => void) => {
      signal?.removeEventListener("abort", abort);
      void worker.terminate();
      settle();
    };
    signal?.addEventListener("abort", abort);
    worker.on("message", (message: WorkerMessage) => {
      if (message.kind === "ready") ready = true;
      else if (message.kind === "progress") progress?.(message.stage, message.characters, message.total);
      else if (message.kind === "done") finish(() => resolve(message.result));
      else finish(() => reject(restoreError(message.error)));
    });
    worker.on("error", (error) => finish(() => (ready ? reject(error) : resolve(undefined))));
    worker.on("exit", (code) => finish(() => reject(new Error(`the tokenizing worker ended early (code ${code})`))));
  });
}

/** An error that a worker told, as it was thrown there. */
export function restoreError(error: Record<string, string | undefined>): AthanorError {
  const { code = "internal/worker", what = "", ...fields } = error;
  return new AthanorError(code, what, dropUndefined(fields) as ErrorFields);
}
