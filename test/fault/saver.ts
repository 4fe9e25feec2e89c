// A process that saves, locks or logs, to be killed or lied to by the fault tests. Prints one JSON object a line.
//   saver save <run> <rows> <shardBytes> <keep> <step> <step> ...   saves in turn, goes on after a failure
//   saver lock <run>                                                takes the lock, tells so, stays
//   saver log <run> <from> <to>                                     appends step events, flushing each
//   saver open <file>                                               opens a safetensors file, tells its tensors
import { accessSync } from "node:fs";
import { AthanorError } from "../../src/base/index.ts";
import { latestGood, lockRun, SafetensorsFile, saveCheckpoint } from "../../src/checkpoint/index.ts";
import { MetricsLog } from "../../src/track/index.ts";
import { stateAt } from "./state.ts";

const [command, run, ...rest] = process.argv.slice(2);
const numbers = rest.map(Number);
if (command === "save") await save(run!, numbers);
else if (command === "lock") await lock(run!);
else if (command === "log") await log(run!, numbers[0]!, numbers[1]!);
else if (command === "open") await openFile(run!);

function say(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** A system call that shows in a trace where a save begins and ends. */
function mark(text: string): void {
  try {
    accessSync(`/mark/${text}`);
  } catch {}
}

function told(error: unknown): object {
  if (error instanceof AthanorError) return { code: error.code, got: error.got };
  return { code: "untyped", got: String(error) };
}

async function save(folder: string, [rows, shardBytes, keep, ...steps]: number[]): Promise<void> {
  for (const step of steps) {
    mark(`begin-${step}`);
    try {
      const { deleted, problems } = await saveCheckpoint(folder, stateAt(step, rows), {
        shardBytes: shardBytes!,
        keep: keep!,
      });
      say({ step, saved: true, deleted: deleted.length, problems: problems.map(told) });
    } catch (error) {
      say({ step, saved: false, ...told(error), latest: (await latestGood(folder))?.step });
    }
    mark(`end-${step}`);
  }
}

async function lock(folder: string): Promise<void> {
  try {
    const held = await lockRun(folder, { watchMs: 1000 });
    say({ locked: true });
    await new Promise((resolve) => process.stdin.once("data", resolve));
    await held.check();
    await held.release();
    say({ released: true });
  } catch (error) {
    say({ locked: false, ...told(error) });
  }
  process.exit(0);
}

async function log(file: string, from: number, to: number): Promise<void> {
  const problems: object[] = [];
  const metrics = await MetricsLog.open(file, { onProblem: (problem) => problems.push(told(problem)) });
  for (let step = from; step <= to; step++) {
    metrics.append({ type: "step", step, loss: 1 / step, lr: 1, gradNorm: 1, tokens: step, tokensPerSecond: 1 });
    await metrics.flush();
  }
  await metrics.close();
  say({ logged: true, problems, dropped: metrics.dropped });
}

async function openFile(path: string): Promise<void> {
  const file = await SafetensorsFile.open(path);
  say({ tensors: file.names.length });
  await file.close();
}
