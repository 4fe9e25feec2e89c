// Every metric against scikit-learn and PyTorch (test/golden/metrics.py) to 1e-12, whatever the batches; and what is refused.
import { describe, expect, test } from "vitest";
import golden from "../../test/golden/metrics.json" with { type: "json" };
import { fromNumbers, type HostArray, RandomStream } from "../base/index.ts";
import * as answers from "./answers.ts";
import * as bleu from "./bleu.ts";
import * as bleuTokens from "./bleu-tokens.ts";
import * as chrf from "./chrf.ts";
import * as entities from "./entities.ts";
import * as all from "./index.ts";
import {
  accuracy,
  Bootstrap,
  bitsPerByte,
  Confusion,
  Curves,
  calibrationError,
  cohenKappa,
  fBeta,
  logLoss,
  MeanLoss,
  type Metric,
  meanAbsoluteError,
  meanSquaredError,
  perplexity,
  precision,
  rocArea,
  rootMeanSquaredError,
  rSquared,
  topKAccuracy,
} from "./index.ts";
import * as rouge from "./rouge.ts";

/** Their figures are in tests of their own. */
const scoresOfText = [answers, bleu, bleuTokens, chrf, entities, rouge];

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

interface Figure {
  readonly metric: string;
  readonly name: string;
  readonly args: readonly unknown[];
  readonly prediction: readonly number[] | readonly (readonly number[])[];
  readonly target: readonly number[];
  readonly weights?: readonly number[];
  readonly value: number | { readonly [part: string]: readonly number[] };
}
const makers: { readonly [name: string]: unknown } = all;
const figures = golden.figures as unknown as Figure[];

/** What a metric, curve or confusion shows, by the name it has in the figures. */
type Shown = { update: Metric["update"] } & { readonly [method: string]: unknown };
const partOf = (shown: Shown, part: string): ArrayLike<number> => {
  if (shown instanceof Curves) {
    const { thresholds, ...roc } = part.endsWith("Rate") ? shown.roc() : { thresholds: [] };
    return { ...roc, thresholds, ...(part.endsWith("Rate") ? {} : shown.precisionRecall()) }[part] as ArrayLike<number>;
  }
  const value = shown[part];
  return (typeof value === "function" ? value.call(shown) : value) as ArrayLike<number>;
};

describe("figures of scikit-learn, numpy and PyTorch", () => {
  const make = ({ metric, args }: Figure): Shown => {
    const maker = makers[metric];
    const isClass = /^[A-Z]/.test(metric);
    return isClass
      ? new (maker as new (...given: unknown[]) => Shown)(...args)
      : (maker as (...given: unknown[]) => Shown)(...args);
  };
  const isRegression = (metric: string) => /Error$|^rSquared$/.test(metric) && metric !== "calibrationError";
  test.each(figures.map((figure) => ({ ...figure, given: JSON.stringify(figure.args) })))(
    "$metric $given $name",
    (figure) => {
      const results = [figure.target.length, 1, 3, 7].map((size) => {
        const shown = make(figure);
        const rows = figure.target.map((target, at) => ({
          target,
          prediction: figure.prediction[at]!,
          weight: figure.weights?.[at],
        }));
        inBatches(rows, size, (batch) => {
          const predictions = batch.map(({ prediction }) => prediction);
          const targets = batch.map(({ target }) => target);
          shown.update(
            typeof predictions[0] === "number" ? column(predictions as number[]) : table(predictions as number[][]),
            isRegression(figure.metric) ? column(targets) : classIds(targets),
            figure.weights && column(batch.map(({ weight }) => weight!)),
          );
        });
        if (typeof figure.value === "number") return [(shown as unknown as Metric).value()];
        return Object.keys(figure.value).flatMap((part) => {
          const list = Array.from(partOf(shown, part));
          // the first threshold of a ROC curve is infinite, which JSON cannot say
          return part === "thresholds" && list.length > 0 && list[0] === Number.POSITIVE_INFINITY
            ? list.slice(1)
            : list;
        });
      });
      for (const part of results) expect(part).toEqual(results[0]);
      const wanted = typeof figure.value === "number" ? [figure.value] : Object.values(figure.value).flat();
      expect(results[0]!.length).toBe(wanted.length);
      wanted.forEach((value, at) => expectClose(results[0]![at]!, value));
    },
  );

  test("every metric has figures", () => {
    const elsewhere = ["MeanLoss", "Bootstrap", "averages", ...scoresOfText.flatMap((file) => Object.keys(file))];
    const metrics = Object.keys(all).filter((name) => !elsewhere.includes(name));
    expect(new Set(figures.map(({ metric }) => metric))).toEqual(new Set(metrics));
  });
});

