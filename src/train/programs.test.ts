// The programs of a step: what an update looks at before it writes.
import { expect, test } from "vitest";
import { fromNumbers } from "../base/index.ts";
import type { Tensor } from "../core/index.ts";
import { Profiler, ReferenceEngine } from "../engine/index.ts";
import { addLoss, Linear } from "../nn/index.ts";
import { adamw, Optimizer, parseOptimizer, scaleByAdam, scaleByLearningRate } from "../optim/index.ts";
import { StepPrograms } from "./programs.ts";
import { regressionTask } from "./task.ts";

const rows = [0, 1, 2, 3];
const batch = {
  features: fromNumbers("f64", [4, 2], [...rows.map(Math.sin), ...rows.map(Math.cos)]),
  targets: fromNumbers("f64", [4], rows),
};

function line(optimizer: Optimizer) {
  const engine = new Profiler(new ReferenceEngine());
  const task = regressionTask({ features: { dtype: "f64", shape: [2] } }, { dtype: "f64", targetScale: 1 });
  const sizes = { batchSize: 4, lanes: 1, evalBatchSize: 4, dtype: "f64", seed: 1 } as const;
  const programs = new StepPrograms({ model: new Linear(2, 1), task, optimizer, ...sizes }, engine);
  programs.initialize();
  let made = 0;
  /** Whether it was committed, and how many programs it took. */
  const step = async (): Promise<[boolean, number]> => {
    engine.begin();
    const inputs = { step: made++, learningRate: 0.1, batch, sampleIds: Int32Array.from(rows) };
    const { committed } = await programs.step(inputs);
    return [committed, engine.end().length];
  };
  return { programs, step };
}

test("AdamW's slots are read before an update only where the store was written to since the last one", async () => {
  const { programs, step } = line(adamw());
  const { store } = programs;
  expect(await step()).toEqual([true, 3]);
  expect(await step()).toEqual([true, 2]);
  const good = store.read("adam.v.weight");
  store.write("adam.v.weight", fromNumbers("f64", good.shape, [1, Number.POSITIVE_INFINITY]));
  const state = () => programs.stateNames().map((name) => store.read(name));
  const spoilt = state();
  expect(await step()).toEqual([false, 3]);
  expect(await step()).toEqual([false, 2]);
  expect(state()).toEqual(spoilt);
  store.write("adam.v.weight", good);
  expect(await step()).toEqual([true, 3]);
  expect(await step()).toEqual([true, 2]);
});

test("a microbatch that is masked whole has no part in the measured noise", async () => {
  const noiseOf = async (targets: readonly number[], count: number) => {
    const task = regressionTask({ features: { dtype: "f64", shape: [2] } }, { dtype: "f64" });
    const sizes = { batchSize: count, microbatch: 2, lanes: 1, evalBatchSize: 4, dtype: "f64", seed: 1 } as const;
    const description = { model: new Linear(2, 1), task, optimizer: adamw(), measureNoise: true, ...sizes };
    const programs = new StepPrograms(description, new ReferenceEngine());
    programs.initialize();
    const given = {
      features: fromNumbers("f64", [count, 2], Array.from(batch.features.data as Float64Array).slice(0, 2 * count)),
      targets: fromNumbers("f64", [count], targets),
    };
    const ids = Int32Array.from(targets.keys());
    return (await programs.step({ step: 0, learningRate: 0.1, batch: given, sampleIds: ids })).noise;
  };
  const masked = await noiseOf([0, 1, Number.NaN, Number.NaN], 4);
  expect(masked!.small).toBeGreaterThan(0);
  expect(masked).toEqual(await noiseOf([0, 1], 2));
});

test("a setting that changes over a run needs the run's clock", async () => {
  const course = { linear: { from: 0, to: 0.5, end: 10, unit: "steps" } } as const;
  const { step } = line(parseOptimizer({ sgd: { momentum: course } }));
  await expect(step()).rejects.toMatchObject({ code: "run/clock", where: expect.stringContaining('"to":0.5') });
});

test("a chain that does not tell of its slots has them read before every update", async () => {
  const chain = [scaleByAdam({ beta1: 0.9, beta2: 0.99, eps: 1e-8 }), scaleByLearningRate()];
  const { programs, step } = line(new Optimizer({ chain }));
  expect(await step()).toEqual([true, 2]);
  const slot = programs.store.read("adam.m.bias");
  programs.store.write("adam.m.bias", fromNumbers("f64", slot.shape, [Number.NaN]));
  expect(await step()).toEqual([false, 2]);
});

test("what a model adds to its loss counts once in training, however many rows and microbatches, and its gradient with it", async () => {
  class Held extends Linear {
    override forward(x: Tensor): Tensor {
      addLoss(() => this.bias!.tensor.sum().add(3));
      return super.forward(x);
    }
  }
  const run = async (model: Linear) => {
    const task = regressionTask({ features: { dtype: "f64", shape: [2] } }, { dtype: "f64" });
    const sizes = { batchSize: 4, microbatch: 2, lanes: 1, evalBatchSize: 4, dtype: "f64", seed: 1 } as const;
    const optimizer = new Optimizer({ chain: [scaleByLearningRate()] });
    const programs = new StepPrograms({ model, task, optimizer, ...sizes }, new ReferenceEngine());
    programs.initialize();
    const inputs = { step: 0, learningRate: 0.1, batch, sampleIds: Int32Array.from(rows) };
    const { loss } = await programs.step(inputs);
    return { loss, bias: programs.store.read("bias").data[0] as number };
  };
  const [held, plain] = [await run(new Held(2, 1)), await run(new Linear(2, 1))];
  expect(held.loss - plain.loss).toBeCloseTo(3, 12); // biases begin at 0
  expect(held.bias - plain.bias).toBeCloseTo(-0.1, 12); // one step down a slope of 1
});
