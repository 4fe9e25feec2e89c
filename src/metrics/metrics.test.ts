// Every metric against scikit-learn and PyTorch (test/golden/metrics.py) to 1e-12, whatever the batches; and what is refused.
import { describe, expect, test } from "vitest";
import golden from "../../test/golden/metrics.json" with { type: "json" };
import { fromNumbers, type HostArray } from "../base/index.ts";
import {
  accuracy,
  Confusion,
  logLoss,
  MeanLoss,
  type Metric,
  meanAbsoluteError,
  meanSquaredError,
  perplexity,
  rootMeanSquaredError,
  rSquared,
  topKAccuracy,
} from "./index.ts";

const classIds = (values: readonly number[]) => fromNumbers("i32", [values.length], values);
const column = (values: readonly number[]) => fromNumbers("f64", [values.length], values);
const table = (rows: readonly (readonly number[])[]) => fromNumbers("f64", [rows.length, rows[0]!.length], rows.flat());

/** Feeds rows to `update` in batches of `size`. */
function inBatches<T>(rows: readonly T[], size: number, update: (batch: readonly T[]) => void): void {
  for (let i = 0; i < rows.length; i += size) update(rows.slice(i, i + size));
}

/** The metric's value over rows in one batch; it must have the same bits for batches of 1, 3 and 7. */
function evaluate<P, T>(
  make: () => Metric,
  rows: readonly { prediction: P; target: T }[],
  prediction: (rows: readonly P[]) => HostArray,
  target: (rows: readonly T[]) => HostArray,
): number {
  const [whole, ...parts] = [rows.length, 1, 3, 7].map((size) => {
    const metric = make();
    inBatches(rows, size, (batch) =>
      metric.update(prediction(batch.map((row) => row.prediction)), target(batch.map((row) => row.target))),
    );
    return metric.value();
  });
  for (const part of parts) expect(part).toBe(whole);
  return whole!;
}

/** |actual - expected| at most 1e-12 of the larger of 1 and |expected|. */
function expectClose(actual: number, expected: number): void {
  expect(Math.abs(actual - expected), `${actual} against ${expected}`).toBeLessThanOrEqual(
    1e-12 * Math.max(1, Math.abs(expected)),
  );
}

const zip = <P, T>(predictions: readonly P[], targets: readonly T[]) =>
  predictions.map((prediction, i) => ({ prediction, target: targets[i]! }));

describe.each(golden.classification)("classification: $name", (expected) => {
  const rows = zip(expected.scores, expected.target);

  test("accuracy", () => {
    expectClose(evaluate(accuracy, rows, table, classIds), expected.accuracy);
  });

  test("top-k accuracy", () => {
    for (const [k, value] of Object.entries(expected.topK)) {
      expectClose(
        evaluate(() => topKAccuracy(Number(k)), rows, table, classIds),
        value,
      );
    }
    expect(evaluate(() => topKAccuracy(expected.classes), rows, table, classIds)).toBe(1);
  });

  test("confusion counts, from scores and from class ids", () => {
    const fromScores = new Confusion(expected.classes);
    inBatches(rows, 7, (b) => fromScores.update(table(b.map((r) => r.prediction)), classIds(b.map((r) => r.target))));
    const fromIds = new Confusion(expected.classes);
    fromIds.update(classIds(expected.predicted), classIds(expected.target));
    for (const confusion of [fromScores, fromIds]) {
      expect(Array.from(confusion.counts)).toEqual(expected.confusion.flat());
    }
  });
});

test.each(golden.logLoss)("log loss of probabilities: $name", ({ probabilities, target, logLoss: expected }) => {
  const make = () => logLoss({ from: "probabilities" });
  expectClose(evaluate(make, zip(probabilities, target), table, classIds), expected);
});

test.each(golden.logitLoss)("log loss and perplexity of logits: $name", (expected) => {
  const rows = zip(expected.logits, expected.target);
  const ignored = { ignoreIndex: -100 }; // PyTorch's default
  expectClose(
    evaluate(() => logLoss(ignored), rows, table, classIds),
    expected.logLoss,
  );
  expectClose(
    evaluate(() => perplexity(ignored), rows, table, classIds),
    expected.perplexity,
  );
});

test("logits of 1e4 give finite losses, and a class with logit -Infinity an infinite one", () => {
  const metric = logLoss();
  metric.update(table([[1e4, -1e4]]), classIds([1]));
  expect(metric.value()).toBe(2e4);
  metric.update(table([[0, Number.NEGATIVE_INFINITY]]), classIds([1]));
  expect(metric.value()).toBe(Number.POSITIVE_INFINITY);
});

test.each(golden.regression)("regression: $name", (expected) => {
  const rows = zip(expected.predicted, expected.target);
  expectClose(evaluate(meanAbsoluteError, rows, column, column), expected.mae);
  expectClose(evaluate(meanSquaredError, rows, column, column), expected.mse);
  expectClose(evaluate(rootMeanSquaredError, rows, column, column), expected.rmse);
  expectClose(evaluate(rSquared, rows, column, column), expected.r2);
});

