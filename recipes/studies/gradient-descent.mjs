// The three forms of gradient descent: all rows, some rows, one row for each update. All see the same 4,000 rows in all.
import { study, tuned } from "./study.mjs";
import { excessLoss } from "./valley.mjs";

const form = (batch, steps) => {
  const run = (lr, seed) => excessLoss({ lr }, { batch, epochs: 10, seed });
  const rate = tuned([0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9], run);
  return async (seed) => ({ "excess loss": await run(await rate, seed), rate: await rate, updates: steps });
};

await study("Ten passes over 400 rows, each form at the best of seven rates:", {
  "all 400 rows": form("all", 10),
  "20 rows": form(20, 200),
  "1 row": form(1, 4000),
});
