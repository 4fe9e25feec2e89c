// Regularizers on a task that is made to overfit: 100 rows of 6 columns, of which two say something, a tenth of the labels wrong.
import { adam, crossEntropy, fit } from "athanor";
import { judge, net, rings } from "./rings.mjs";
import { study } from "./study.mjs";

const task = { columns: 6, wrong: 0.1 };

const train =
  ({ rows = 100, widths = [64, 64], rate = 0, epochs = 60, ...settings } = {}) =>
  async (seed) => {
    const data = rings(rows, seed, task);
    const optimizer = adam({ lr: 3e-3, ...settings });
    const options = { loss: crossEntropy, optimizer, batch: 20, epochs: Math.round((epochs * 100) / rows), seed };
    const model = await fit(net(widths, rate), data, options);
    const test = await judge(model, rings(4000, seed, { ...task, name: "test" }));
    return { ...test, "log loss on its rows": (await judge(model, data))["log loss"] };
  };

await study("300 updates:", {
  none: train(),
  "l2 of 0.03": train({ l2: 0.03 }),
  "dropout of 0.4": train({ rate: 0.4 }),
  "a small net": train({ widths: [8] }),
  "a tenth of the updates": train({ epochs: 6 }),
  "ten times the rows": train({ rows: 1000 }),
});
