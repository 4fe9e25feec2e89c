// A linear model on rows of its own, in f64 on the reference engine: the smallest thing that a Trainer can train.
import { fromNumbers, type Varying } from "../../src/base/index.ts";
import type { Tensor } from "../../src/core/index.ts";
import { type Dataset, Loader, type LoaderState } from "../../src/data/index.ts";
import { ReferenceEngine } from "../../src/engine/index.ts";
import { call, Dropout, Linear, Module } from "../../src/nn/index.ts";
import { adamw, type Optimizer } from "../../src/optim/index.ts";
import { regressionTask, StepPrograms, Trainer, type TrainerOptions } from "../../src/train/index.ts";

/** Two features to one number, with dropout so that the randomness of a step shows. */
class Line extends Module {
  readonly dropout: Dropout;
  readonly linear = new Linear(2, 1);

  constructor(rate: Varying) {
    super();
    this.dropout = new Dropout(rate);
  }

  forward(x: Tensor): Tensor {
    return call(this.linear, call(this.dropout, x));
  }
}

export const numRows = 24;

/** y = 3a − 2b + 1; with `spoiltRow` that row's first feature is NaN. */
export function lineData(spoiltRow?: number): Dataset {
  const a = (row: number) => (row === spoiltRow ? Number.NaN : Math.sin(row));
  const b = (row: number) => Math.cos(2 * row);
  const y = (row: number) => 3 * Math.sin(row) - 2 * b(row) + 1;
  return {
    length: numRows,
    unit: "row",
    fingerprint: "line",
    collate: (rows) => ({
      features: fromNumbers(
        "f64",
        [rows.length, 2],
        rows.flatMap((row) => [a(row), b(row)]),
      ),
      targets: fromNumbers("f64", [rows.length], rows.map(y)),
    }),
  };
}

export interface LineOptions extends Partial<Omit<TrainerOptions, "programs" | "source">> {
  readonly lanes?: number;
  readonly batchSize?: number;
  readonly microbatch?: number;
  readonly dropout?: Varying;
  readonly optimizer?: Optimizer;
  readonly evalBatchSize?: number;
  readonly data?: Dataset;
  readonly targetScale?: number;
}

export function lineTrainer(options: LineOptions = {}): Trainer {
  const {
    lanes = 2,
    batchSize = 6,
    microbatch,
    evalBatchSize = 5,
    data = lineData(),
    targetScale = 1,
    dropout = 0.2,
    optimizer = adamw({ lr: 0.05 }),
    ...rest
  } = options;
  const programs = new StepPrograms(
    {
      model: new Line(dropout),
      task: regressionTask({ features: { dtype: "f64", shape: [2] } }, { dtype: "f64", targetScale }),
      optimizer,
      batchSize,
      lanes,
      microbatch,
      batchSizes: rest.batchSizes?.sizes,
      measureNoise: rest.batchSizes?.measure !== undefined,
      evalBatchSize,
      dtype: "f64",
      seed: 3,
    },
    new ReferenceEngine(),
  );
  programs.initialize();
  const loader = new Loader(data, { batchSize, order: "shuffled", seed: 3 });
  return new Trainer({
    steps: 8,
    learningRate: ({ step }) => 0.05 / (1 + step),
    ...rest,
    programs,
    source: {
      samplesPerEpoch: data.length,
      next: (rows, ahead) => loader.next(rows, ahead),
      state: () => loader.state(),
      restore: (state) => loader.restore(state as LoaderState),
    },
  });
}

/** Every variable that a checkpoint holds, as numbers by name. */
export function lineState({ programs }: Trainer): { [name: string]: number[] } {
  return Object.fromEntries(
    programs.stateNames().map((name) => [name, Array.from(programs.store.read(name).data as Float64Array)]),
  );
}

/** Held-out batches of the rows, the last one filled up with rows whose target is NaN. */
export async function* lineBatches(batchSize: number, data: Dataset = lineData()) {
  for (let start = 0; start < data.length; start += batchSize) {
    const rows = Array.from({ length: batchSize }, (_, at) => Math.min(start + at, data.length - 1));
    const { features, targets } = await data.collate(rows);
    (targets!.data as Float64Array).fill(Number.NaN, data.length - start);
    yield { features: features!, targets: targets! };
  }
}
