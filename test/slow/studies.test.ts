// Every study of recipes/studies, and that it teaches what its page says: by intervals over seeds.
import { expect, test } from "vitest";
import { differenceOf, rowOf, runStudy } from "../support/studies.ts";

test.each([
  ["gradient-descent", ["20 rows", "1 row"]],
  ["momentum", ["momentum 0.9", "Nesterov 0.9"]],
  ["schedules", ["steps, ÷ 10 twice", "cosine", "warm-up and line"]],
  ["regularizers", ["l2 of 0.03", "dropout of 0.4", "a small net", "a tenth of the updates", "ten times the rows"]],
  ["initializations", ["ReLU, Glorot", "ReLU, normal of 0.01", "tanh, He"]], // accuracy: less than with He's
])("%s: each of these is below the first, beyond its interval", async (name, below) => {
  const { rows } = await runStudy(name);
  for (const variant of below) expect(differenceOf(rows, variant).high, variant).toBeLessThan(0);
});

test("regularizers: nothing is won on the rows of the training", async () => {
  const { rows } = await runStudy("regularizers");
  const own = (name: string) => rowOf(rows, name).means["log loss on its rows"]!.mean;
  for (const { name } of rows.slice(1)) expect(own(name), name).toBeGreaterThan(own("none"));
});

test("batch-sizes: up to 64 rows nothing is lost, with all of them there are too few updates", async () => {
  const { rows } = await runStudy("batch-sizes");
  for (const variant of ["8 rows", "64 rows"]) expect(differenceOf(rows, variant).high, variant).toBeLessThan(0.03);
  expect(differenceOf(rows, "all rows").low).toBeGreaterThan(0);
});

test("losses: answers are alike, probabilities of the focal and the squared hinge loss are not", async () => {
  const { rows } = await runStudy("losses");
  const accuracy = (name: string) => rowOf(rows, name).means.accuracy!.mean;
  for (const { name } of rows) expect(Math.abs(accuracy(name) - accuracy("cross-entropy")), name).toBeLessThan(0.02);
  for (const variant of ["focal", "squared hinge"]) expect(differenceOf(rows, variant).low, variant).toBeGreaterThan(0);
});
