// L-BFGS against torch.optim.LBFGS: the same iterates and as many gradients, on a network and a logistic regression; and its endings.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { fromNumbers, sizeOf, toNumbers } from "../base/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { crossEntropy, Linear, Mlp, type Module, weightPenalty } from "../nn/index.ts";
import { sgd } from "../optim/index.ts";
import { classificationTask, lbfgs, regressionTask, StepPrograms, type Task } from "./index.ts";

interface Point {
  readonly iterations: number;
  readonly evaluations: number;
  readonly loss: number;
  readonly x: readonly number[];
}
const golden: { [name: string]: { history: number; points: Point[]; start?: number[] } } = JSON.parse(
  readFileSync("test/golden/lbfgs.json", "utf8"),
).problems;
const { X, y, ...weights } = JSON.parse(readFileSync("test/golden/optimizers.json", "utf8")).problems.network;
const start = ["W1", "b1", "W2", "b2"].flatMap((name) => weights[name].flat());
const rows = { sampleIds: Int32Array.from({ length: 8 }, (_, row) => row) };
const features = fromNumbers("f64", [8, 3], X.flat());
const inputs = { features: { dtype: "f64", shape: [3] } } as const;

function programsOf(model: Module, task: Task, from: readonly number[], lanes = 1): StepPrograms {
  const programs = new StepPrograms(
    { model, task, optimizer: sgd(), batchSize: 8, lanes, evalBatchSize: 8, dtype: "f64", seed: 1 },
    new ReferenceEngine(),
  );
  let at = 0;
  for (const { name, shape } of programs.graphs.trainedTypes) {
    programs.store.write(name, fromNumbers("f64", shape, from.slice(at, at + sizeOf(shape))));
    at += sizeOf(shape);
  }
  return programs;
}
const parameters = (programs: StepPrograms) =>
  programs.graphs.trainedTypes.flatMap(({ name }) => [...toNumbers(programs.store.read(name))]);

const network = (lanes = 1) =>
  programsOf(new Mlp([3, 5, 1], { activation: "tanh" }), regressionTask(inputs, { dtype: "f64" }), start, lanes);
const batchOfNetwork = { ...rows, batch: { features, targets: fromNumbers("f64", [8], y.flat()) } };

test.each(golden.network!.points)("network: where PyTorch is after $iterations iterations", async (point) => {
  for (const lanes of [1, 2]) {
    const programs = network(lanes);
    const { iterations, history } = { ...golden.network!, ...point };
    const result = await lbfgs(programs, batchOfNetwork, { iterations, history });
    assertClose(parameters(programs), point.x, { absolute: 1e-9, what: "x" });
    expect(result).toMatchObject({ iterations, evaluations: point.evaluations, reason: "iterations" });
    assertClose([result.loss], [point.loss], { absolute: 1e-10, what: "loss" });
  }
});

test.each(golden.logistic!.points)(
  "logistic regression: where PyTorch is after $iterations iterations",
  async (point) => {
    const model = new Linear(3, 2);
    const plain = classificationTask(inputs, { loss: (x, t) => crossEntropy(x, t, { reduction: "none" }) });
    const task: Task = {
      ...plain,
      loss: (module, feeds) => {
        const { sum, count } = plain.loss(module, feeds);
        return { sum: sum.add(weightPenalty(module, { l2: 0.1 }).mul(count)), count };
      },
    };
    const { history, start: from } = golden.logistic!;
    const programs = programsOf(model, task, from!);
    const targets = fromNumbers(
      "i32",
      [8],
      y.map(([value]: [number]) => Number(value > 0)),
    );
    const result = await lbfgs(
      programs,
      { ...rows, batch: { features, targets } },
      { iterations: point.iterations, history },
    );
    assertClose(parameters(programs), point.x, { absolute: 1e-9, what: "x" });
    assertClose([result.loss], [point.loss], { absolute: 1e-10, what: "loss" });
  },
);

test("it ends where the gradient is small, and says so; data that is not finite is refused", async () => {
  const programs = network();
  const result = await lbfgs(programs, batchOfNetwork, { iterations: 1000, tolerance: 1e-3 });
  expect(result.reason).toBe("tolerance");
  const { gradients } = await programs.gradient({ ...batchOfNetwork, step: 0 });
  for (const gradient of gradients.values())
    for (const value of toNumbers(gradient)) expect(Math.abs(value)).toBeLessThanOrEqual(1e-3);
  expect(await lbfgs(programs, batchOfNetwork, { tolerance: 1e-3 })).toMatchObject({ iterations: 0, evaluations: 1 });
  const bad = fromNumbers("f64", [8, 3], [Number.NaN, ...X.flat().slice(1)]);
  await expect(lbfgs(network(), { ...rows, batch: { ...batchOfNetwork.batch, features: bad } })).rejects.toMatchObject({
    code: "train/non-finite",
  });
});
