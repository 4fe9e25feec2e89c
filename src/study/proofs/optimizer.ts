// Optimizers along paths that PyTorch walked, step by step through the trainer's own programs.
import { fromNumbers, toNumbers } from "../../base/index.ts";
import { constant, type Tensor } from "../../core/index.ts";
import { ReferenceEngine } from "../../engine/index.ts";
import { Module, Parameter } from "../../nn/index.ts";
import { adam, Optimizer, scaleByAdam, scaleByLearningRate } from "../../optim/index.ts";
import { StepPrograms } from "../../train/index.ts";
import { atMost, type Figure, largestDifference, type Proof, within } from "../proof.ts";

/**
 * f(x) = x·A·x / 2 − b·x, and where torch.optim.Adam (PyTorch 2.13, f64, lr 0.02, betas 0.9 and 0.999, eps 1e-8) stands after
 * 1, 10, 50 and 100 steps. Problem and path are those of test/golden/optimizers.py, which optax confirms.
 */
const quadratic = {
  A: [
    [0.9610357126221061, 0.13835088722407818, -0.15388829726725817, 0.2353590913116932],
    [0.13835088722407818, 2.1401666393503547, 0.06733566708862782, 0.02588248997926712],
    [-0.15388829726725817, 0.06733566708862782, 1.0763491177931428, -0.7381654903292656],
    [0.2353590913116932, 0.02588248997926712, -0.7381654903292656, 0.8452444691210985],
  ],
  b: [0.46221923828125, -0.89190673828125, -0.453948974609375, 0.3516845703125],
  start: [1.35369873046875, -0.435546875, -1.39764404296875, 0.27099609375],
};
const lr = 0.02;
const path: ReadonlyMap<number, readonly number[]> = new Map([
  [1, [1.3336987306579042, -0.4555468716639999, -1.3776440431031505, 0.25099609391441985]],
  [10, [1.1557775075007737, -0.44225598861627125, -1.1997514406626277, 0.07347765558357604]],
  [50, [0.6035207644127607, -0.42863375265804204, -0.6586313336469968, -0.40275450940184737]],
  [100, [0.5244746336538978, -0.43018435378447806, -0.5511101156581185, -0.2577385589347114]],
]);

class Quadratic extends Module {
  readonly x = new Parameter([4], { init: "zeros" });

  forward(): Tensor {
    const x = this.x.tensor;
    const { A, b } = quadratic;
    const product = constant(fromNumbers("f64", [4, 4], A.flat()))
      .matmul(x.reshape(4, 1))
      .reshape(4);
    return x
      .mul(product)
      .sum()
      .mul(0.5)
      .sub(x.mul(constant(fromNumbers("f64", [4], b))).sum());
  }
}

/** Positions after each of `steps` steps. */
async function walk(optimizer: Optimizer, steps: number): Promise<number[][]> {
  const model = new Quadratic();
  const programs = new StepPrograms(
    {
      model,
      task: {
        name: "regression",
        itemsPerRow: 1,
        feeds: () => ({}),
        loss: () => ({ sum: model.forward(), count: constant(1, "f64") }),
      },
      optimizer,
      batchSize: 1,
      lanes: 1,
      evalBatchSize: 1,
      dtype: "f64",
      seed: 1,
    },
    new ReferenceEngine(),
  );
  programs.initialize();
  programs.store.write("x", fromNumbers("f64", [4], quadratic.start));
  const positions: number[][] = [];
  for (let step = 0; step < steps; step++) {
    await programs.step({ step, learningRate: lr, batch: {}, sampleIds: Int32Array.of(0) });
    positions.push(Array.from(toNumbers(programs.store.read("x"))));
  }
  return positions;
}

/** Sizes of the first step, per element. */
const firstSteps = ([first]: number[][]): number[] => first!.map((x, at) => Math.abs(x - quadratic.start[at]!));

async function adamPath(): Promise<Figure[]> {
  const positions = await walk(adam({ lr }), 100);
  const sizes = firstSteps(positions);
  // The same rule without its bias corrections: m and v begin at zero and stay too small.
  const numbers = { beta1: 0.9, beta2: 0.999, eps: 1e-8 };
  const uncorrected = { ...scaleByAdam(numbers), scalarsAt: () => ({ "adam.c1": 1, "adam.c2": 1 }) };
  const wrong = await walk(new Optimizer({ chain: [uncorrected, scaleByLearningRate()] }), 100);
  const wrongSizes = firstSteps(wrong);
  const wrongPath = largestDifference(wrong.at(-1)!, path.get(100)!);
  return [
    ...[...path].map(([step, expected]) =>
      atMost(
        `distance from PyTorch's path after ${step} steps`,
        largestDifference(positions[step - 1]!, expected),
        1e-10,
      ),
    ),
    within("smallest first step", Math.min(...sizes), lr, 1e-6),
    within("largest first step", Math.max(...sizes), lr, 1e-6),
    {
      name: "first step without bias correction: fails the check",
      value: wrongSizes[0]!,
      bound: `not ${lr} ± 1e-6`,
      ok: wrongSizes.every((size) => Math.abs(size - lr) > 1e-6),
    },
    {
      name: "path without bias correction: fails the check",
      value: wrongPath,
      bound: "> 1e-10",
      ok: wrongPath > 1e-10,
    },
  ];
}

export const optimizerProofs: readonly Proof[] = [
  {
    id: "opt.adam",
    doc: "Adam walks PyTorch's path, and its first step has the size of the learning rate",
    run: adamPath,
  },
];
