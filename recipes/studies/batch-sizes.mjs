// Batch sizes from one row to all of them, at equal samples: what a larger batch costs, and what it saves.
import { crossEntropy, fit, sgd } from "athanor";
import { judge, net, rings } from "./rings.mjs";
import { study, tuned } from "./study.mjs";

const [rows, epochs] = [1024, 5];

const size = (batch) => {
  const run = async (lr, seed) => {
    const [train, test] = [rings(rows, seed), rings(4000, seed, { name: "test" })];
    const started = performance.now();
    const options = { loss: crossEntropy, optimizer: sgd({ lr }), batch, epochs, seed };
    const model = await fit(net(), train, options).then(undefined, diverged);
    const seconds = (performance.now() - started) / 1000;
    return model === undefined ? { "log loss": Number.POSITIVE_INFINITY } : { ...(await judge(model, test)), seconds };
  };
  const rate = tuned([0.01, 0.03, 0.1, 0.3, 1, 3], async (lr, seed) => (await run(lr, seed))["log loss"]);
  return async (seed) => ({ ...(await run(await rate, seed)), rate: await rate, updates: (rows / batch) * epochs });
};

function diverged(error) {
  if (error.code !== "train/non-finite") throw error;
}

await study(`${epochs} passes over ${rows} rows, each size at the best of six rates:`, {
  "1 row": size(1),
  "8 rows": size(8),
  "64 rows": size(64),
  "256 rows": size(256),
  "all rows": size(rows),
});
