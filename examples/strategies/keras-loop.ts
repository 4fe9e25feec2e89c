// Keras's loop: a classifier of ten classes by Adam in batches, and the loss of each epoch over all its rows.
import { adam, categoricalCrossEntropy, classIds, dense, fit, NumpyRandom, sequential } from "athanor";

const random = new NumpyRandom(0);
const centres = Array.from({ length: 10 }, () => random.randn(20));
const labels = Array.from({ length: 1000 }, (_, row) => row % 10);
const noise = labels.map(() => random.randn(20));
const x = labels.map((label, row) => centres[label]!.map((value, at) => value + noise[row]![at]!));

const model = sequential([dense(64, "relu"), dense(10, "softmax")]);
const fitting = fit(
  model,
  { x, y: classIds(labels) },
  { loss: categoricalCrossEntropy, optimizer: adam({ lr: 1e-3 }), batch: 32, epochs: 10 },
);
for await (const { epoch, loss } of fitting) console.log(`epoch ${epoch}/10, loss ${loss.toFixed(4)}`);

const [first] = await (await fitting).predict(x.slice(0, 1));
console.log(`row 0 is of class ${first!.indexOf(Math.max(...first!))}`);
