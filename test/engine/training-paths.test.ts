// Three models trained for 50 steps on the native engine in f32: every loss is PyTorch's (test/golden/training-paths.json).
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type DType, fromNumbers, type HostArray, type Shape, sizeOf } from "../../src/base/index.ts";
import { modelFamily } from "../../src/models/index.ts";
import { clockOf, createBatchSizes, parseOptimizer } from "../../src/optim/index.ts";
import { classificationTask, languageModelTask, StepPrograms } from "../../src/train/index.ts";
import { assertClose } from "../support/close.ts";
import { nativeEngine } from "../support/run-native.ts";
import { type StatedStart, startOf } from "../support/tiny-gpt.ts";

interface Table {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: readonly number[];
}

interface TrainingPath extends StatedStart {
  readonly config: object;
  readonly optimizer: object;
  readonly batch: number;
  readonly data: { readonly [feed: string]: Table };
  readonly losses: readonly number[];
}

const golden = JSON.parse(readFileSync("test/golden/training-paths.json", "utf8")) as {
  readonly steps: number;
  readonly models: { readonly [family: string]: TrainingPath };
};

/** Rows `step · batch` to `(step + 1) · batch`, counted around the table. */
function rowsAt({ dtype, shape, data }: Table, step: number, batch: number): HostArray {
  const [rows, ...row] = shape as [number, ...number[]];
  const size = sizeOf(row);
  const values = Array.from({ length: batch }, (_, i) => {
    const at = (step * batch + i) % rows;
    return data.slice(at * size, (at + 1) * size);
  });
  return fromNumbers(dtype, [batch, ...row], values.flat());
}

async function lossesOf(family: string, path: TrainingPath, lanes: number): Promise<number[]> {
  const { batch, data } = path;
  const { name, tasks, build } = modelFamily(family);
  const { module: model, inputs } = build(path.config, { task: tasks[0]! });
  const optimizer = parseOptimizer(path.optimizer, { steps: golden.steps });
  const task = name === "gpt" ? languageModelTask(inputs.tokens!.shape[0]!) : classificationTask(inputs);
  const description = { model, task, optimizer, batchSize: batch, lanes, evalBatchSize: batch, seed: 1 };
  const programs = new StepPrograms({ ...description, dtype: "f32" }, nativeEngine(2)!);
  programs.initialize();
  for (const [parameter, value] of startOf(path, "f32")) programs.store.write(parameter, value);
  const sampleIds = Int32Array.from({ length: batch }, (_, row) => row);
  const onClock = clockOf(createBatchSizes(batch), { itemsPerRow: 1, samplesPerEpoch: batch });
  const losses: number[] = [];
  for (let step = 0; step < golden.steps; step++) {
    const feeds = Object.entries(data).map(([feed, table]) => [feed, rowsAt(table, step, batch)] as const);
    const learningRate = optimizer.learningRate.at(onClock(step));
    const { loss } = await programs.step({ step, learningRate, batch: Object.fromEntries(feeds), sampleIds });
    losses.push(loss);
  }
  return losses;
}

describe.skipIf(nativeEngine(1) === undefined).each(Object.entries(golden.models))("%s", (family, path) => {
  test.each([1, 2])("the losses of 50 steps are PyTorch's, in %i lanes", async (lanes) => {
    expect(path.losses).toHaveLength(50);
    assertClose(await lossesOf(family, path, lanes), path.losses, { relative: 1e-4, what: "losses" });
  });
});
