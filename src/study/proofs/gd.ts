// Gradient descent on linear problems whose answer is known: the whole batch at once, row by row, and what a batch's gradient is.
import { load, train } from "../../api/index.ts";
import { fromNumbers, type HostArray, RandomStream, toNumbers } from "../../base/index.ts";
import { grad, type Tensor } from "../../core/index.ts";
import { type Dataset, Loader, NumpyRandom } from "../../data/index.ts";
import { evaluate, ReferenceEngine } from "../../engine/index.ts";
import { Linear, meanSquaredError } from "../../nn/index.ts";
import { sgd } from "../../optim/index.ts";
import { regressionTask, StepPrograms, Trainer } from "../../train/index.ts";
import {
  atLeast,
  atMost,
  type Figure,
  holds,
  largestDifference,
  type Proof,
  type ProofContext,
  shown,
  within,
} from "../proof.ts";

type Row = readonly [feature: number, target: number];
interface Line {
  readonly weight: number;
  readonly bias: number;
  readonly loss: number;
}
interface FitOptions {
  readonly start: readonly [weight: number, bias: number];
  readonly lr: number;
  readonly steps: number;
  readonly seed: number;
}

function datasetOf(rows: readonly Row[]): Dataset {
  const column = (at: 0 | 1, positions: readonly number[], shape: number[]): HostArray =>
    fromNumbers(
      "f64",
      shape,
      positions.map((position) => rows[position]![at]),
    );
  return {
    length: rows.length,
    unit: "row",
    fingerprint: JSON.stringify(rows),
    collate: (positions) => ({
      features: column(0, positions, [positions.length, 1]),
      targets: column(1, positions, [positions.length]),
    }),
  };
}

/** Gradient descent on y = weight·x + bias by the trainer, in f64, every batch being all rows. */
async function fitLine(rows: readonly Row[], { start, lr, steps, seed }: FitOptions): Promise<Line> {
  const optimizer = sgd({ lr });
  const programs = new StepPrograms(
    {
      model: new Linear(1, 1),
      task: regressionTask({ features: { dtype: "f64", shape: [1] } }, { dtype: "f64" }),
      optimizer,
      batchSize: rows.length,
      lanes: 1,
      evalBatchSize: rows.length,
      dtype: "f64",
      seed,
    },
    new ReferenceEngine(),
  );
  const { store } = programs;
  store.write("weight", fromNumbers("f64", [1, 1], [start[0]]));
  store.write("bias", fromNumbers("f64", [1], [start[1]]));
  const dataset = datasetOf(rows);
  const loader = new Loader(dataset, { batchSize: rows.length, order: "shuffled", seed });
  const trainer = new Trainer({
    programs,
    source: {
      samplesPerEpoch: rows.length,
      next: () => loader.next(),
      state: () => undefined,
      restore: () => undefined,
    },
    learningRate: (clock) => optimizer.learningRate.at(clock),
    steps,
    heldOut: async function* () {
      yield await dataset.collate(rows.map((_, position) => position));
    },
  });
  await trainer.run();
  const evaluation = await trainer.evaluate();
  return {
    weight: toNumbers(store.read("weight"))[0]!,
    bias: toNumbers(store.read("bias"))[0]!,
    loss: evaluation!.loss,
  };
}

/** The least-squares line, by its normal equations. */
function leastSquares(rows: readonly Row[]): { weight: number; bias: number } {
  const mean = (pick: (row: Row) => number) => rows.reduce((sum, row) => sum + pick(row), 0) / rows.length;
  const [x, y] = [mean((row) => row[0]), mean((row) => row[1])];
  const weight = mean((row) => (row[0] - x) * (row[1] - y)) / mean((row) => (row[0] - x) ** 2);
  return { weight, bias: y - weight * x };
}

const seeds = [1, 2, 3];

async function fullBatch(): Promise<Figure[]> {
  const four: Row[] = [1, 2, 3, 4].map((x) => [x, 2 * x]);
  const start = [1.764052345967664, 0.400157208367223] as const;
  const runs = await Promise.all(seeds.map((seed) => fitLine(four, { start, lr: 0.01, steps: 1000, seed })));
  const random = new NumpyRandom(0);
  const [x, noise] = [random.rand(100), random.randn(100)];
  const hundred = x.map((value, row): Row => [value, value - 2 + noise[row]!]);
  const closed = leastSquares(hundred);
  const noisy = await Promise.all(
    seeds.map((seed) => fitLine(hundred, { start: [0, 0], lr: 0.1, steps: 10_000, seed })),
  );
  const [first, line] = [runs[0]!, noisy[0]!];
  const flat = (lines: readonly Line[]) => lines.map(({ weight, bias, loss }) => [weight, bias, loss]);
  const apart = (lines: readonly Line[]) =>
    Math.max(...flat(lines).map((values) => largestDifference(values, flat(lines)[0]!)));
  return [
    // lr 0.01, 1000 steps, mean gradients: the recurrence W ← W − lr·(2/n)·Xᵀ(ŷ − y), run out in f64 with NumPy
    within("weight after 1000 steps on y = 2x", first.weight, 1.9926967095706, 1e-6),
    within("bias", first.bias, 0.0214725644745, 1e-6),
    within("loss", first.loss, 7.70045352e-5, 1e-6),
    // The sums of a step are taken in another order: what that changes is far below the last bit of a weight.
    atMost("difference between shuffling seeds", apart(runs), 0),
    // NumPy's least squares of the same rows, which the normal equations give too
    within("weight on 100 noisy rows", line.weight, 0.93693502, 1e-6),
    within("bias on 100 noisy rows", line.bias, -1.77784892, 1e-6),
    within("weight of the least-squares line", closed.weight, 0.93693502, 1e-8),
    atMost("difference between shuffling seeds, 100 rows", apart(noisy), 0),
  ];
}

