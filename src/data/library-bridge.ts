// Runs the `tokenizers` library for files that are not ours, in a process of its own: a foreign pattern may run for hours,
// and the library aborts its whole process when a pattern's retry limit is passed. Calls look synchronous: a worker
// thread talks to the process while the caller waits, with a time limit after which the process is killed.
import { createRequire } from "node:module";
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { fail } from "../base/index.ts";

/** One call: a method of the child below, and its arguments. */
type Call =
  | { readonly method: "load"; readonly encoder: string; readonly decoder: string }
  | { readonly method: "encode"; readonly text: string }
  | { readonly method: "decode"; readonly ids: Int32Array };

interface Reply {
  readonly result?: unknown;
  readonly error?: string;
  readonly timedOut?: boolean;
}

// Plain JavaScript as text: it runs the same from source, from the built package and inside a bundle.
const childCode = `
const { Tokenizer } = require(process.argv[1]);
let encoder, decoder;
const methods = {
  load({ encoder: e, decoder: d }) {
    encoder = Tokenizer.fromString(e);
    decoder = Tokenizer.fromString(d);
    return Math.max(-1, ...chunks(Object.values(decoder.getVocab(true)))) + 1;
  },
  async encode({ text }) {
    const encoding = await encoder.encode(text, null, { addSpecialTokens: false });
    return Int32Array.from(encoding.getIds());
  },
  decode({ ids }) { return decoder.decode(Array.from(ids), false); },
};
function* chunks(values) {
  for (let i = 0; i < values.length; i += 10000) yield Math.max(...values.slice(i, i + 10000));
}
process.on("message", async (call) => {
  try { process.send({ result: await methods[call.method](call) }); }
  catch (error) { process.send({ error: String(error && error.message || error) }); }
});
process.on("disconnect", () => process.exit());
`;
const workerCode = `
const { spawn } = require("node:child_process");
const { workerData: { port, signal, library, childCode } } = require("node:worker_threads");
const flag = new Int32Array(signal);
let child, lastLoad;
function start() {
  child = spawn(process.execPath, ["--max-old-space-size=2048", "-e", childCode, library],
    { stdio: ["ignore", "ignore", "ignore", "ipc"], serialization: "advanced" });
  child.unref(); child.channel.unref();
}
function ask(call, timeoutMs) {
  return new Promise((resolve) => {
    const one = child;
    const finish = (reply) => { clearTimeout(timer); one.removeAllListeners(); one.on("error", () => {}); resolve(reply); };
    const timer = setTimeout(() => { one.kill("SIGKILL"); child = undefined; finish({ timedOut: true }); }, timeoutMs);
    one.once("message", finish);
    one.once("error", (error) => { child = undefined; finish({ error: String(error) }); });
    one.once("exit", (code, name) => { child = undefined; finish({ error: "the library crashed (" + (name || code) + ")" }); });
    one.send(call);
  });
}
port.on("message", async ({ call, timeoutMs, loadTimeoutMs }) => {
  let reply;
  if (!child) {
    start();
    if (lastLoad && call.method !== "load") reply = await ask(lastLoad, loadTimeoutMs);
  }
  if (call.method === "load") lastLoad = call;
  if (!reply || reply.error === undefined && !reply.timedOut) reply = await ask(call, timeoutMs);
  port.postMessage(reply);
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
});
`;

const loadTimeoutMs = 60_000;

/** With its worker the library's process ends: it goes when it is disconnected. */
const unused = new FinalizationRegistry<Worker>((worker) => void worker.terminate());

/** A tokenizer of the library, out of reach of its crashes. Its process ends when nothing holds the bridge any more. */
export class LibraryBridge {
  /** Ids run to `vocabSize - 1`. */
  readonly vocabSize: number;
  private readonly port: MessagePort;
  private readonly flag = new Int32Array(new SharedArrayBuffer(4));
  private readonly timeoutMs: number;

  /**
   * `encoder` and `decoder` are contents of a `tokenizer.json`. Errors: `tokenizer/file` when the library refuses them,
   * `tokenizer/timeout`.
   */
  constructor(encoder: string, decoder: string, timeoutMs = 30_000) {
    this.timeoutMs = timeoutMs;
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    const library = createRequire(import.meta.url).resolve("tokenizers");
    const worker = new Worker(workerCode, {
      eval: true,
      workerData: { port: port2, signal: this.flag.buffer, library, childCode },
      transferList: [port2],
      execArgv: [],
    });
    worker.unref();
    port1.unref();
    unused.register(this, worker);
    let size: unknown;
    try {
      size = this.call({ method: "load", encoder, decoder });
    } catch (error) {
      void worker.terminate(); // a file that is refused leaves no process behind
      throw error;
    }
    if (!Number.isInteger(size) || Number(size) < 1 || Number(size) > 2 ** 24) {
      fail("tokenizer/file", "the vocabulary's ids are out of range", {
        expected: "1 to 2^24 tokens",
        got: String(size),
      });
    }
    this.vocabSize = Number(size);
  }

  encode(text: string): Int32Array {
    return this.call({ method: "encode", text }) as Int32Array;
  }

  decode(ids: ArrayLike<number>): string {
    return this.call({ method: "decode", ids: Int32Array.from(ids) }) as string;
  }

  private call(call: Call): unknown {
    const { flag, port } = this;
    const timeoutMs = call.method === "load" ? loadTimeoutMs : this.timeoutMs;
    Atomics.store(flag, 0, 0);
    port.postMessage({ call, timeoutMs, loadTimeoutMs });
    // the worker answers in time; it may have to start the process again first
    Atomics.wait(flag, 0, 0, timeoutMs + 2 * loadTimeoutMs);
    const reply = (receiveMessageOnPort(port)?.message ?? { timedOut: true }) as Reply;
    if (reply.timedOut) {
      fail("tokenizer/timeout", "the tokenizer took too long", {
        expected: `at most ${timeoutMs} ms`,
        got:
          call.method === "encode" ? `${call.text.length} characters, still running` : `${call.method}, still running`,
        fix: "its pattern may take exponential time on this text; use another tokenizer",
      });
    }
    if (reply.error !== undefined) {
      const what = call.method === "load" ? "the tokenizer cannot be loaded" : `the tokenizer cannot ${call.method}`;
      fail(call.method === "load" ? "tokenizer/file" : "tokenizer/library", what, { got: reply.error.slice(0, 500) });
    }
    return reply.result;
  }
}
