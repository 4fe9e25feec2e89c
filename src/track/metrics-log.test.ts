// The log of a run: what is written is read, a torn line costs only itself, a resume leaves each step once.
import { statSync } from "node:fs";
import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RandomStream } from "../base/index.ts";
import { type LoggedEvent, MetricsLog, metricsName, type RunEvent, readEvents, readMetrics } from "./index.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "athanor-track-"));
  path = join(folder, metricsName);
});
afterEach(async () => await rm(folder, { recursive: true }));

const step = (n: number, loss = 1 / (n + 1)): RunEvent => ({
  type: "step",
  step: n,
  loss,
  lr: 1e-3,
  gradNorm: 2.5,
  tokens: n * 768,
  tokensPerSecond: 1234.5,
});

async function write(events: readonly RunEvent[], keepThrough?: number): Promise<void> {
  const log = await MetricsLog.open(path, keepThrough === undefined ? {} : { keepThrough });
  for (const event of events) log.append(event);
  await log.close();
}

async function readAll(): Promise<LoggedEvent[]> {
  const events: LoggedEvent[] = [];
  for await (const event of readMetrics(folder)) events.push(event);
  return events;
}
const steps = async () => (await readEvents(folder, "step")).map((event) => event.step);
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test("every type of event comes back as it went in", async () => {
  const events: RunEvent[] = [
    { type: "start", step: 0, parameters: 124_439_808, peakBytes: 2 ** 33, flopsPerStep: 1e12, engine: "native avx2" },
    { ...step(1), metrics: { accuracy: 0.5 } } as RunEvent,
    step(2, Number.NaN),
    {
      type: "eval",
      step: 2,
      loss: Number.POSITIVE_INFINITY,
      perplexity: Number.NEGATIVE_INFINITY,
      metrics: { bits: Number.NaN },
    },
    { type: "checkpoint", step: 2, path: "checkpoints/step-2" },
    { type: "sample", step: 2, prompt: "NaN", text: 'one\u2028two\r\nthree "火" \0' },
    { type: "error", step: 2, code: "run/nan", message: "Infinity" },
    { type: "end", step: 2, loss: 0.1, evalLoss: 0.2, hash: "00" },
  ];
  await write(events);
  const read = await readAll();
  expect(read.map(({ seconds: _, ...event }) => event)).toEqual(events);
  expect(read.every(({ seconds }) => seconds >= 0)).toBe(true);
  for (const line of (await readFile(path, "utf8")).trimEnd().split("\n")) JSON.parse(line);
});

test("a run without a log has no events", async () => expect(await readAll()).toEqual([]));

test("a resume from step s cuts what came after, so that each step is there once", async () => {
  await write(range(1, 10).map((n) => step(n)));
  await write(
    range(8, 12).map((n) => step(n)),
    7,
  );
  expect(await steps()).toEqual(range(1, 12));
  await write([{ type: "start", step: 0, parameters: 1, peakBytes: 1, flopsPerStep: 1, engine: "e" }, step(1)], 0);
  expect(await steps()).toEqual([1]);
});

test("seconds go on over the pieces of a run and never run back", async () => {
  await write([step(1)]);
  const row = JSON.parse(await readFile(path, "utf8"));
  await writeFile(path, `${JSON.stringify({ ...row, seconds: 1000 })}\n`);
  await write([step(2)], 1);
  const [, second] = await readEvents(folder, "step");
  expect(second?.seconds).toBeGreaterThanOrEqual(1000);
});

test("cut anywhere, above all at the ends of lines, the log reads up to the last whole line and goes on from there", async () => {
  await write(range(1, 3).map((n) => step(n)));
  const whole = await readFile(path);
  const ends = [...whole.entries()].filter(([, byte]) => byte === 10).map(([i]) => i);
  const near = (cut: number) => cut % 17 === 0 || ends.some((end) => Math.abs(end - cut) <= 2);
  for (const cut of range(0, whole.length).filter(near)) {
    await writeFile(path, whole.subarray(0, cut));
    const complete = ends.filter((end) => end <= cut).length; // a line that lacks only its newline is whole
    expect(await steps()).toEqual(range(1, complete));
    await write(range(complete + 1, 4).map((n) => step(n)));
    expect(await steps(), `cut at ${cut}`).toEqual(range(1, 4));
    for (const line of (await readFile(path, "utf8")).trimEnd().split("\n")) JSON.parse(line); // no torn piece stays between
  }
});

