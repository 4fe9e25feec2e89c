// The learning rate held, and lowered every 100 steps: a schedule is part of the optimizer, and its first change is at step 100.
import { fit, Linear, meanSquaredError, NumpyRandom, sgd } from "athanor";

const data = { x: [[1], [2], [3], [4]], y: [[2], [4], [6], [8]] };
const [W, b] = new NumpyRandom(0).randn(2) as [number, number];

const rates = {
  "0.01": 0.01,
  "0.1 × 0.9": { step: { peak: 0.1, factor: 0.9, every: 100 } },
  "0.1 × 0.5": { step: { peak: 0.1, factor: 0.5, every: 100 } },
};
for (const [name, lr] of Object.entries(rates)) {
  const model = await fit(new Linear(1, 1), data, {
    loss: meanSquaredError,
    optimizer: sgd({ lr }),
    batch: "all",
    epochs: 1000,
    precision: "f64",
    parameters: { weight: [[W]], bias: [b] },
  });
  const values = [...model.parameters.values()].map(({ data }) => data[0]);
  // W 1.9926967095706, 1.9999999995967, 1.9996521695259
  console.log(`${name}:`, ...values, await model.evaluate(data));
}
