// What momentum does on a narrow valley, where plain descent either crawls along or bounces across.
import { study, tuned } from "./study.mjs";
import { excessLoss } from "./valley.mjs";

const rule = (settings) => {
  const run = (lr, seed) => excessLoss({ lr, ...settings }, { batch: "all", epochs: 100, seed });
  const rate = tuned([0.01, 0.03, 0.1, 0.3, 0.6, 0.9, 1.2], run);
  return async (seed) => ({ "excess loss": await run(await rate, seed), rate: await rate });
};

await study("A hundred updates on all rows, each rule at the best of six rates:", {
  plain: rule({}),
  "momentum 0.9": rule({ momentum: 0.9 }),
  "Nesterov 0.9": rule({ momentum: 0.9, nesterov: true }),
});