/** A net of one hidden layer with every parameter in one vector, so that `grad` gives the whole gradient at once. */
function lossOf(parameters: Tensor, x: Tensor, y: Tensor): Tensor {
  const hidden = x
    .matmul(parameters.slice(0, 0, 15).reshape(3, 5))
    .add(parameters.slice(0, 15, 20))
    .tanh();
  const output = hidden.matmul(parameters.slice(0, 20, 25).reshape(5, 1)).add(parameters.slice(0, 25, 26));
  return meanSquaredError(output, y);
}

async function miniBatch(): Promise<Figure[]> {
  const stream = new RandomStream(3, "gd.minibatch");
  const draw = (row: number, length: number) => Array.from({ length }, (_, element) => stream.normal(element, row));
  const parameters = draw(0, 26);
  const x = Array.from({ length: 32 }, (_, row) => draw(row + 1, 3));
  const y = x.map(([a, b, c]) => [a! * b! - c!]);
  const gradient = (rows: readonly number[]) =>
    evaluate(grad(lossOf), { parameters, x: rows.map((row) => x[row]!), y: rows.map((row) => y[row]!) }).data;
  const all = x.map((_, row) => row);
  const perSample = all.map((row) => gradient([row]));
  const mean = (rows: readonly number[]) =>
    parameters.map((_, at) => rows.reduce((sum, row) => sum + perSample[row]![at]!, 0) / rows.length);
  const batches = [all, all.slice(0, 8), all.slice(5, 6), all.filter((row) => row % 3 === 0)];
  const errors = batches.map((rows) => largestDifference(gradient(rows), mean(rows)));
  return [
    ...batches.map((rows, at) => atMost(`error of the gradient of ${rows.length} rows`, errors[at]!, 1e-12)),
    // so that the check is not of zeros: two samples differ
    {
      name: "difference between two samples' gradients",
      value: largestDifference(perSample[0]!, perSample[1]!),
      bound: "> 0.01",
      ok: largestDifference(perSample[0]!, perSample[1]!) > 0.01,
    },
  ];
}

const slopes = [1.5, -2, 0.5, 0, 3];
const noise = 0.5;

/** Rows of a linear law and its noise. */
function linearRows(count: number) {
  const stream = new RandomStream(11, "gd.sgd1");
  return Array.from({ length: count }, (_, row) => {
    const x = slopes.map((__, at) => stream.normal(at, row));
    const y = x.reduce((sum, value, at) => sum + slopes[at]! * value, 1 + noise * stream.normal(100, row));
    return { ...Object.fromEntries(x.map((value, at) => [`x${at}`, value])), y };
  });
}

/** One pass over 10,000 rows, one row a step, by the public API; `folder` holds the runs. */
async function oneByOne({ folder, signal }: ProofContext): Promise<Figure[]> {
  const steps = 10_000;
  const heldOut = 2000;
  const rows = linearRows(steps + heldOut);
  const losses: number[] = [];
  const hashes: string[] = [];
  for (const seed of seeds.slice(0, 2)) {
    const training = train(
      {
        data: { rows, target: "y", heldOut: heldOut / (steps + heldOut) },
        model: { mlp: { hidden: [] } },
        optimizer: { sgd: { lr: { linear: { peak: 0.02 } } } },
        batch: { size: 1 },
        steps,
        seed,
        eval: { every: 0, batch: 200 },
        checkpoint: { every: 0 },
      },
      { runDir: `${folder}/${seed}`, ...(signal === undefined ? {} : { signal }) },
    );
    hashes.push((await training.outcome).hash);
    const model = await load(`${folder}/${seed}`);
    const answers = await model.predict(rows);
    const errors = answers.map((answer, at) => ("value" in answer ? answer.value : Number.NaN) - rows[at]!.y);
    losses.push(errors.reduce((sum, error) => sum + error ** 2, 0) / rows.length);
  }
  // what the law itself misses by, on the same rows
  const floor =
    rows.reduce((sum, { y, ...x }) => {
      const law = slopes.reduce((total, slope, at) => total + slope * (x as Record<string, number>)[`x${at}`]!, 1);
      return sum + (y - law) ** 2;
    }, 0) / rows.length;
  return [
    shown("noise floor", floor),
    ...losses.map((loss, at) => atMost(`loss of seed ${seeds[at]} ÷ the noise floor`, loss / floor, 1.05)),
    ...losses.map((loss, at) => atLeast(`not below what can be, seed ${seeds[at]}`, loss / floor, 0.99)),
    holds("two seeds end in different weights", hashes[0] !== hashes[1]),
  ];
}

export const gradientDescentProofs: readonly Proof[] = [
  {
    id: "gd.full",
    doc: "gradient descent on all rows at once reaches the least-squares line, whatever the shuffling seed",
    run: fullBatch,
  },
  {
    id: "gd.minibatch",
    doc: "the gradient of a batch is the mean of its samples' gradients",
    run: miniBatch,
  },
  {
    id: "gd.sgd1",
    doc: "gradient descent on single rows comes within 5 % of the noise floor in one pass over 10,000",
    run: oneByOne,
  },
];
