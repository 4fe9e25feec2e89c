// Three forms of gradient descent, which differ in one setting: all rows at a step, one row, a few.
import { fit, Linear, meanSquaredError, RandomStream, sgd } from "athanor";

const random = new RandomStream(1, "rows");
const x = Array.from({ length: 64 }, (_, row) => [random.normal(row)]);
const data = { x, y: x.map(([value], row) => [2 * value! + 0.1 * random.normal(row, 1)]) };

const forms = { "gradient descent": "all", stochastic: 1, "mini-batch": 16 } as const;
for (const [name, batch] of Object.entries(forms)) {
  const ends: (number | undefined)[] = [];
  for (const seed of [1, 2, 3]) {
    const options = {
      loss: meanSquaredError,
      optimizer: sgd({ lr: 0.02 }),
      epochs: 20,
      precision: "f64",
      batch,
    } as const;
    const start = { weight: [[0]], bias: [0] };
    const model = await fit(new Linear(1, 1), data, { ...options, parameters: start, seed });
    ends.push(model.parameters.get("weight")!.data[0] as number);
  }
  console.log(`${name}:`, ...ends); // with all rows, the same for every order of them
}
