// The losses that a recipe names: each is its formula on the task's rows, in the target's own unit, and fits its kind of data.
import { describe, expect, test } from "vitest";
import { fromNumbers } from "../base/index.ts";
import type { Tensor } from "../core/index.ts";
import { evaluate } from "../engine/index.ts";
import { Module } from "../nn/index.ts";
import { prepare } from "./prepare.ts";
import { parseRecipe } from "./read.ts";
import type { RecipeInput } from "./schema.ts";

/** A model whose outputs are its inputs. */
class Echo extends Module {
  forward(x: Tensor): Tensor {
    return x;
  }
}

const numbers: RecipeInput = {
  data: { rows: Array.from({ length: 60 }, (_, at) => ({ x: at % 7, y: 50 + 8 * (at % 7) })), target: "y" },
  model: { mlp: {} },
  precision: "f64",
};
const classes: RecipeInput = {
  data: {
    rows: Array.from({ length: 60 }, (_, at) => ({ x: at, z: at % 5, w: at % 7, kind: ["a", "b", "c"][at % 3]! })),
    target: "kind",
  },
  model: { mlp: {} },
  precision: "f64",
};
const taskOf = async (recipe: RecipeInput, loss?: RecipeInput["loss"]) =>
  (await prepare(parseRecipe({ ...recipe, ...(loss === undefined ? {} : { loss }) }))).description.task;

describe("of numbers", () => {
  const formulas: [RecipeInput["loss"], (d: number, scale: number) => number][] = [
    [undefined, (d) => d ** 2],
    ["meanSquaredError", (d) => d ** 2],
    ["meanAbsoluteError", Math.abs],
    [{ huber: { delta: 5 } }, (d) => (Math.abs(d) <= 5 ? d ** 2 / 2 : 5 * (Math.abs(d) - 2.5))],
    [{ smoothL1: { beta: 5 } }, (d) => (Math.abs(d) < 5 ? d ** 2 / 10 : Math.abs(d) - 2.5)],
    ["logCosh", (d, scale) => Math.log(Math.cosh(d / scale))],
    [{ quantile: { q: 0.9 } }, (d) => Math.max(-0.9 * d, 0.1 * d)],
  ];
  test.each(formulas)("%o", async (loss, formula) => {
    const scale = (await taskOf(numbers)).units!.extra.absolute!;
    expect(scale).toBeGreaterThan(10);
    const task = await taskOf(numbers, loss);
    const [predictions, targets] = [
      [1, 0.2, -0.5, 2],
      [0.5, 0.25, 1, Number.NaN], // the last fills a batch up
    ];
    const { sum, count } = evaluate(
      (features, wanted) => {
        const { sum, count } = task.loss(new Echo(), { features: features!, targets: wanted! });
        return { sum, count };
      },
      { features: predictions.map((p) => [p]), targets },
    );
    expect(count.value).toBe(3);
    const wanted = [0, 1, 2].reduce(
      (total, at) => total + formula((predictions[at]! - targets[at]!) * scale, scale),
      0,
    );
    expect(sum.value * task.units!.loss).toBeCloseTo(wanted, 9);
  });
});

