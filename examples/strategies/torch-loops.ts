// PyTorch's loops: a net of 10, 20 and 1 with a rectifier, by SGD, with momentum, and with an l2 penalty (its weight_decay).
import { dense, fit, meanSquaredError, NumpyRandom, sequential, sgd } from "athanor";

const random = new NumpyRandom(0);
const x = Array.from({ length: 100 }, () => random.randn(10));
const data = { x, y: x.map(([a, b]) => [a! * b!]) };

const optimizers = {
  "SGD(lr=0.01)": sgd({ lr: 0.01 }),
  "SGD(lr=0.01, momentum=0.9)": sgd({ lr: 0.01, momentum: 0.9 }),
  "SGD(lr=0.01, momentum=0.9, weight_decay=5e-4)": sgd({ lr: 0.01, momentum: 0.9, l2: 5e-4 }),
};
for (const [name, optimizer] of Object.entries(optimizers)) {
  const model = sequential([dense(20, "relu"), dense(1)]);
  console.log(name);
  for await (const { epoch, loss } of fit(model, data, {
    loss: meanSquaredError,
    optimizer,
    batch: "all",
    epochs: 100,
  })) {
    if (epoch % 20 === 0) console.log(`epoch ${epoch}, loss ${loss.toFixed(4)}`);
  }
}
