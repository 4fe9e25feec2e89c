// Random moments for the slow tests: others in each run, and the same again by demand.
import { RandomStream } from "../src/base/index.ts";

/** A stream of its own for one test. Its seed is printed; TEST_SEED=n makes that one again. */
export function randomMoments(name: string): RandomStream {
  const seed = Number(process.env.TEST_SEED ?? Date.now() % 2 ** 32);
  console.info(`${name}: TEST_SEED=${seed}`);
  return new RandomStream(seed, name);
}
