// Worker threads that encode pieces of documents. Where a worker cannot be loaded (source files on a Node.js without TypeScript) the work
// is done here.
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { DocumentPiece } from "./document-stream.ts";
import { restoreError } from "./prepare-text.ts";
import type { ShardWorkerMessage } from "./shard-worker.ts";
import { bytesPerToken, toLittleEndian } from "./token-store.ts";
import { IdBuffer, type Tokenizer } from "./tokenizer.ts";

/** Ids of a piece as they lie in a shard. */
export function encodePiece(tokenizer: Tokenizer, end: number, { texts, ends }: DocumentPiece): Uint8Array {
  const ids = new IdBuffer();
  for (const [at, text] of texts.entries()) {
    const encoded = tokenizer.encode(text);
    ids.append(encoded, 0, encoded.length);
    if (ends || at < texts.length - 1) ids.push(end);
  }
  const all = ids.toArray();
  return toLittleEndian(bytesPerToken(tokenizer.vocabSize) === 2 ? Uint16Array.from(all) : Uint32Array.from(all));
}

export interface EncodePool {
  readonly workers: number;
  /** Bytes of a piece. Errors: those of the tokenizer. */
  encode(piece: DocumentPiece): Promise<Uint8Array>;
  close(): Promise<void>;
}

export async function openEncodePool(tokenizer: Tokenizer, end: number, workers: number): Promise<EncodePool> {
  const fromSource = import.meta.url.endsWith(".ts");
  const canLoad = !fromSource || ("typescript" in process.features && process.features.typescript);
  const url = new URL(`./shard-worker.${fromSource ? "ts" : "js"}`, import.meta.url);
  const content = tokenizer.toJSON();
  const all = Array.from({ length: canLoad ? workers : 0 }, () => new EncodeWorker(url, { content, end }));
  const close = async () => void (await Promise.all(all.map((worker) => worker.close())));
  const ready = await Promise.all(all.map((worker) => worker.ready));
  if (ready.length > 0 && ready.every((one) => one)) {
    let turn = 0;
    return { workers, encode: (piece) => all[turn++ % workers]!.encode(piece), close };
  }
  await close();
  return {
    workers: 1,
    async encode(piece) {
      await setImmediate();
      return encodePiece(tokenizer, end, piece);
    },
    async close() {},
  };
}

interface Waiting {
  resolve(bytes: Uint8Array): void;
  reject(error: unknown): void;
}

/** One thread; answers come in the order of what was asked. */
class EncodeWorker {
  /** Whether it could be loaded. */
  readonly ready: Promise<boolean>;
  private readonly worker: Worker;
  private readonly waiting: Waiting[] = [];
  private failure: unknown;

  constructor(url: URL, workerData: object) {
    this.worker = new Worker(url, { workerData });
    this.ready = new Promise((resolve) => {
      this.worker.on("message", (message: ShardWorkerMessage) => {
        if (message.kind === "ready") resolve(true);
        else if (message.kind === "encoded") this.waiting.shift()!.resolve(message.bytes);
        else this.waiting.shift()!.reject(restoreError(message.error));
      });
      this.worker.on("error", (error) => {
        resolve(false);
        this.fail(error);
      });
      this.worker.on("exit", (code) => {
        resolve(false);
        this.fail(new Error(`a tokenizing worker ended early (code ${code})`));
      });
    });
  }

  encode(piece: DocumentPiece): Promise<Uint8Array> {
    const encoded = new Promise<Uint8Array>((resolve, reject) => {
      if (this.failure !== undefined) return reject(this.failure);
      this.waiting.push({ resolve, reject });
      this.worker.postMessage(piece);
    });
    encoded.catch(() => {}); // told when its turn comes
    return encoded;
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }

  private fail(error: unknown): void {
    this.failure ??= error;
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }
}
