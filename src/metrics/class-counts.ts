// Figures made of a confusion matrix: precision, recall, F-beta, balanced accuracy, Matthews' correlation, Cohen's kappa.
// Predictions are class ids or scores, as Confusion takes them.
import { fail } from "../base/index.ts";
import { Confusion } from "./confusion.ts";
import { failEmpty, failUndefined, type Metric, type MetricBatch, type TargetOptions } from "./metric.ts";

export const averages = ["binary", "micro", "macro", "weighted"] as const;

export interface AverageOptions extends TargetOptions {
  /**
   * How classes become one figure: that of the class `positive` alone (`binary`), of all counts in one (`micro`), the plain mean
   * (`macro`, default), or the mean by how often a class is the target (`weighted`).
   */
  readonly average?: (typeof averages)[number];
  /** The class that `binary` asks for; default 1. */
  readonly positive?: number;
  /** The figure where 0 is divided by 0, or `leaveOut` to take no part in a mean; default 0. */
  readonly zeroDivision?: 0 | 1 | "leaveOut";
}

/** A metric with a figure for each class, NaN for one that is left out. */
export interface ClassMetric extends Metric {
  perClass(): Float64Array;
}

/** Of what was predicted as a class, the share that is of it. @see https://scikit-learn.org/stable/modules/generated/sklearn.metrics.precision_recall_fscore_support.html */
export function precision(numClasses: number, options: AverageOptions = {}): ClassMetric {
  return averaged("precision", numClasses, options, ({ hits, predicted }) => [hits, predicted]);
}

/** Of what is of a class, the share that was predicted as it. */
export function recall(numClasses: number, options: AverageOptions = {}): ClassMetric {
  return averaged("recall", numClasses, options, ({ hits, actual }) => [hits, actual]);
}

/**
 * (1 + β²)·precision·recall / (β²·precision + recall): F1 for β = 1, the default. Errors with `config/metric` unless β ≥ 0.
 *
 * @example
 * ```ts
 * const metric = fBeta(2, { average: "binary" });
 * metric.update(fromNumbers("i32", [4], [1, 1, 0, 0]), fromNumbers("i32", [4], [1, 0, 1, 0]));
 * metric.value(); // 0.5
 * ```
 */
export function fBeta(numClasses: number, options: AverageOptions & { readonly beta?: number } = {}): ClassMetric {
  const { beta = 1 } = options;
  if (!(beta >= 0 && beta < Number.POSITIVE_INFINITY))
    fail("config/metric", "beta weighs recall against precision", {
      where: "fBeta",
      expected: "0 or more",
      got: String(beta),
      fix: "1 weighs both alike, 2 doubles recall",
    });
  return averaged("fBeta", numClasses, options, ({ hits, actual, predicted }) => [
    (1 + beta ** 2) * hits,
    beta ** 2 * actual + predicted,
  ]);
}

/** Weighted counts of one class: right, in the targets, in the predictions. */
interface ClassCounts {
  readonly hits: number;
  readonly actual: number;
  readonly predicted: number;
}

const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);

function countsOf({ counts, numClasses }: Confusion): ClassCounts[] {
  const range = Array.from({ length: numClasses }, (_, c) => c);
  return range.map((c) => ({
    hits: counts[c * numClasses + c]!,
    actual: sum(counts.subarray(c * numClasses, (c + 1) * numClasses)),
    predicted: sum(range.map((row) => counts[row * numClasses + c]!)),
  }));
}

function fromCounts(
  name: string,
  numClasses: number,
  options: TargetOptions,
  finish: (classes: readonly ClassCounts[], counts: Float64Array) => number,
): Metric & { readonly confusion: Confusion } {
  const confusion = new Confusion(numClasses, options);
  return {
    name,
    confusion,
    get count() {
      return confusion.count;
    },
    update: (...batch: MetricBatch) => confusion.update(...batch),
    value: () => (confusion.count === 0 ? failEmpty(name) : finish(countsOf(confusion), confusion.counts)),
  };
}

