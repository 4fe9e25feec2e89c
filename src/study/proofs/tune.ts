// Tuning on problems whose answer is known: the edge of stability of gradient descent on quadratics.
import { fromNumbers, RandomStream, toNumbers } from "../../base/index.ts";
import { ReferenceEngine } from "../../engine/index.ts";
import { Linear } from "../../nn/index.ts";
import { type Optimizer, sgd } from "../../optim/index.ts";
import { regressionTask, StepPrograms } from "../../train/index.ts";
import { noiseScale } from "../noise-scale.ts";
import { type Figure, holds, type Proof, within } from "../proof.ts";
import { rangeTest, type Trial } from "../range-test.ts";

/**
 * Least squares with features that are orthogonal: mean((w·x − y)²) has the Hessian diag(2·mean(xᵢ²)), so that these are its
 * eigenvalues. Begins away from the answer in every direction.
 */
function quadratic(eigenvalues: readonly number[], optimizer: Optimizer): Trial {
  const n = eigenvalues.length;
  const programs = new StepPrograms(
    {
      model: new Linear(n, 1, { bias: false }),
      task: regressionTask({ features: { dtype: "f64", shape: [n] } }, { dtype: "f64" }),
      optimizer,
      ...{ batchSize: n, lanes: 1, evalBatchSize: n, dtype: "f64", seed: 1 },
    },
    new ReferenceEngine(),
  );
  const { store } = programs;
  // one row per feature: its mean square over the n rows is λ/2
  const features = eigenvalues.flatMap((value, row) =>
    eigenvalues.map((_, at) => (at === row ? Math.sqrt((n * value) / 2) : 0)),
  );
  const batch = {
    features: fromNumbers("f64", [n, n], features),
    targets: fromNumbers("f64", [n], Array<number>(n).fill(0)),
  };
  const states = programs.stateNames();
  let step = 0;
  return {
    restart: () => {
      step = 0;
      for (const name of states) {
        const { dtype, shape } = store.typeOf(name);
        store.write(name, fromNumbers(dtype, shape, toNumbers(store.read(name)).fill(name === "weight" ? 1 : 0)));
      }
    },
    step: async (learningRate) => {
      const { committed, loss } = await programs.step({
        step: step++,
        learningRate,
        batch,
        sampleIds: Int32Array.from(eigenvalues, (_, row) => row),
      });
      return committed ? loss : Number.NaN;
    },
  };
}

/** Gradient descent is stable below 2/λ, with momentum β below 2(1 + β)/λ, for the largest eigenvalue λ. */
async function chooseRate(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [eigenvalues, beta] of [
    [[4, 1, 0.5], 0],
    [[100, 3, 1, 0.1], 0],
    [[0.02, 0.01], 0],
    [[4, 1, 0.5], 0.9],
  ] as const) {
    const largest = Math.max(...eigenvalues);
    const edge = (2 * (1 + beta)) / largest;
    const { stable, unstable, suggestion } = await rangeTest(quadratic(eigenvalues, sgd({ momentum: beta })), {
      from: 1e-5,
      to: 1e4,
      trialSteps: 200,
    });
    const what = `largest eigenvalue ${largest}, momentum ${beta}`;
    const found = Math.sqrt(stable * (unstable ?? Number.POSITIVE_INFINITY));
    figures.push(within(`${what}: ln(edge found ÷ edge)`, Math.log(found / edge), 0, Math.log(1.5)));
    figures.push(holds(`${what}: the suggestion is stable`, suggestion < edge, `< ${edge}`));
  }
  return figures;
}

/**
 * Noise of a linear regression's gradient, estimated from batches and counted over all rows: a row's gradient of (w·x − y)² is
 * 2(w·x − y)x.
 */
function gradientNoise(): Figure[] {
  const [rows, width, small, large, rounds] = [4096, 5, 8, 64, 64];
  const random = new RandomStream(3, "noise");
  const figures: Figure[] = [];
  for (const noise of [0.5, 3]) {
    const gradients = Array.from({ length: rows }, (_, row) => {
      const x = Array.from({ length: width }, (_, at) => random.normal(at, row));
      const residual =
        x.reduce((sum, value, at) => sum + value * (at + 1) * 0.2, 0) + noise * random.normal(width, row);
      return x.map((value) => 2 * residual * value);
    });
    const meanOf = (from: number, count: number) =>
      gradients[0]!.map((_, at) => gradients.slice(from, from + count).reduce((sum, g) => sum + g[at]!, 0) / count);
    const square = (vector: readonly number[]) => vector.reduce((sum, value) => sum + value * value, 0);
    const squaredNorm = square(meanOf(0, rows));
    const variance = gradients.reduce((sum, g) => sum + square(g), 0) / rows - squaredNorm;
    const pairs = Array.from({ length: rounds }, (_, round) => ({
      large: square(meanOf(round * large, large)),
      small:
        Array.from({ length: large / small }, (_, part) => square(meanOf(round * large + part * small, small))).reduce(
          (sum, value) => sum + value,
        ) /
        (large / small),
    }));
    const found = noiseScale(pairs, { small, large });
    const exact = variance / squaredNorm;
    figures.push(within(`noise ${noise}: estimate ÷ exact`, found.scale / exact, 1, 0.2));
    figures.push(
      holds(`noise ${noise}: the exact one lies in the interval`, found.low <= exact && exact <= found.high),
    );
  }
  return figures;
}

export const tuneProofs: readonly Proof[] = [
  {
    id: "lr.choose",
    doc: "the range test finds the largest stable rate of gradient descent on quadratics, with and without momentum",
    run: chooseRate,
  },
  {
    id: "bs.noise",
    doc: "the gradient noise scale from batches of 8 and 64 rows is that of all rows of a linear regression within a fifth",
    run: async () => gradientNoise(),
  },
];
