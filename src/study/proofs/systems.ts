// Keras, JAX and scikit-learn on the same numbers (test/golden/systems.py): a loop, transformations of functions, metrics.

import { fromNumbers, type HostArray, toNumbers } from "../../base/index.ts";
import { concat, grad, type Tensor, valueAndGrad, vmap } from "../../core/index.ts";
import { evaluate } from "../../engine/index.ts";
import * as metrics from "../../metrics/index.ts";
import { categoricalCrossEntropy, dense, meanSquaredError, sequential } from "../../nn/index.ts";
import { adam } from "../../optim/index.ts";
import { fit } from "../../train/index.ts";
import { atMost, equal, type Figure, largestDifference, type Proof, within } from "../proof.ts";
import { ids, normals } from "./numpy-arrays.ts";
import { jaxFigures, kerasLosses, sklearnFigures } from "./systems.generated.ts";

/** Ten classes of 200 rows, in batches of 32: the last of an epoch has 8. */
async function keras(): Promise<Figure[]> {
  const labels = Array.from({ length: 200 }, (_, row) => row % 10);
  const [centres, noise] = [toNumbers(normals(50, [10, 8])), toNumbers(normals(51, [200, 8]))];
  const x = fromNumbers(
    "f64",
    [200, 8],
    noise.map((value, at) => value + centres[8 * labels[Math.floor(at / 8)]! + (at % 8)]!),
  );
  const hot = labels.map((label) => Array.from({ length: 10 }, (_, id) => Number(id === label)));
  const model = sequential([dense(64, "relu"), dense(10, "softmax")]);
  const options = {
    loss: categoricalCrossEntropy,
    optimizer: adam({ lr: 1e-3 }),
    batch: 32,
    epochs: 10,
    shuffle: false,
    precision: "f64",
    parameters: { "layers.0.weight": normals(52, [8, 64], 0.3), "layers.1.weight": normals(53, [64, 10], 0.1) },
  } as const;
  const losses: number[] = [];
  let steps = 0;
  for await (const { loss, step } of fit(model, { x, y: hot }, options)) {
    losses.push(loss);
    steps = step;
  }
  return [
    equal("epochs", losses.length, 10),
    equal("steps, 7 an epoch", steps, 70),
    ...losses.map((loss, at) => within(`loss of epoch ${at + 1}`, loss, kerasLosses[at]!, 1e-6)),
  ];
}

function jax(): Figure[] {
  const points = normals(1, [4]);
  const sine = (x: Tensor) => x.sin();
  const nested = [grad(sine), grad(grad(sine)), grad(grad(grad(sine))), grad(grad(grad(grad(sine))))];
  const derivatives = nested.map((fn) => evaluate(vmap(fn), { points }).data);
  const minusSine = Array.from(toNumbers(points), (x) => -Math.sin(x));
  const loss = (w: Tensor, b: Tensor, x: Tensor, y: Tensor) => meanSquaredError(x.matmul(w).add(b).tanh(), y);
  const feeds = { w: normals(2, [3, 2]), b: normals(3, [2]), x: normals(4, [5, 3]), y: normals(5, [5, 2]) };
  const both = evaluate((...inputs) => {
    const { value, grad } = valueAndGrad(loss, { argnums: [0, 1] })(...inputs);
    return [value, ...grad];
  }, feeds);
  const oneRow = (w: Tensor, b: Tensor, x: Tensor, y: Tensor) => loss(w, b, x.reshape(1, 3), y.reshape(1, 2));
  const perExample = evaluate(vmap(grad(oneRow), { inAxes: [null, null, 0, 0] }), feeds);
  const product = (m: Tensor) => m.matmul(m.transpose()).neg().exp().matmul(m);
  const products = evaluate(vmap(product), { stack: normals(6, [4, 3, 3]) });
  const wavy = (x: Tensor) => x.sin().mul(reversed(x).square()).sum();
  const hessianRow = (direction: Tensor, x: Tensor) => grad((at) => grad(wavy)(at).mul(direction).sum())(x);
  const basis = [0, 1, 2, 3].map((row) => [0, 1, 2, 3].map((at) => Number(at === row)));
  const hessian = evaluate(vmap(hessianRow, { inAxes: [0, null] }), { basis, points });
  const error = (name: string, data: readonly number[], expected: readonly number[]) =>
    atMost(`${name}: largest error`, largestDifference(data, expected), 1e-6);
  return [
    ...derivatives.map((data, at) => error(`grad of sin, ${at + 1} deep, over 4 points`, data, jaxFigures.sines[at]!)),
    atMost("grad of grad of sin against −sin", largestDifference(derivatives[1]!, minusSine), 1e-15),
    within("valueAndGrad: value", both[0]!.value, jaxFigures.value, 1e-6),
    error("gradient by the weight", both[1]!.data, jaxFigures.dw),
    error("gradient by the bias", both[2]!.data, jaxFigures.db),
    error("vmap of grad: every example's gradient", perExample.data, jaxFigures.perExample),
    error("vmap of matrix products", products.data, jaxFigures.products),
    error("Hessian, vmap of grad of grad", hessian.data, jaxFigures.hessian),
  ];
}

