// A system in a process of its own that answers lines: one when it is ready, then one for every request. Measures nothing itself.
import { spawn } from "node:child_process";
import { dirname } from "node:path";
import { createInterface } from "node:readline";

/** Of the checkout: errors are kept with the results, and its place on this machine is nobody's business. */
const root = dirname(dirname(import.meta.dirname));

/**
 * Starts `command` and awaits its first line, a JSON object. The process ends when it is told to, or with us.
 *
 * @param command program and arguments
 * @param options `env`: variables beside ours; `timeoutMs` for each answer
 * @returns `ready`, the first answer with `elapsedMs` since the start; `ask(request)`; `end()`
 */
export async function startLineProcess([program, ...args], { env = {}, timeoutMs = 600_000 } = {}) {
  const started = performance.now();
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
  const exited = new Promise((resolve) => {
    child.once("close", (code, signal) => resolve(`it ended with ${signal ?? `status ${code}`}`));
    child.once("error", (error) => resolve(error.message));
  });
  child.stdin.on("error", () => undefined); // its end is told by `exited`
  let complaints = "";
  child.stderr.setEncoding("utf8").on("data", (text) => {
    complaints = (complaints + text).slice(-4000);
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const end = async () => {
    child.stdin.end();
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await exited;
    clearTimeout(timer);
  };
  const read = async () => {
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    try {
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error(`${await exited}: ${lastWords(complaints).replaceAll(`${root}/`, "")}`);
        if (value.startsWith("{")) return JSON.parse(value); // libraries greet on stdout too
      }
    } finally {
      clearTimeout(timer);
    }
  };
  const ask = async (request) => {
    child.stdin.write(`${JSON.stringify(request)}\n`);
    return await read();
  };
  const ready = { ...(await read()), elapsedMs: performance.now() - started };
  return { ready, ask, end };
}

/** What a failed process said last, without the stack. */
export function lastWords(text) {
  const said = text.split("\n").filter((line) => /\S/.test(line) && !/^\s+at |^Node\.js v/.test(line));
  return (said.findLast((line) => /error|missing|not|no /i.test(line)) ?? said.at(-1) ?? "it said nothing").trim();
}