describe("bootstrap", () => {
  const rows = Array.from({ length: 50 }, (_, i) => new RandomStream(3, "rows").normal(i));
  const feed = (metric: Bootstrap, size: number, weights?: readonly number[]) =>
    inBatches(
      rows.map((row, at) => ({ row, weight: weights?.[at] })),
      size,
      (batch) =>
        metric.update(
          column(batch.map(({ row }) => row)),
          column(batch.map(() => 0)),
          weights && column(batch.map(({ weight }) => weight!)),
        ),
    );

  test("an interval is the percentiles of draws by the counter generator, whatever the batches", () => {
    const stream = new RandomStream(7, "bootstrap");
    for (const weights of [undefined, rows.map((_, at) => 1 + (at % 3))]) {
      const means = Array.from({ length: 100 }, (_, draw) => {
        let [sum, count] = [0, 0];
        for (let i = 0; i < 50; i++) {
          const row = stream.below(50, i, 0, draw);
          sum += rows[row]! ** 2 * (weights?.[row] ?? 1);
          count += weights?.[row] ?? 1;
        }
        return sum / count;
      }).sort((a, b) => a - b);
      const intervals = [50, 1, 7].map((size) => {
        const metric = new Bootstrap(() => meanSquaredError(), { draws: 100, level: 0.9, seed: 7 });
        feed(metric, size, weights);
        return metric.interval();
      });
      for (const interval of intervals) expect(interval).toEqual(intervals[0]);
      // numpy.quantile(means, [0.05, 0.95]): positions 4.95 and 94.05
      expectClose(intervals[0]!.low, means[4]! * 0.05 + means[5]! * 0.95);
      expectClose(intervals[0]!.high, means[94]! * 0.95 + means[95]! * 0.05);
      expect(intervals[0]!.draws).toBe(100);
    }
  });

  test("it holds the true mean as often as it says", () => {
    const stream = new RandomStream(11, "coverage");
    const trials = 300;
    let held = 0;
    for (let trial = 0; trial < trials; trial++) {
      const metric = new Bootstrap(() => meanAbsoluteError(), { draws: 200, level: 0.9, seed: trial });
      const values = Array.from({ length: 60 }, (_, i) => stream.uniform(i, trial));
      metric.update(column(values), column(values.map(() => 0)));
      const { low, high } = metric.interval();
      if (low <= 0.5 && 0.5 <= high) held++;
    }
    expect(Math.abs(held / trials - 0.9)).toBeLessThan(3.5 * Math.sqrt((0.9 * 0.1) / trials)); // binomial
  });

  test("draws without a figure are left out; when most are, there is no interval", () => {
    const metric = new Bootstrap(() => rocArea(), { draws: 200 });
    metric.update(column([0.1, 0.2, 0.7, 0.9]), classIds([0, 0, 1, 0]));
    const { draws } = metric.interval();
    expect(draws).toBeGreaterThan(100);
    expect(draws).toBeLessThan(150); // 1 − 0.75⁴ of them hold the one positive row
    const rare = new Bootstrap(() => rSquared(), { draws: 50 });
    rare.update(column([0, 0]), column([0, 0]));
    expect(() => rare.interval()).toThrow("[metric/undefined]"); // half of the draws hold one row alone
    expect(() => new Bootstrap(() => rocArea(), { draws: 0 })).toThrow("[config/metric]");
    const one = new Bootstrap(() => accuracy());
    expect(() => one.interval()).toThrow("[metric/empty]");
  });
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
  const resultOf = (metric: Metric, ...batch: Parameters<Metric["update"]>) => {
    metric.update(...batch);
    return metric.value();
  };
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
    ["a weight below 0", "[metric/weights]", () => accuracy().update(scores, classIds([0]), column([-1]))],
    ["a weight of NaN", "[metric/weights]", () => meanSquaredError().update(column([1]), column([1]), column([0 / 0]))],
    ["weights of other rows", "[shape/metric]", () => accuracy().update(scores, classIds([0]), column([1, 1]))],
    ["only rows of weight 0", "[metric/empty]", () => resultOf(accuracy(), scores, classIds([0]), column([0]))],
    ["no rows of counts", "[metric/empty]", () => precision(2).value()],
    ["no rows of a curve", "[metric/empty]", () => rocArea().value()],
    ["no rows of a calibration", "[metric/empty]", () => calibrationError().value()],
    ["no bytes", "[metric/empty]", () => bitsPerByte([1, 1]).value()],
    ["bytes of too few tokens", "[metric/byte-lengths]", () => bitsPerByte([1]).update(scores, classIds([1]))],
    ["ROC of positive rows alone", "[metric/undefined]", () => resultOf(rocArea(), column([1, 2]), classIds([1, 1]))],
    [
      "ROC of three classes, one missing",
      "[metric/undefined]",
      () => resultOf(rocArea(), table([[1, 0, 0]]), classIds([0])),
    ],
    ["kappa of one class", "[metric/undefined]", () => resultOf(cohenKappa(2), classIds([1]), classIds([1]))],
    [
      "precision of a class that nothing is",
      "[metric/undefined]",
      () => resultOf(precision(2, { average: "binary", zeroDivision: "leaveOut" }), classIds([0]), classIds([0])),
    ],
    ["F of a negative beta", "[config/metric]", () => fBeta(2, { beta: -1 })],
    ["a positive class too many", "[config/metric]", () => precision(2, { average: "binary", positive: 2 })],
    ["no bins", "[config/metric]", () => calibrationError({ bins: 0 })],
    [
      "logits as confidences",
      "[metric/probabilities]",
      () => calibrationError().update(table([[2, -1]]), classIds([0])),
    ],
    ["a label that is no yes or no", "[data/label-range]", () => rocArea().update(column([1]), classIds([2]))],
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