describe("of classes", () => {
  const logits = [
    [2, -1, 0.5],
    [0, 3, 1],
    [9, 9, 9],
  ];
  const ids = [0, 2, -1];
  const logSum = (row: readonly number[]) => Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
  const own = (row: readonly number[], id: number) => logSum(row) - row[id]!;
  const others = (row: readonly number[], id: number, cost: (violation: number) => number) =>
    row.reduce((sum, x, at) => sum + (at === id ? 0 : cost(Math.max(0, 1 - row[id]! + x)) / 3), 0);
  const smoothed = (row: readonly number[], id: number) =>
    0.7 * own(row, id) + (0.3 / 3) * row.reduce((sum, _, at) => sum + own(row, at), 0) + 0.01 * logSum(row) ** 2;
  type Row = (row: readonly number[], id: number) => number;
  const formulas: [RecipeInput["loss"], train: Row, evaluation: Row][] = [
    [undefined, own, own],
    ["crossEntropy", own, own],
    [{ crossEntropy: { labelSmoothing: 0.3, zLoss: 0.01 } }, smoothed, own],
    [{ crossEntropy: { weights: { a: 4, c: 0.5 } } }, (r, id) => [4, 1, 0.5][id]! * own(r, id), own],
    ["hinge", (r, id) => others(r, id, (v) => v), (r, id) => others(r, id, (v) => v)],
    ["squaredHinge", (r, id) => others(r, id, (v) => v * v), (r, id) => others(r, id, (v) => v * v)],
    ...[{ focal: { gamma: 3 } }].map((loss): [RecipeInput["loss"], Row, Row] => {
      const focal: Row = (r, id) => (1 - Math.exp(-own(r, id))) ** 3 * own(r, id);
      return [loss, focal, focal];
    }),
  ];
  test.each(formulas)("%o", async (loss, train, evaluation) => {
    const task = await taskOf(classes, loss);
    for (const [mode, formula] of [
      ["train", train],
      ["eval", evaluation],
    ] as const) {
      const { sum, count, correct } = evaluate(
        (features, targets) => {
          const { sum, count, extra } = task.loss(new Echo(), { features: features!, targets: targets! });
          return { sum, count, correct: extra!.correct! };
        },
        { features: logits, targets: fromNumbers("i32", [3], ids) },
        { mode },
      );
      expect([count.value, correct.value]).toEqual([2, 1]);
      expect(sum.value).toBeCloseTo(formula(logits[0]!, 0) + formula(logits[1]!, 2), 12);
    }
  });
});

test("balanced weights make every class count the same over the training rows", async () => {
  const rows = Array.from({ length: 80 }, (_, at) => ({ x: at, kind: at < 10 ? "rare" : at < 30 ? "some" : "many" }));
  const recipe: RecipeInput = {
    data: { rows, target: "kind", heldOut: 0.2 },
    model: { mlp: {} },
    batch: "all",
    precision: "f64",
  };
  const { source, description } = await prepare(
    parseRecipe({ ...recipe, loss: { crossEntropy: { weights: "balanced" } } }),
  );
  const { targets } = await source.next(description.batchSize);
  const ids = Array.from(targets!.data as Int32Array);
  const lossOf = (chosen: readonly number[]) =>
    evaluate(
      (features, wanted) => description.task.loss(new Echo(), { features: features!, targets: wanted! }).sum,
      { features: chosen.map(() => [0, 0, 0]), targets: fromNumbers("i32", [chosen.length], chosen) },
      { mode: "train" },
    ).value;
  const perClass = [0, 1, 2].map((id) => lossOf(ids.filter((one) => one === id)));
  for (const total of perClass) expect(total).toBeCloseTo((ids.length * Math.log(3)) / 3, 10);
});

test("a weight of a class that is not there is refused, with the one that was meant", async () => {
  await expect(taskOf(classes, { crossEntropy: { weights: { aa: 2, b: 1 } } })).rejects.toMatchObject({
    code: "config/loss",
    where: "loss.crossEntropy.weights",
    expected: "a, b, c",
    got: "aa",
  });
});

test.each([
  ["mse", "did you mean meanSquaredError?"],
  ["MAE", "did you mean meanAbsoluteError?"],
  ["huberr", "did you mean huber?"],
  ["nonsense", "expected one of crossEntropy, focal, hinge, squaredHinge, meanSquaredError, "],
])("a loss called %s: %s", (name, told) => {
  expect(() => parseRecipe({ ...numbers, loss: name as "huber" })).toThrow(told);
});

test("a loss of the other kind is refused, with those that fit", async () => {
  await expect(taskOf(classes, "huber")).rejects.toThrow(
    /config\/loss[\s\S]*loss\.huber[\s\S]*crossEntropy, focal, hinge, squaredHinge[\s\S]*got *huber[\s\S]*fix/,
  );
  await expect(taskOf(numbers, { focal: { gamma: 1 } })).rejects.toThrow(/config\/loss[\s\S]*meanSquaredError, mean/);
  expect(() => parseRecipe({ ...numbers, loss: "hubert" as "huber" })).toThrow("loss");
});
