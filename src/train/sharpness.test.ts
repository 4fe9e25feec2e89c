// Sharpness-aware steps against the published formula in PyTorch, however a batch is cut; and a step that is refused.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { fromNumbers, toNumbers } from "../base/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { Mlp } from "../nn/index.ts";
import { parseOptimizer } from "../optim/index.ts";
import { regressionTask, StepPrograms } from "./index.ts";

interface Path {
  readonly config: object;
  readonly losses: readonly number[];
  readonly final: { readonly [name: string]: readonly number[] };
}
const paths: { [name: string]: Path } = JSON.parse(readFileSync("test/golden/sharpness.json", "utf8")).paths;
const { X, y, ...start } = JSON.parse(readFileSync("test/golden/optimizers.json", "utf8")).problems.network;
const names = { W1: "layers.0.weight", b1: "layers.0.bias", W2: "layers.1.weight", b2: "layers.1.bias" };

const f64 = (values: number[] | number[][], shape: readonly number[]) => fromNumbers("f64", shape, values.flat());
const batch = { features: f64(X, [8, 3]), targets: f64(y, [8]) };

function programsOf(config: object, lanes: number, microbatch: number): StepPrograms {
  const programs = new StepPrograms(
    {
      model: new Mlp([3, 5, 1], { activation: "tanh" }),
      task: regressionTask({ features: { dtype: "f64", shape: [3] } }, { dtype: "f64" }),
      optimizer: parseOptimizer(config),
      batchSize: 8,
      lanes,
      microbatch,
      evalBatchSize: 8,
      dtype: "f64",
      seed: 1,
    },
    new ReferenceEngine(),
  );
  for (const [name, own] of Object.entries(names))
    programs.store.write(own, f64(start[name], programs.store.typeOf(own).shape));
  return programs;
}

const inputs = (step: number, learningRate: number, feeds = batch) =>
  ({ step, learningRate, batch: feeds, sampleIds: Int32Array.from({ length: 8 }, (_, row) => row) }) as const;

for (const [name, { config, losses, final }] of Object.entries(paths)) {
  test.each([
    [1, 8],
    [2, 2],
  ])(`${name} follows the published formula for 100 steps, in %i lanes and microbatches of %i`, async (lanes, rows) => {
    const programs = programsOf(config, lanes, rows);
    const { lr } = Object.values(config)[0] as { lr: number };
    const seen: number[] = [];
    for (let step = 0; step < 100; step++) seen.push((await programs.step(inputs(step, lr))).loss);
    assertClose(seen, losses.slice(0, 100), { absolute: 1e-10, what: "losses" });
    for (const [key, own] of Object.entries(names))
      assertClose(toNumbers(programs.store.read(own)), final[key]!, { absolute: 1e-10, what: key });
    const { sum, count } = await programs.evaluate(batch); // where the parameters are
    assertClose([sum! / count!], [losses[100]!], { absolute: 1e-10, what: "loss at the end" });
  });
}

test("a step that is not finite leaves the parameters where they were, and the next one is made from there", async () => {
  const { config, losses } = paths.sam!;
  const programs = programsOf(config, 1, 8);
  const bad = { ...batch, features: f64(X, [8, 3]) };
  bad.features.data[4] = Number.NaN;
  expect((await programs.step(inputs(0, 0.05, bad))).committed).toBe(false);
  expect(Array.from(toNumbers(programs.store.read("layers.0.weight")))).toEqual(start.W1.flat());
  assertClose([(await programs.step(inputs(0, 0.05))).loss], [losses[0]!], { absolute: 1e-12, what: "loss" });
  assertClose([(await programs.step(inputs(1, 0.05))).loss], [losses[1]!], { absolute: 1e-12, what: "next loss" });
});
