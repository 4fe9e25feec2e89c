// Documents to token shards: scanned once, encoded by several threads, written in the order of the documents. Every shard is renamed into
// place and then named in the manifest, so that a killed run goes on with the next one; bytes depend on documents, tokenizer and settings alone.
import { createHash } from "node:crypto";
import { mkdir, open, readdir, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, resolve, sep } from "node:path";
import { fail } from "../base/index.ts";
import { byteTokenizer } from "./bpe-tokenizer.ts";
import { documentPieces, endNames, endToken, withEnd } from "./document-stream.ts";
import { openEncodePool } from "./encode-pool.ts";
import { listFiles, readRaw } from "./files.ts";
import { loadTokenizer, parseTokenizer } from "./load-tokenizer.ts";
import { OutputFile, partialEnding } from "./output-file.ts";
import type { TextOptions, TextTally } from "./text-source.ts";
import {
  checkShard,
  damagedShard,
  manifestName,
  readTokenManifest,
  requireTokenizer,
  type TokenManifest,
  tokenizerName,
} from "./token-folder.ts";
import { bytesPerToken } from "./token-store.ts";
import type { TokenizerSpec } from "./tokenize-text.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { openTrainer } from "./train-tokenizer.ts";
import { isTrained } from "./training-settings.ts";

export interface TokenizeOptions extends TextOptions {
  /** One that is trained here, or made of bytes, gets `<|endoftext|>`. */
  readonly tokenizer: TokenizerSpec | Tokenizer;
  /** Folder of the shards: a new one, an empty one, or one that an earlier call did not finish. */
  readonly output: string;
  /** Threads that encode. Default: one for each core. */
  readonly workers?: number | undefined;
  /** Most bytes of a shard. Default 64 MiB. */
  readonly shardBytes?: number;
  /** Column of rows. Default `text`. */
  readonly text?: string | undefined;
  /** Ends the work with its reason; the same call goes on with it. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: TokenizeProgress) => void;
}

export interface TokenizeProgress {
  readonly stage: "scan" | "encode";
  /** Characters read, of all there are where that is known. */
  readonly characters: number;
  readonly total?: number;
  /** Tokens in the folder's shards, finished or not. */
  readonly tokens: number;
  readonly shards: number;
}

type Source = TokenManifest["sources"][number];

/**
 * Tokenizes documents (text files, each of them one; rows of JSON) into a folder of shards. The same call goes on where a killed or failed
 * one was. Errors: `data/changed` for another source, `data/stale-tokens` for another tokenizer, `data/settings`, `data/shard`,
 * `data/output`, `data/end-token`, and those of reading.
 *
 * ```ts
 * const { shards } = await tokenizeDocuments("texts/*.jsonl.gz", { tokenizer: { bpe: 8192 }, output: "tokens" });
 * ```
 */
export async function tokenizeDocuments(
  input: string | readonly string[],
  options: TokenizeOptions,
): Promise<TokenManifest> {
  const { output, shardBytes = 2 ** 26, text = "text", invalid = "error", tokenizer: spec } = options;
  const files = await listFiles(input);
  const inside = files.find((file) => resolve(file).startsWith(resolve(output) + sep));
  if (inside !== undefined)
    refuseOutput(output, "a folder outside the documents", inside, "give another --output, or move the documents");
  await mkdir(output, { recursive: true }).catch(({ code }) =>
    refuseOutput(output, "a folder", code, "check the path"),
  );
  const settings = { tokenizer: nameOf(spec), text, invalid, shardBytes };
  const earlier = await readTokenManifest(output);
  if (earlier === undefined) await requireEmpty(output);
  const [tokenizer, manifest] =
    earlier === undefined ? await begin(files, settings, options) : await goOn(earlier, files, settings, options);
  return manifest.next === undefined ? manifest : await encodeRest(manifest, tokenizer, options);
}

/** What a manifest says of how the tokenizer was chosen. */
function nameOf(spec: TokenizerSpec | Tokenizer): unknown {
  if (spec === "char")
    return fail("data/end-token", "characters have no token that ends a document", {
      where: "tokenizer",
      expected: "byte, { bpe: 4096 }, or a tokenizer.json with such a token",
      got: "char",
      fix: "choose one of these",
    });
  return typeof spec === "object" && ("encode" in spec || "file" in spec || "content" in spec) ? "given" : spec;
}

