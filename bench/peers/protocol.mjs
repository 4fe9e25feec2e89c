// How a peer's process is spoken to: a JSON line when it is ready, then a JSON line for every request. See README.md.
import { createInterface } from "node:readline";

export const answer = (fields) => process.stdout.write(`${JSON.stringify(fields)}\n`);

/** The requests on stdin, until it ends. */
export async function* requests() {
  for await (const line of createInterface({ input: process.stdin })) yield JSON.parse(line);
}

/** Times `step()` for about `seconds`, at least `least` times: median, best and CPU time (all threads) in ms. */
export async function measure(step, seconds, least) {
  const times = [];
  const until = performance.now() + 1000 * seconds;
  const before = process.cpuUsage();
  while (times.length < least || performance.now() < until) {
    const started = performance.now();
    await step();
    times.push(performance.now() - started);
  }
  const { user, system } = process.cpuUsage(before);
  times.sort((a, b) => a - b);
  const cpuMs = (user + system) / 1000 / times.length;
  return { medianMs: times[times.length >> 1], bestMs: times[0], cpuMs, steps: times.length };
}

/** Warms up, says that it is ready, and times the step whenever asked to. */
export async function serveSteps(step, ready) {
  const started = performance.now();
  const firstLoss = await step();
  const firstStepMs = performance.now() - started;
  await step();
  answer({ ready: true, firstStepMs, firstLoss, ...ready });
  for await (const { seconds, least } of requests()) answer(await measure(step, seconds, least));
}
