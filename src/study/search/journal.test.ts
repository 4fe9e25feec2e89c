// The journal on disk: what a kill may leave of it, and what is damage.
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Journal, type JournalHead } from "./journal.ts";
import { planSchema } from "./plan.ts";
import type { TrialEvent } from "./trials.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "athanor-journal-"));
  path = join(folder, "journal.ndjson");
});
afterEach(() => rm(folder, { recursive: true }));

const head: JournalHead = {
  at: "2026-01-01T00:00:00.000Z",
  plan: planSchema.parse({ recipe: "/r.yaml", over: { "batch.size": [8, 16] } }),
  cwd: "/",
  first: { steps: 9 },
};
const events: TrialEvent[] = [
  { event: "start", trial: 0, until: 3, point: { "batch.size": 8 } },
  { event: "report", trial: 0, step: 3, value: 0.1 + 0.2, seconds: 1.5 },
  { event: "start", trial: 1, until: 9, point: { "batch.size": 16 }, parent: { trial: 0, step: 3 }, replaces: 0 },
  { event: "fail", trial: 1, code: "train/non-finite", message: "a NaN" },
];

async function written(): Promise<void> {
  const journal = await Journal.create(path, head);
  for (const event of events) await journal.append(event);
  await journal.close();
}

test("what was written is read back, and written on", async () => {
  await written();
  const again = await Journal.open(path);
  expect([again.head, again.events]).toMatchObject([head, events]);
  await again.append(events[0]!);
  await again.close();
  const after = await Journal.open(path);
  expect(after.events).toEqual([...events, events[0]]);
  await after.close();
});

test("cut off at any byte it has the events whose lines are whole, and goes on behind them", async () => {
  await written();
  const bytes = await readFile(path);
  const headBytes = bytes.indexOf(10) + 1;
  for (let length = headBytes; length <= bytes.length; length += 7) {
    await writeFile(path, bytes.subarray(0, length));
    const whole = bytes.subarray(headBytes, length).filter((byte) => byte === 10).length;
    const journal = await Journal.open(path);
    expect(journal.events).toEqual(events.slice(0, whole));
    await journal.append(events[whole] ?? events[0]!);
    await journal.close();
    const after = await Journal.open(path);
    expect(after.events).toEqual([...events.slice(0, whole), events[whole] ?? events[0]!]);
    await after.close();
  }
});

test.each([
  ["a line that is no JSON", '{"event":\n', 6],
  ["an event of another version", '{"event":"prune","trial":0}\n', 6],
  ["a value that is none", '{"event":"report","trial":0,"step":3,"value":"NaN","seconds":1}\n', 6],
])("%s is refused with its line", async (_, line, at) => {
  await written();
  await appendFile(path, line);
  await expect(Journal.open(path)).rejects.toMatchObject({
    code: "search/journal",
    where: `${path}:${at}`,
    got: line.trim(),
    fix: expect.stringContaining("restore it"),
  });
});

test("what is no journal is refused", async () => {
  await expect(Journal.open(path)).rejects.toMatchObject({ code: "search/missing", where: path });
  await writeFile(path, "");
  await expect(Journal.open(path)).rejects.toMatchObject({
    code: "search/journal",
    where: `${path}:1`,
    got: "nothing",
  });
  await writeFile(path, JSON.stringify({ event: "search", version: 2, ...head }).concat("\n"));
  await expect(Journal.open(path)).rejects.toMatchObject({ code: "search/journal", where: `${path}:1` });
});
