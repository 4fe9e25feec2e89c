// Functions at the points where they are easy to get wrong, on the reference engine.
import { test } from "vitest";
import { trace } from "../../src/core/index.ts";
import { assertClose } from "../support/close.ts";
import { runReference } from "../support/run-reference.ts";
import { specialFeeds, specialValues } from "../support/special-values.ts";

test.each(specialValues)("$name", (special) => {
  for (const dtype of ["f64", "f32"] as const) {
    const feeds = specialFeeds(special, dtype);
    const graph = trace(feeds, (inputs) => special.compute(...Object.values(inputs)), { floatDType: dtype });
    for (const optimize of [true, false])
      assertClose(runReference(graph, feeds, { optimize }).result!, special.expected, { what: dtype });
  }
});
