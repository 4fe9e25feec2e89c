// A line through a hundred noisy rows by gradient descent on all of them at once: it ends at the least-squares solution.
import { fit, Linear, meanSquaredError, NumpyRandom, sgd } from "athanor";

const random = new NumpyRandom(0);
const x = random.rand(100);
const noise = random.randn(100);
const data = { x: x.map((value) => [value]), y: x.map((value, row) => [value - 2 + noise[row]!]) };

const model = await fit(new Linear(1, 1), data, {
  loss: meanSquaredError,
  optimizer: sgd({ lr: 0.1 }),
  batch: "all",
  epochs: 10_000,
  precision: "f64",
  parameters: { weight: [[0]], bias: [0] },
});
// 0.93693502, -1.77784892
console.log(...[...model.parameters.values()].map(({ data }) => data[0]));
