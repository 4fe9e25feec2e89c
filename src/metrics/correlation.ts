// How predictions go along with targets, whatever their units: Pearson's correlation, and Spearman's of their ranks.
import { eachPair, failEmpty, failUndefined, type Metric, type MetricBatch } from "./metric.ts";

/**
 * Pearson's correlation of predictions and targets: 1 where a line that rises gives one from the other, −1 where one that falls does. Rows count
 * alike. Errors with `metric/empty` for fewer than two rows, `metric/undefined` for weights, and where predictions or targets are all one number.
 */
export const pearson = (): Metric => correlation("pearson", (values) => values);

/** Pearson's correlation of the ranks, equal values sharing the mean of theirs (Spearman 1904). Errors as `pearson`. */
export const spearman = (): Metric => correlation("spearman", ranks);

type Numbers = readonly number[];

function correlation(name: string, of: (values: Numbers) => Numbers): Metric {
  const [predictions, targets]: [number[], number[]] = [[], []];
  const metric = {
    name,
    count: 0,
    update: (...batch: MetricBatch) => {
      if (batch[2] !== undefined) failUndefined(name, "weights", "leave them out");
      eachPair(name, batch, (predicted, wanted) => {
        predictions.push(predicted);
        targets.push(wanted);
        metric.count++;
      });
    },
    value: () => {
      if (metric.count < 2) failEmpty(name);
      const [x, y] = [centred(of(predictions)), centred(of(targets))];
      const product = dot(x, y) / (Math.sqrt(dot(x, x)) * Math.sqrt(dot(y, y)));
      if (Number.isNaN(product)) failUndefined(name, "numbers that are all alike", "evaluate on rows that differ");
      return Math.max(-1, Math.min(1, product));
    },
  };
  return metric;
}

function centred(values: Numbers): Numbers {
  const first = values[0]!; // differences from it: numbers far from zero keep their digits
  const mean = values.reduce((sum, value) => sum + (value - first), 0) / values.length;
  return values.map((value) => value - first - mean);
}

const dot = (x: Numbers, y: Numbers): number => x.reduce((sum, value, at) => sum + value * y[at]!, 0);

/** Places in rising order, from 0. */
function ranks(values: Numbers): Numbers {
  const order = values.map((_, at) => at).sort((a, b) => values[a]! - values[b]!);
  const places = new Array<number>(values.length);
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (const at of order.slice(start, end)) places[at] = (start + end - 1) / 2;
  }
  return places;
}