function averaged(
  name: string,
  numClasses: number,
  options: AverageOptions,
  fraction: (counts: ClassCounts) => readonly [above: number, below: number],
): ClassMetric {
  const { average = "macro", positive = 1, zeroDivision = 0 } = options;
  if (!averages.includes(average) || !(average !== "binary" || (positive >= 0 && positive < numClasses))) {
    fail("config/metric", "classes cannot be averaged so", {
      where: name,
      expected: `${averages.join(", ")}, binary with a positive class below ${numClasses}`,
      got: average === "binary" ? `positive: ${positive}` : String(average),
      fix: 'leave average out for "macro"',
    });
  }
  const divide = (above: number, below: number): number =>
    below > 0 ? above / below : zeroDivision === "leaveOut" ? Number.NaN : zeroDivision;
  const perClass = (classes: readonly ClassCounts[]) => classes.map((counts) => divide(...fraction(counts)));
  const value = (classes: readonly ClassCounts[]): number => {
    const figures = perClass(classes);
    if (average === "binary") return figures[positive]!;
    if (average === "micro") {
      const fractions = classes.map(fraction);
      return divide(sum(fractions.map(([above]) => above)), sum(fractions.map(([, below]) => below)));
    }
    const weights = classes.map(({ actual }, c) => (Number.isNaN(figures[c]!) ? 0 : average === "macro" ? 1 : actual));
    return sum(figures.map((figure, c) => (weights[c] === 0 ? 0 : figure * weights[c]!))) / sum(weights);
  };
  const metric = fromCounts(name, numClasses, options, (classes) => {
    const figure = value(classes);
    return Number.isNaN(figure)
      ? failUndefined(name, "0 divided by 0 in every class that counts", "set zeroDivision to 0 or 1")
      : figure;
  });
  return Object.assign(metric, { perClass: () => Float64Array.from(perClass(countsOf(metric.confusion))) });
}

/** The mean recall of the classes that occur as targets. @see https://scikit-learn.org/stable/modules/generated/sklearn.metrics.balanced_accuracy_score.html */
export function balancedAccuracy(numClasses: number, options: TargetOptions = {}): Metric {
  return fromCounts("balancedAccuracy", numClasses, options, (classes) => {
    const there = classes.filter(({ actual }) => actual > 0);
    return sum(there.map(({ hits, actual }) => hits / actual)) / there.length;
  });
}

/** Correlation of targets and predictions over all classes (Matthews 1975, Gorodkin 2004): 1 perfect, 0 by chance, and where all is one class. */
export function matthewsCorrelation(numClasses: number, options: TargetOptions = {}): Metric {
  return fromCounts("matthewsCorrelation", numClasses, options, (classes) => {
    const total = sum(classes.map(({ actual }) => actual));
    const covariance = (a: keyof ClassCounts, b: keyof ClassCounts) => sum(classes.map((c) => c[a] * c[b]));
    const spread = (total ** 2 - covariance("actual", "actual")) * (total ** 2 - covariance("predicted", "predicted"));
    if (!(spread > 0)) return 0;
    return (sum(classes.map(({ hits }) => hits)) * total - covariance("actual", "predicted")) / Math.sqrt(spread);
  });
}

export interface KappaOptions extends TargetOptions {
  /** What a disagreement costs: 1, the distance of the class ids, or its square. Default `none`, that is 1. */
  readonly distance?: "none" | "linear" | "quadratic";
}

/** Cohen 1960: 1 − disagreement / disagreement by chance. Errors with `metric/undefined` where chance cannot disagree. */
export function cohenKappa(numClasses: number, options: KappaOptions = {}): Metric {
  const { distance = "none" } = options;
  const cost = (d: number): number => (distance === "none" ? Math.sign(d) : distance === "linear" ? d : d ** 2);
  return fromCounts("cohenKappa", numClasses, options, (classes, counts) => {
    const total = sum(classes.map(({ actual }) => actual));
    let [found, byChance] = [0, 0];
    classes.forEach(({ actual }, a) => {
      classes.forEach(({ predicted }, b) => {
        const price = cost(Math.abs(a - b));
        found += price * counts[a * numClasses + b]!;
        byChance += (price * actual * predicted) / total;
      });
    });
    if (byChance === 0)
      failUndefined("cohenKappa", "one class alone, in targets and predictions", "evaluate on data of several classes");
    return 1 - found / byChance;
  });
}
