// Intervals by resampling rows: how far a figure would move on other data of the same kind. Knows no metric.
import { AthanorError, fail, type HostArray, RandomStream, sizeOf } from "../base/index.ts";
import { failUndefined, type Metric, type MetricBatch, readWeights } from "./metric.ts";

export interface Interval {
  readonly low: number;
  readonly high: number;
  /** Draws that have a figure: one without a row of some class may have none. */
  readonly draws: number;
}

export interface BootstrapOptions {
  /** Draws; default 1000. */
  readonly draws?: number;
  /** Share of the draws that the interval holds; default 0.95. */
  readonly level?: number;
  readonly seed?: number;
}

/**
 * A metric that also has an interval: the percentiles of its value over draws of as many rows, with replacement (Efron 1979). Rows
 * are targets; they should be independent, which tokens of one text are not. Draws do not depend on the batches, nor on the metric, so
 * that figures of two models on the same rows can be compared draw by draw. Holds all batches.
 *
 * @example
 * ```ts
 * const metric = new Bootstrap(() => accuracy(), { seed: 1 });
 * metric.update(fromNumbers("f32", [2, 2], [0.9, 0.1, 0.4, 0.6]), fromNumbers("i32", [2], [0, 0]));
 * metric.interval(); // { low: 0, high: 1, draws: 1000 }
 * ```
 */
export class Bootstrap implements Metric {
  readonly name: string;
  private readonly make: () => Metric;
  private readonly whole: Metric;
  private readonly options: Required<BootstrapOptions>;
  private readonly batches: MetricBatch[] = [];
  private rows = 0;

  /** `make` makes the metric anew for each draw. Errors with `config/metric`. */
  constructor(make: () => Metric, { draws = 1000, level = 0.95, seed = 0 }: BootstrapOptions = {}) {
    if (!(Number.isInteger(draws) && draws >= 1 && level > 0 && level < 1)) {
      fail("config/metric", "an interval holds a share of some draws", {
        where: "bootstrap",
        expected: "draws of at least 1, level between 0 and 1",
        got: `draws ${draws}, level ${level}`,
        fix: "leave both out for 1000 draws and 0.95",
      });
    }
    this.make = make;
    this.whole = make();
    this.name = this.whole.name;
    this.options = { draws, level, seed };
  }

  get count(): number {
    return this.whole.count;
  }

  update(...batch: MetricBatch): void {
    this.whole.update(...batch);
    const copy = <A extends HostArray | undefined>(array: A): A => array && { ...array, data: array.data.slice() };
    this.batches.push([copy(batch[0]), copy(batch[1]), copy(batch[2])]);
    this.rows += sizeOf(batch[1].shape);
  }

  value(): number {
    return this.whole.value();
  }

  /** Values of the draws that have one, in order of the draws. */
  draws(): Float64Array {
    const stream = new RandomStream(this.options.seed, "bootstrap");
    const values: number[] = [];
    for (let draw = 0; draw < this.options.draws; draw++) {
      const times = new Float64Array(this.rows);
      for (let i = 0; i < this.rows; i++) times[stream.below(this.rows, i, 0, draw)]! += 1;
      const metric = this.make();
      let start = 0;
      for (const [prediction, target, weights] of this.batches) {
        const weightOf = readWeights(this.name, weights, target);
        const end = start + sizeOf(target.shape);
        const data = times.subarray(start, end).map((count, row) => count * weightOf(row));
        start = end;
        metric.update(prediction, target, { dtype: "f64", shape: target.shape, data });
      }
      const value = definedValue(metric);
      if (value !== undefined) values.push(value);
    }
    return Float64Array.from(values);
  }

  /** Errors with `metric/empty`, and `metric/undefined` when most draws have no figure. */
  interval(): Interval {
    this.value();
    const { level, draws } = this.options;
    const values = this.draws().sort();
    if (values.length * 2 < draws)
      failUndefined(
        `an interval of ${this.name}`,
        `${values.length} of ${draws} draws have a figure`,
        "evaluate on more rows",
      );
    const tail = (1 - level) / 2;
    return { low: quantile(values, tail), high: quantile(values, 1 - tail), draws: values.length };
  }
}

function definedValue(metric: Metric): number | undefined {
  try {
    return metric.value();
  } catch (error) {
    if (error instanceof AthanorError && ["metric/empty", "metric/undefined"].includes(error.code)) return undefined;
    throw error;
  }
}

/** Of sorted values, straight between neighbours, as numpy. */
function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return below + (above - below) * (at - Math.floor(at));
}
