// Trains the tiny GPT on an engine as the Trainer would, through the programs of a step. Used by the tests of both engines.
import { type FloatDType, type HostArray, toNumbers } from "../../src/base/index.ts";
import type { Engine } from "../../src/engine/index.ts";
import { Gpt } from "../../src/models/index.ts";
import { adamw } from "../../src/optim/index.ts";
import { languageModelTask, StepPrograms } from "../../src/train/index.ts";
import { configOf, startOf, type TinyGptVariant, tinyGpt, tokensOf } from "./tiny-gpt.ts";

export interface TinyGptRun {
  readonly losses: number[];
  readonly globalNorms: number[];
  /** Per step, in the golden file's order of parameters. */
  readonly gradNorms: number[][];
  readonly parameters: ReadonlyMap<string, HostArray>;
  /** Loss of the first batch after the last step. */
  readonly lossAfter: number;
}

export async function trainTinyGpt(
  variant: TinyGptVariant,
  engine: Engine,
  options: { dtype: FloatDType; steps: number; lanes?: number },
): Promise<TinyGptRun> {
  const { dtype, steps, lanes = 1 } = options;
  const { batch, context } = tinyGpt.config;
  const { lr, beta1, beta2, eps, weightDecay, clipNorm } = tinyGpt.training;
  const programs = new StepPrograms(
    {
      model: new Gpt(configOf(variant)),
      task: languageModelTask(context),
      optimizer: adamw({ lr, betas: [beta1, beta2], eps, weightDecay, clip: clipNorm }),
      batchSize: batch,
      lanes,
      evalBatchSize: batch,
      dtype,
      seed: 1,
    },
    engine,
  );
  programs.initialize();
  for (const [name, value] of startOf(variant, dtype)) programs.store.write(name, value);
  const feeds = tinyGpt.batches.map(({ inputs, targets }) => ({
    tokens: tokensOf(inputs),
    targets: tokensOf(targets),
  }));
  const sampleIds = Int32Array.from({ length: batch }, (_, row) => row);
  const names = variant.parameters.map(({ name }) => name);
  const run = { losses: [] as number[], globalNorms: [] as number[], gradNorms: [] as number[][] };
  for (let step = 0; step < steps; step++) {
    const result = await programs.step({ step, learningRate: lr, batch: feeds[step]!, sampleIds });
    run.losses.push(result.loss);
    run.globalNorms.push(result.gradNorm);
    if (lanes === 1)
      run.gradNorms.push(names.map((name) => norm(programs.store.read(`grad.0.${name}`)) / result.count));
  }
  const { sum, count } = await programs.evaluate(feeds[0]!);
  const parameters = new Map(names.map((name) => [name, programs.store.read(name)]));
  return { ...run, parameters, lossAfter: sum! / count! };
}

/** Euclidean norm of all elements. */
export function norm(array: HostArray): number {
  return Math.sqrt(toNumbers(array).reduce((sum, x) => sum + x * x, 0));
}
