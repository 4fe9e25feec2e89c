// R11: NaN or infinity in the data, a parameter, or an optimizer slot stops the step before it touches a weight, and is named.
import { beforeEach, describe, expect, test } from "vitest";
import { AthanorError, fromNumbers, RandomStream, toBf16, toNumbers } from "../../src/base/index.ts";
import { stateHash } from "../../src/checkpoint/index.ts";
import { loadNativeEngine, ReferenceEngine } from "../../src/engine/index.ts";
import { Gpt, gptPresets, mlpFamily } from "../../src/models/index.ts";
import { adamw } from "../../src/optim/index.ts";
import {
  classificationTask,
  diagnose,
  languageModelTask,
  type StepInputs,
  StepPrograms,
} from "../../src/train/index.ts";
import { amount } from "../amount.ts";

const engine = loadNativeEngine().engine ?? new ReferenceEngine();
const stream = new RandomStream(5, "r11");
const badValues = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

const hashOf = (programs: StepPrograms) =>
  stateHash(programs.stateNames().map((name) => ({ name, ...programs.store.read(name) })));

describe.each([undefined, "bf16"] as const)("a language model, weights %s", (weights) => {
  let programs: StepPrograms;
  let inputs: StepInputs;
  beforeEach(() => {
    const context = 8;
    programs = new StepPrograms(
      {
        model: new Gpt({ ...gptPresets.nano, vocab: 11, context, layers: 2, heads: 2, width: 16 }),
        task: languageModelTask(context),
        optimizer: adamw({ lr: 1e-3, clip: 1 }),
        batchSize: 4,
        lanes: 2,
        evalBatchSize: 4,
        dtype: "f32",
        weights,
        seed: 1,
      },
      engine,
    );
    programs.initialize();
    const ids = () =>
      fromNumbers(
        "i32",
        [4, context],
        Array.from({ length: 4 * context }, (_, at) => at % 11),
      );
    inputs = {
      step: 0,
      learningRate: 1e-3,
      batch: { tokens: ids(), targets: ids() },
      sampleIds: Int32Array.of(0, 1, 2, 3),
    };
  });

  test("in a parameter or a slot", async () => {
    await programs.step(inputs);
    for (let round = 0; round < amount(20, 3); round++) {
      const names = programs.stateNames();
      const name = names[stream.below(names.length, round)]!;
      const before = programs.store.read(name);
      const spoiled = programs.store.read(name);
      const at = stream.below(spoiled.data.length, round, 1);
      const bad = badValues[round % 3]!;
      spoiled.data[at] = spoiled.dtype === "bf16" ? toBf16(bad) : bad;
      programs.store.write(name, spoiled);
      const hash = await hashOf(programs);
      const result = await programs.step(inputs);
      expect(result.committed, name).toBe(false);
      expect(await hashOf(programs)).toBe(hash);
      const error = await diagnose(programs, inputs);
      expect(error).toBeInstanceOf(AthanorError);
      expect(error.code).toBe("train/non-finite");
      expect(error.where).toContain(name);
      programs.store.write(name, before);
    }
  });

  test("an overflow inside the model is named by operation and layer", async () => {
    const name = "h.1.mlp.c_fc.weight";
    const huge = programs.store.read(name);
    programs.store.write(name, fromNumbers(huge.dtype, huge.shape, toNumbers(huge).fill(3e38)));
    const hash = await hashOf(programs);
    expect((await programs.step(inputs)).committed).toBe(false);
    expect(await hashOf(programs)).toBe(hash);
    expect((await diagnose(programs, inputs)).where).toMatch(/h\.1\.mlp/);
  });
});

test("in the data of a table: the feed, the row and the sample are named", async () => {
  const { module, inputs: types } = mlpFamily.build(
    { hidden: [8] },
    { task: "classification", features: 3, outputs: 2 },
  );
  const programs = new StepPrograms(
    {
      model: module,
      task: classificationTask(types),
      optimizer: adamw(),
      batchSize: 8,
      lanes: 1,
      evalBatchSize: 8,
      dtype: "f32",
      seed: 1,
    },
    engine,
  );
  programs.initialize();
  const hash = await hashOf(programs);
  for (let round = 0; round < amount(20, 3); round++) {
    const features = fromNumbers(
      "f32",
      [8, 3],
      Array.from({ length: 24 }, (_, at) => at / 10),
    );
    const at = stream.below(24, round, 2);
    features.data[at] = badValues[round % 3]!;
    const targets = fromNumbers("i32", [8], [0, 1, 0, 1, 0, 1, 0, 1]);
    const inputs = {
      step: round,
      learningRate: 0.1,
      batch: { features, targets },
      sampleIds: Int32Array.from({ length: 8 }, (_, row) => 100 + row),
    };
    expect((await programs.step(inputs)).committed).toBe(false);
    expect(await hashOf(programs)).toBe(hash);
    const row = Math.floor(at / 3);
    expect((await diagnose(programs, inputs)).where).toBe(
      `feed "features", row ${row} of the batch (sample ${100 + row})`,
    );
  }
});