describe("sums", () => {
  test("a million small errors after a large one are not lost", () => {
    const metric = meanAbsoluteError();
    metric.update(column([1e16]), column([0]));
    const small = new Float64Array(1_000_000).fill(0.25);
    metric.update(column(Array.from(small)), column(new Array<number>(1_000_000).fill(0)));
    expect(metric.value()).toBe((1e16 + 250_000) / 1_000_001);
  });

  test("nor are small ones before and between large ones", () => {
    const loss = new MeanLoss();
    for (const value of [1, 1e100, 1, -1e100]) loss.update(value, 1);
    expect(loss.value()).toBe(0.5);
  });

  test("a mean loss weighs batches by their samples", () => {
    const loss = new MeanLoss();
    loss.update(1, 3);
    loss.update(5, 1);
    loss.update(Number.NaN, 0);
    expect(loss.value()).toBe(2);
    expect(loss.count).toBe(4);
  });
});

test("scores and targets may have several leading dimensions and any dtype", () => {
  const scores = [0.1, 0.9, 0.8, 0.2, 0.3, 0.7, 0.6, 0.4];
  for (const dtype of ["f64", "f32", "bf16", "f16"] as const) {
    for (const idType of ["i32", "i64", "u8"] as const) {
      const metric = accuracy();
      metric.update(fromNumbers(dtype, [2, 2, 2], scores), fromNumbers(idType, [2, 2], [1, 0, 0, 0]));
      expect([metric.value(), metric.count]).toEqual([0.75, 4]);
    }
  }
});

test("of equal scores the first class wins, in accuracy, top-k and confusion alike", () => {
  const scores = table([[1, 1, 1]]);
  const share = (metric: Metric, target: number) => {
    metric.update(scores, classIds([target]));
    return metric.value();
  };
  expect([0, 1, 2].map((target) => share(accuracy(), target))).toEqual([1, 0, 0]);
  expect([0, 1, 2].map((target) => share(topKAccuracy(2), target))).toEqual([1, 1, 0]);
  const confusion = new Confusion(3);
  confusion.update(scores, classIds([2]));
  expect(Array.from(confusion.counts)).toEqual([0, 0, 0, 0, 0, 0, 1, 0, 0]);
});

test("ignored targets count nowhere", () => {
  const scores = table([
    [0.9, 0.1],
    [0.9, 0.1],
  ]);
  const metric = accuracy({ ignoreIndex: 7 });
  metric.update(scores, classIds([0, 7]));
  expect([metric.value(), metric.count]).toEqual([1, 1]);
  const confusion = new Confusion(2);
  confusion.update(classIds([0, 0]), classIds([-1, 0]));
  confusion.update(scores, classIds([-1, 1]));
  expect(Array.from(confusion.counts)).toEqual([1, 0, 1, 0]);
});

describe("refused", () => {
  const scores = table([[0.5, 0.5]]);
  test.each<[string, string, () => unknown]>([
    ["no rows", "[metric/empty]", () => accuracy().value()],
    ["no losses", "[metric/empty]", () => new MeanLoss().value()],
    [
      "all ignored",
      "[metric/empty]",
      () => {
        const metric = logLoss();
        metric.update(scores, classIds([-1]));
        metric.value();
      },
    ],
    [
      "R² of one row",
      "[metric/empty]",
      () => {
        const metric = rSquared();
        metric.update(column([1]), column([1]));
        metric.value();
      },
    ],
    ["a class too many", "[data/label-range]", () => accuracy().update(scores, classIds([2]))],
    ["a negative class", "[data/label-range]", () => accuracy().update(scores, classIds([-2]))],
    ["a fractional class", "[data/label-range]", () => accuracy().update(scores, column([0.5]))],
    ["a predicted class too many", "[data/label-range]", () => new Confusion(2).update(classIds([2]), classIds([0]))],
    ["scores of other rows", "[shape/metric]", () => accuracy().update(scores, classIds([0, 1]))],
    ["scores of other classes", "[shape/metric]", () => new Confusion(3).update(scores, classIds([0]))],
    ["(n, 1) against (n)", "[shape/metric]", () => meanSquaredError().update(table([[1], [2]]), column([1, 2]))],
    ["R² of two columns", "[shape/metric]", () => rSquared().update(scores, scores)],
    ["NaN scores", "[metric/not-finite]", () => accuracy().update(table([[0, Number.NaN]]), classIds([0]))],
    ["infinite logits", "[metric/not-finite]", () => logLoss().update(table([[0, 1 / 0]]), classIds([0]))],
    [
      "only impossible classes",
      "[metric/not-finite]",
      () => logLoss().update(table([[-1 / 0, -1 / 0]]), classIds([0])),
    ],
    ["NaN predictions", "[metric/not-finite]", () => meanSquaredError().update(column([Number.NaN]), column([0]))],
    ["infinite targets", "[metric/not-finite]", () => rSquared().update(column([0]), column([1 / 0]))],
    ["a NaN loss", "[metric/not-finite]", () => new MeanLoss().update(Number.NaN, 4)],
    ["top 0", "[config/metric]", () => topKAccuracy(0)],
    ["no classes", "[config/metric]", () => new Confusion(0)],
    [
      "logits as probabilities",
      "[metric/probabilities]",
      () => logLoss({ from: "probabilities" }).update(table([[2, -1]]), classIds([0])),
    ],
    [
      "no distribution",
      "[metric/probabilities]",
      () => logLoss({ from: "probabilities" }).update(table([[0.5, 0.4]]), classIds([0])),
    ],
  ])("%s", (_name, code, run) => {
    expect(run).toThrow(code);
  });
});