test("a tail of zeros, as a power cut leaves it, and damaged lines in the middle cost only themselves", async () => {
  await write([step(1), step(2), step(3)]);
  const lines = (await readFile(path, "utf8")).split("\n");
  await writeFile(
    path,
    `${lines[0]}\n{"type":"step","st\0p":2\n[1]\n{"type":"later","step":2,"seconds":1}\n${lines[2]}\n${"\0".repeat(5000)}`,
  );
  const skipped: { number: number; torn: boolean }[] = [];
  for await (const _ of readMetrics(folder, { onSkipped: (line) => skipped.push(line) }));
  expect(skipped).toEqual([
    { number: 2, torn: false },
    { number: 3, torn: false },
    { number: 4, torn: false },
    { number: 6, torn: true },
  ]);
  await write([step(4)], 3);
  expect(await steps()).toEqual([1, 3, 4]);
});

test("lines longer than any chunk, and one longer than is held, do not disturb the others", async () => {
  const text = "é".repeat(400_000);
  await write([step(1), { type: "sample", step: 1, prompt: "", text }, step(2)]);
  await appendFile(path, `{"type":"sample","text":"${"x".repeat(17 * 1024 * 1024)}"}\n`);
  await write([step(3)]);
  expect(await steps()).toEqual([1, 2, 3]);
  expect((await readEvents(folder, "sample"))[0]?.text).toBe(text);
});

test("random bytes never make the reader fail", async () => {
  const random = new RandomStream(1, "lines");
  for (let round = 0; round < 50; round++) {
    const alphabet = '{}[]":,\n\\0\u0000type step1';
    await writeFile(
      path,
      Array.from({ length: 400 }, (_, i) => alphabet[random.below(alphabet.length, i, round)]).join(""),
    );
    await readAll();
  }
});

test("is written soon without being told, and at once on flush", async () => {
  const log = await MetricsLog.open(path);
  log.append(step(1));
  expect(statSync(path).size).toBe(0);
  for (let waited = 0; waited < 10_000 && (await stat(path)).size === 0; waited += 100) await sleep(100);
  expect(await steps()).toEqual([1]);
  log.append(step(2));
  await log.flush({ durable: true });
  expect(await steps()).toEqual([1, 2]);
  await log.close();
  log.append(step(3));
  await log.close();
  expect([await steps(), log.dropped]).toEqual([[1, 2], 1]);
});

test("a log that cannot be opened is an error before the run begins", async () => {
  await expect(MetricsLog.open(join(folder, "absent", metricsName))).rejects.toMatchObject({ code: "track/open" });
  await expect(MetricsLog.open(folder)).rejects.toMatchObject({ code: "track/open" });
  await expect(MetricsLog.open("/dev/full")).rejects.toMatchObject({ code: "track/open" });
});

test("lines that were never written are told at the end, those in memory and those dropped", async () => {
  const problems: string[] = [];
  let refuse = false;
  const log = await MetricsLog.open(path, {
    guard: async () => {
      if (refuse) throw new Error("another's");
    },
    onProblem: (problem) => problems.push(problem.what),
    maxHeldBytes: 1000,
  });
  log.append(step(1));
  await log.flush();
  refuse = true;
  for (const n of range(2, 20)) log.append(step(n));
  await log.close();
  expect(await steps()).toEqual([1]);
  expect(log.dropped).toBeGreaterThan(0);
  expect(problems).toEqual(["the run's log cannot be written; the run goes on", "19 lines of the run's log are lost"]);
});
