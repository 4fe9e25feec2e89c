// A fair comparison of batch sizes: each from the same start, with the same number of rows seen, judged on all rows, over several seeds.
import { fit, Linear, meanSquaredError, RandomStream, sgd } from "athanor";

const random = new RandomStream(1, "rows");
const x = Array.from({ length: 1000 }, (_, row) => [random.normal(row)]);
const data = { x, y: x.map(([value], row) => [2 * value! + 1 + 0.1 * random.normal(row, 1)]) };

for (const batch of [1, 10, 100, 1000]) {
  const losses: number[] = [];
  for (const seed of [1, 2, 3]) {
    const model = await fit(new Linear(1, 1), data, {
      loss: meanSquaredError,
      optimizer: sgd({ lr: 0.01 }),
      batch,
      epochs: 2,
      seed,
      precision: "f64",
      parameters: { weight: [[0]], bias: [0] },
    });
    losses.push(await model.evaluate(data));
  }
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  console.log(
    `batch ${batch}: ${2000 / batch} steps, loss ${mean.toFixed(4)}, from ${Math.min(...losses).toFixed(4)} to ${Math.max(...losses).toFixed(4)}`,
  );
}
