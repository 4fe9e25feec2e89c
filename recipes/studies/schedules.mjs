// Four learning-rate schedules with the same peak: does it matter that the rate falls, and how it falls?
import { crossEntropy, fit, sgd } from "athanor";
import { judge, net, rings } from "./rings.mjs";
import { study } from "./study.mjs";

const [rows, batch, epochs, peak] = [1000, 10, 20, 0.2];
const steps = (rows / batch) * epochs;

const schedule = (lr) => async (seed) => {
  const optimizer = sgd({ lr, momentum: 0.9 }, { steps });
  const model = await fit(net(), rings(rows, seed), { loss: crossEntropy, optimizer, batch, epochs, seed });
  return await judge(model, rings(4000, seed, { name: "test" }));
};

await study(`${steps} updates, all with the peak ${peak}:`, {
  constant: schedule(peak),
  "steps, ÷ 10 twice": schedule({ step: { peak, factor: 0.1, every: Math.ceil(steps / 3) } }),
  cosine: schedule({ cosine: { peak } }),
  "warm-up and line": schedule({ linear: { peak, warmup: steps / 10 } }),
});
