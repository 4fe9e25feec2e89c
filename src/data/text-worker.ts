// The entry of the tokenizing worker thread. Only passes messages: the work is in tokenize-text.ts.
import { parentPort, workerData } from "node:worker_threads";
import { AthanorError } from "../base/index.ts";
import { type SavedTokens, type TokenizeJob, tokenizeText } from "./tokenize-text.ts";

/** What the worker posts. `ready` comes first: an error before it means that the worker could not be loaded. */
export type WorkerMessage =
  | { readonly kind: "ready" }
  | {
      readonly kind: "progress";
      readonly stage: "scan" | "train tokenizer" | "encode";
      characters: number;
      total?: number;
    }
  | { readonly kind: "done"; readonly result: Awaited<ReturnType<typeof tokenizeText>> }
  | { readonly kind: "failed"; readonly error: ReturnType<AthanorError["toJSON"]> };

const port = parentPort;
if (port !== null) {
  const post = (message: WorkerMessage, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);
  post({ kind: "ready" });
  let told = 0;
  const progress = (stage: "scan" | "train tokenizer" | "encode", characters: number, total: number | undefined) => {
    if (performance.now() - told < 100) return;
    told = performance.now();
    post({ kind: "progress", stage, characters, ...(total === undefined ? {} : { total }) });
  };
  tokenizeText(workerData as TokenizeJob, { progress }).then(
    (result) => post({ kind: "done", result }, [...buffers(result.train), ...buffers(result.validation)]),
    (error: unknown) => {
      if (!(error instanceof AthanorError)) throw error; // reaches the starter as the worker's error event
      post({ kind: "failed", error: error.toJSON() });
    },
  );
}

function buffers(saved: SavedTokens): ArrayBuffer[] {
  return "data" in saved ? [saved.data.buffer as ArrayBuffer] : [];
}
