// Random graphs: the optimizer, fusion, strides, in-place writing, guarded commits and recomputation change no bit of any result.
import { expect, test } from "vitest";
import { RandomStream } from "../../src/base/index.ts";
import { waitingIn } from "../../src/compiler/index.ts";
import { amount } from "../amount.ts";
import { checkCompilation } from "../support/check-compilation.ts";
import { randomProgram } from "../support/random-graph.ts";

test.each(Array.from({ length: amount(150, 50) }, (_, seed) => seed))("graph %i", (seed) => {
  checkCompilation(randomProgram(seed));
});

/** Random numbers of nodes of every kind of work, whichever of them a compilation finds waiting. */
function randomRecompute(seed: number): ReadonlyMap<string, number> {
  const random = new RandomStream(seed, "recompute");
  return Object.assign(new Map<string, number>(), {
    get: (work: string) =>
      random.below(
        4,
        [...work].reduce((hash, letter) => (31 * hash + letter.charCodeAt(0)) % 65521, 0),
      ),
  });
}

test("what is computed again is what it was, whatever is chosen", () => {
  let waiting = 0;
  for (let seed = 1000; seed < 1000 + amount(100, 40); seed++) {
    const program = randomProgram(seed, { size: 40 });
    waiting += waitingIn(program.graph).length;
    checkCompilation(program, { recompute: randomRecompute(seed) });
  }
  expect(waiting).toBeGreaterThan(40); // there is something to choose from
});