const reversed = (x: Tensor): Tensor => concat([...x.split(x.shape[0]!)].reverse());

/** One metric over everything at once. */
function figure(metric: metrics.Metric, prediction: HostArray, target: HostArray): number {
  metric.update(prediction, target);
  return metric.value();
}

function sklearn(): Figure[] {
  const [rows, k] = [60, 4];
  const labels = Array.from({ length: rows }, (_, row) => ((row * 7) % 11) % k);
  const logits = Array.from(
    toNumbers(normals(70, [rows, k])),
    (value, at) => value + (labels[Math.floor(at / k)] === at % k && Math.floor(at / k) % 3 > 0 ? 1.5 : 0),
  );
  const scores = fromNumbers("f64", [rows, k], logits);
  const yes = labels.map((label) => label % 2);
  const chance = Array.from(toNumbers(normals(71, [rows])), (value, row) => 1 / (1 + Math.exp(-value - yes[row]!)));
  const [numbers, noise] = [normals(72, [rows]), toNumbers(normals(73, [rows]))];
  const predicted = fromNumbers(
    "f64",
    [rows],
    toNumbers(numbers).map((value, row) => value + 0.5 * noise[row]!),
  );
  const [target, binary, shares] = [ids(labels), ids(yes), fromNumbers("f64", [rows], chance)];
  const published = fromNumbers("f64", [4, 2], [0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4]);
  const corners = fromNumbers("f64", [2, 2], [1, 0, 0, 1]);
  const ofShares = { from: "probabilities" } as const;
  const own: { readonly [name in keyof typeof sklearnFigures]: number } = {
    log_loss: figure(metrics.logLoss(), scores, target),
    "log_loss, two classes": figure(metrics.logLoss(ofShares), shares, binary),
    "log_loss, published block": figure(metrics.logLoss(ofShares), published, ids([0, 1, 1, 1])),
    "log_loss, certain and right": figure(metrics.logLoss(ofShares), corners, ids([0, 1])),
    "log_loss, one of two certain and wrong": figure(metrics.logLoss(ofShares), corners, ids([0, 0])),
    accuracy: figure(metrics.accuracy(), scores, target),
    "balanced accuracy": figure(metrics.balancedAccuracy(k), scores, target),
    "Matthews' correlation": figure(metrics.matthewsCorrelation(k), scores, target),
    "Cohen's kappa": figure(metrics.cohenKappa(k), scores, target),
    ...(Object.fromEntries(
      (["micro", "macro", "weighted"] as const).flatMap((average) => [
        [`precision ${average}`, figure(metrics.precision(k, { average }), scores, target)],
        [`recall ${average}`, figure(metrics.recall(k, { average }), scores, target)],
        [`f1 ${average}`, figure(metrics.fBeta(k, { average }), scores, target)],
      ]),
    ) as Record<`${"precision" | "recall" | "f1"} ${"micro" | "macro" | "weighted"}`, number>),
    "Brier score": figure(metrics.brierScore(), shares, binary),
    "ROC area": figure(metrics.rocArea(), shares, binary),
    "average precision": figure(metrics.averagePrecision(), shares, binary),
    "mean absolute error": figure(metrics.meanAbsoluteError(), predicted, numbers),
    "mean squared error": figure(metrics.meanSquaredError(), predicted, numbers),
    "R²": figure(metrics.rSquared(), predicted, numbers),
  };
  return Object.entries(own).map(([name, value]) =>
    within(name, value, sklearnFigures[name as keyof typeof sklearnFigures], 1e-12),
  );
}

export const systemProofs: readonly Proof[] = [
  {
    id: "sys.keras",
    doc: "Keras's loop with sequential and dense: the loss of every epoch, a mean over its samples",
    run: keras,
  },
  {
    id: "sys.jax",
    doc: "grad, valueAndGrad and vmap of plain functions, nested in one another, as JAX has them",
    run: async () => jax(),
  },
  {
    id: "sys.sklearn",
    doc: "log loss and metrics of classes, chances and numbers are scikit-learn's to 1e-12",
    run: async () => sklearn(),
  },
];