async function begin(
  files: readonly string[],
  settings: TokenManifest["settings"],
  options: TokenizeOptions,
): Promise<[Tokenizer, TokenManifest]> {
  const { tokenizer: spec, output } = options;
  const given = await givenTokenizer(spec);
  if (given !== undefined) endToken(given); // before anything is read
  const trainer = isTrained(spec) ? await openTrainer(withEnd(spec)) : undefined;
  const tally: TextTally = { documents: 0, skipped: [], replaced: 0 };
  const sources: Source[] = [];
  let seen = 0;
  for (const path of files) {
    const file = await hashFile(path);
    let [documents, characters] = [0, 0];
    for await (const { texts, ends } of documentPieces(path, settings.text, options, tally)) {
      options.signal?.throwIfAborted();
      for (const one of texts) {
        trainer?.add(one);
        characters += one.length;
      }
      documents += texts.length - (ends ? 0 : 1);
      options.onProgress?.({ stage: "scan", characters: seen + characters, tokens: 0, shards: 0 });
    }
    seen += characters;
    sources.push({ path, ...file, documents, characters });
  }
  if (sources.every(({ documents }) => documents === 0))
    fail("data/empty", "there is no document to tokenize", {
      where: files.slice(0, 3).join(", "),
      expected: "at least one text",
      got: `${tally.skipped.length} left out`,
      fix: "check the paths, and what --invalid skip leaves out",
    });
  const tokenizer = given ?? (await trainer!.train());
  const end = endToken(tokenizer);
  const { vocabSize, hash } = tokenizer;
  const manifest: TokenManifest = {
    format: "athanor-tokens",
    version: 1,
    tokenizer: { sha256: hash, vocabSize, end },
    dtype: bytesPerToken(vocabSize) === 2 ? "u16" : "u32",
    settings,
    sources,
    skipped: tally.skipped,
    replaced: tally.replaced,
    shards: [],
    next: { source: 0, piece: 0 },
  };
  await OutputFile.write(join(output, tokenizerName), JSON.stringify(tokenizer, null, 1));
  await writeManifest(output, manifest);
  return [tokenizer, manifest];
}

/** An earlier call's folder, after a look at everything that must be as it was. */
async function goOn(
  manifest: TokenManifest,
  files: readonly string[],
  settings: TokenManifest["settings"],
  options: TokenizeOptions,
): Promise<[Tokenizer, TokenManifest]> {
  const { output, tokenizer: spec } = options;
  const keys = Object.keys(settings) as (keyof typeof settings)[];
  const others = keys.filter((key) => JSON.stringify(manifest.settings[key]) !== JSON.stringify(settings[key]));
  const told = (of: typeof settings) => others.map((key) => `${key}: ${shown(of[key])}`).join(", ");
  if (others.length > 0)
    fail("data/settings", "the folder was begun with other settings", {
      where: output,
      expected: told(manifest.settings),
      got: told(settings),
      fix: `give ${others.join(", ")} as before, or another --output`,
    });
  const tokenizer = await loadTokenizer(join(output, tokenizerName));
  for (const one of [tokenizer, await givenTokenizer(spec)])
    if (one !== undefined) requireTokenizer(output, manifest.tokenizer.sha256, one);
  const paths = manifest.sources.map(({ path }) => path);
  const other = files.find((path) => !paths.includes(path)) ?? paths.find((path) => !files.includes(path));
  if (other !== undefined) refuseChange(other, files.includes(other) ? "a file that was not there" : "no such file");
  for (const { path, bytes, sha256 } of manifest.sources) {
    options.signal?.throwIfAborted();
    const file = await hashFile(path);
    if (file.sha256 !== sha256) refuseChange(path, `${file.bytes} bytes, instead of ${bytes}, or others`);
  }
  for (const shard of manifest.shards) {
    options.signal?.throwIfAborted();
    const path = join(output, shard.file);
    const handle = await open(path, "r").catch(({ code }) => damagedShard(path, code));
    await checkShard(handle, path, shard).finally(() => handle.close());
  }
  return [tokenizer, manifest];
}

const shown = (setting: unknown): string =>
  setting === "given" ? "a tokenizer.json" : JSON.stringify(setting).replaceAll('"', "").replaceAll(/[:,]/g, "$& ");

