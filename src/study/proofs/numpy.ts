// The NumPy programs of tutorials, corrected: their published values are reached, and the faults of the originals refused by name.

import { type HostArray, toNumbers } from "../../base/index.ts";
import { grad, type Tensor } from "../../core/index.ts";
import { NumpyRandom } from "../../data/index.ts";
import { evaluate } from "../../engine/index.ts";
import { binaryCrossEntropy, categoricalCrossEntropy, Linear, meanSquaredError } from "../../nn/index.ts";
import { sgd } from "../../optim/index.ts";
import { type FitOptions, fit } from "../../train/index.ts";
import { type Figure, type Proof, refused, within } from "../proof.ts";
import { ids } from "./numpy-arrays.ts";

const line = { x: [[1], [2], [3], [4]], y: [[2], [4], [6], [8]] };
const [W, b] = new NumpyRandom(0).randn(2) as [number, number];
const whole = {
  loss: meanSquaredError,
  batch: "all",
  precision: "f64",
  parameters: { weight: [[W]], bias: [b] },
} as const satisfies FitOptions;

const first = (array: HostArray | undefined): number => toNumbers(array!)[0]!;

/** The update written out, with the gradient of a plain function. */
function byHand(): Figure[] {
  const loss = (w: Tensor, b: Tensor, x: Tensor, y: Tensor) => meanSquaredError(x.mul(w).add(b), y);
  const gradients = grad(loss, { argnums: [0, 1] });
  const data = { x: [1, 2, 3, 4], y: [2, 4, 6, 8] };
  let [weight, bias] = [W, b];
  for (let step = 0; step < 1000; step++) {
    const [dw, db] = evaluate(gradients, { weight, bias, ...data });
    weight -= 0.01 * dw!.value;
    bias -= 0.01 * db!.value;
  }
  return [
    within("line by hand, lr 0.01, 1000 steps: W", weight, 1.9926967095706, 1e-12),
    within("b", bias, 0.0214725644745, 1e-12),
    within("loss", evaluate(loss, { weight, bias, ...data }).value, 7.70045352e-5, 1e-13),
  ];
}

async function decays(): Promise<Figure[]> {
  const after = async (factor: number) => {
    const optimizer = sgd({ lr: { step: { peak: 0.1, factor, every: 100 } } });
    const { parameters } = await fit(new Linear(1, 1), line, { ...whole, optimizer, epochs: 1000 });
    return [first(parameters.get("weight")), first(parameters.get("bias"))] as const;
  };
  const [slow, fast] = [await after(0.9), await after(0.5)];
  return [
    within("0.1 × 0.9 every 100, first at 100: W", slow[0], 1.9999999995967, 1e-12),
    within("0.1 × 0.5 every 100: W", fast[0], 1.9996521695259, 1e-12),
    within("b", fast[1], 0.0010226640105, 1e-12),
  ];
}

async function hundredRows(): Promise<Figure[]> {
  const random = new NumpyRandom(0);
  const [x, noise] = [random.rand(100), random.randn(100)];
  const data = { x: x.map((value) => [value]), y: x.map((value, row) => [value - 2 + noise[row]!]) };
  const start = { weight: [[0]], bias: [0] };
  const options = { ...whole, parameters: start, optimizer: sgd({ lr: 0.1 }), epochs: 10_000 };
  const { parameters } = await fit(new Linear(1, 1), data, options);
  return [
    within("100 rows, lr 0.1, 10,000 steps: w", first(parameters.get("weight")), 0.93693502, 5e-9),
    within("b", first(parameters.get("bias")), -1.77784892, 5e-9),
  ];
}

function losses(): Figure[] {
  const rows = [0.9, 0.8, 0.7, 0.6].map((p) => [p, 1 - p]);
  const [prediction, target] = [
    [1, 2, 3, 4],
    [2, 4, 6, 8],
  ];
  const categorical = (p: number[][], classes: number[]) =>
    evaluate((p, t) => categoricalCrossEntropy(p, t), { p, t: ids(classes) }).value;
  const binary = (p: number[], t: number[]) =>
    evaluate((p, t) => binaryCrossEntropy(p, t, { from: "probabilities" }), { p, t }).value;
  const mse = evaluate((p, t) => meanSquaredError(p, t), { prediction, target }).value;
  const published = 0.9587654910730045;
  return [
    within("mean squared error", mse, 7.5, 0),
    within("cross-entropy", categorical(rows, [0, 1, 1, 1]), published, 1e-12),
    within("log loss of column 1", binary([0.1, 0.2, 0.3, 0.4], [0, 1, 1, 1]), published, 1e-12),
    within("certain and right", binary([1, 0], [1, 0]), 0, 1e-15),
    within("certain, one of two wrong", binary([1, 1], [1, 0]), 18.021826694558577, 1e-12),
  ];
}

function faults(): Figure[] {
  const fitted = (options: Partial<FitOptions>, model = new Linear(1, 1), data: { x: number[][]; y: object } = line) =>
    fit(model, data as typeof line, { ...whole, ...options });
  return [
    refused("W (10,1) against X (4,1)", "shape/matmul-inner", () => fitted({ parameters: {} }, new Linear(10, 1))),
    refused("targets (4) against (4,1)", "shape/loss", () => fitted({}, undefined, { x: line.x, y: [2, 4, 6, 8] })),
    refused("a loss that is summed already", "train/loss", () =>
      fitted({ loss: (p, t) => meanSquaredError(p, t, { reduction: "sum" }) }),
    ),
    refused("0.1 lowered by 0.1 every 100", "optim/learning-rate", () =>
      fitted({ optimizer: sgd({ lr: { subtract: { peak: 0.1, amount: 0.1, every: 100 } } }), epochs: 1000 }),
    ),
    ...[10, 100, 1000].map((batch) =>
      refused(`a batch of ${batch} from 4 rows`, "data/short-batch", () => fitted({ batch })),
    ),
  ];
}

export const numpyProofs: readonly Proof[] = [
  {
    id: "sys.numpy",
    doc: "the NumPy programs of tutorials, corrected, with their values; the originals' faults raise named errors",
    run: async () => [...byHand(), ...(await decays()), ...(await hundredRows()), ...losses(), ...faults()],
  },
];
