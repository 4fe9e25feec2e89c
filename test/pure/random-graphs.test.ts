// Random graphs: the optimizer, fusion, strides, in-place writing and guarded commits change no bit of any result.
import { test } from "vitest";
import { amount } from "../amount.ts";
import { checkCompilation } from "../support/check-compilation.ts";
import { randomProgram } from "../support/random-graph.ts";

test.each(Array.from({ length: amount(150, 50) }, (_, seed) => seed))("graph %i", (seed) => {
  checkCompilation(randomProgram(seed));
});