async function encodeRest(
  begun: TokenManifest,
  tokenizer: Tokenizer,
  { output, signal, onProgress, workers = availableParallelism(), ...options }: TokenizeOptions,
): Promise<TokenManifest> {
  let manifest = begun;
  const {
    settings,
    sources,
    tokenizer: { end },
  } = manifest;
  const { source: firstSource, piece: firstPiece } = manifest.next!;
  const size = bytesPerToken(tokenizer.vocabSize);
  const tally: TextTally = { documents: 0, skipped: [], replaced: 0 };
  const total = sources.reduce((sum, { characters }) => sum + characters, 0);
  const pool = await openEncodePool(tokenizer, end, workers);
  let shard: OutputFile | undefined;
  let [tokens, documents] = [manifest.shards.reduce((sum, one) => sum + one.tokens, 0), 0];

  /** Ends the shard that is being written; the next begins with `next`. */
  const finish = async (next?: NonNullable<TokenManifest["next"]>) => {
    const file = fileOf(manifest.shards.length);
    const written = await shard!.finish();
    shard = undefined;
    const { next: _, ...rest } = manifest;
    const shards = [...manifest.shards, { file, ...written, tokens: written.bytes / size, documents }];
    manifest = next === undefined ? { ...rest, shards } : { ...rest, shards, next };
    documents = 0;
    await writeManifest(output, manifest);
  };
  const fileOf = (at: number) => `shard-${String(at).padStart(5, "0")}.bin`;

  /** What is being encoded, in the order in which it is written. */
  const waiting: {
    bytes: Promise<Uint8Array>;
    source: number;
    piece: number;
    documents: number;
    characters: number;
  }[] = [];
  const writeFirst = async () => {
    const { source, piece, ...first } = waiting.shift()!;
    const bytes = await first.bytes;
    signal?.throwIfAborted();
    if (shard !== undefined && shard.bytes + bytes.length > settings.shardBytes) await finish({ source, piece });
    shard ??= new OutputFile(join(output, fileOf(manifest.shards.length)));
    await shard.append(bytes);
    documents += first.documents;
    tokens += bytes.length / size;
    onProgress?.({ stage: "encode", characters: first.characters, total, tokens, shards: manifest.shards.length });
  };

  try {
    let characters = sources.slice(0, firstSource).reduce((sum, one) => sum + one.characters, 0);
    for (let source = firstSource; source < sources.length; source++) {
      const { path, bytes: fileBytes } = sources[source]!;
      const before = await stat(path).catch(({ code }) => refuseChange(path, code));
      let piece = 0;
      for await (const part of documentPieces(path, settings.text, { ...options, invalid: settings.invalid }, tally)) {
        for (const one of part.texts) characters += one.length;
        const isDone = source === firstSource && piece < firstPiece;
        if (!isDone) {
          if (waiting.length >= 2 * pool.workers) await writeFirst();
          const ended = part.texts.length - (part.ends ? 0 : 1);
          waiting.push({ bytes: pool.encode(part), source, piece, documents: ended, characters });
        }
        piece++;
      }
      const { size, mtimeMs } = await stat(path).catch(({ code }) => refuseChange(path, code));
      if (size !== fileBytes || mtimeMs !== before.mtimeMs) refuseChange(path, "it was written to");
    }
    while (waiting.length > 0) await writeFirst();
    await finish();
    return manifest;
  } finally {
    await pool.close();
    await shard?.abort();
  }
}

/** A tokenizer that is there before the documents are read; `undefined` for one that is trained. */
async function givenTokenizer(spec: TokenizerSpec | Tokenizer): Promise<Tokenizer | undefined> {
  if (spec === "byte") return byteTokenizer(endNames.slice(0, 1));
  if (typeof spec !== "object") return undefined;
  if ("encode" in spec) return spec;
  if ("file" in spec) return await loadTokenizer(spec.file);
  return "content" in spec ? parseTokenizer(spec.content) : undefined;
}

async function writeManifest(output: string, manifest: TokenManifest): Promise<void> {
  await OutputFile.write(join(output, manifestName), `${JSON.stringify(manifest, null, 1)}\n`);
}

/** What an unfinished call leaves before its manifest, and the lock of a command. */
const ours = new RegExp(`^(${tokenizerName}|\\.?run\\.lock.*|.*\\${partialEnding})$`);

async function requireEmpty(output: string): Promise<void> {
  const other = (await readdir(output)).find((name) => !ours.test(name));
  if (other !== undefined)
    refuseOutput(output, "a new or an empty folder, or tokens that are not finished", other, "give another --output");
}

function refuseOutput(where: string, expected: string, got: string, fix: string): never {
  return fail("data/output", "tokens cannot be written there", { where, expected, got, fix });
}

async function hashFile(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of readRaw(path)) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

function refuseChange(where: string, got: string): never {
  return fail("data/changed", "the documents are not those that were begun with", {
    where,
    expected: "the files that the manifest names, as they were",
    got,
    fix: "put them back, or tokenize into another folder",
  });
}
