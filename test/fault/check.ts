// What must hold in a run folder after any crash or error of a save, whoever looks at it next.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import {
  checkpointsFolder,
  findCheckpoints,
  latestGood,
  loadCheckpoint,
  saveCheckpoint,
  scanCheckpoints,
} from "../../src/checkpoint/index.ts";
import { difference, stateAt } from "./state.ts";

/**
 * The newest checkpoint is one of `steps`, whole, and nothing half-made stands under a checkpoint's name; at least
 * `atLeast` good ones are there; and a save works at once, after which no leftover is there.
 */
export async function expectSound(
  run: string,
  steps: readonly (number | undefined)[],
  options: { atLeast: number; rows: number; about: string },
) {
  const { atLeast, rows, about } = options;
  const { broken } = await scanCheckpoints(run);
  expect(broken, about).toEqual([]);
  const found = await latestGood(run);
  expect(steps, about).toContain(found?.step);
  const good = await findCheckpoints(run);
  expect(good.length, about).toBeGreaterThanOrEqual(atLeast);
  for (const { path } of good) expect(difference(await loadCheckpoint(path), rows), about).toBeUndefined();
  const next = (found?.step ?? 0) + 1;
  const saved = await saveCheckpoint(run, stateAt(next, rows), { keep: 2 });
  expect(saved.problems, about).toEqual([]);
  expect((await latestGood(run))?.step, about).toBe(next);
  const names = await readdir(checkpointsFolder(run));
  expect(
    names.filter((name) => name.startsWith(".")),
    about,
  ).toEqual([]);
  expect(
    (await readdir(join(run))).filter((name) => name.startsWith(".")),
    about,
  ).toEqual([]);
}
