// The entry of a worker thread that encodes pieces of documents, in the order they come. Only passes messages.
import { parentPort, workerData } from "node:worker_threads";
import { AthanorError } from "../base/index.ts";
import type { DocumentPiece } from "./document-stream.ts";
import { encodePiece } from "./encode-pool.ts";
import { parseTokenizer } from "./load-tokenizer.ts";
import type { TokenizerFile } from "./tokenizer.ts";

/** `ready` comes first: an error before it means that the worker could not be loaded. */
export type ShardWorkerMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "encoded"; readonly bytes: Uint8Array }
  | { readonly kind: "failed"; readonly error: ReturnType<AthanorError["toJSON"]> };

const port = parentPort;
if (port !== null) {
  const post = (message: ShardWorkerMessage, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);
  const { content, end } = workerData as { readonly content: TokenizerFile; readonly end: number };
  post({ kind: "ready" });
  const tokenizer = parseTokenizer(content);
  port.on("message", (piece: DocumentPiece) => {
    try {
      const bytes = encodePiece(tokenizer, end, piece);
      post({ kind: "encoded", bytes }, [bytes.buffer as ArrayBuffer]);
    } catch (error) {
      if (!(error instanceof AthanorError)) throw error; // reaches the starter as the worker's error event
      post({ kind: "failed", error: error.toJSON() });
    }
  });
}
