// Functions at the points where they are easy to get wrong, on the native engine. Values that are exact stay exact.
import { test } from "vitest";
import { trace } from "../../src/core/index.ts";
import { assertClose } from "../support/close.ts";
import { runNative } from "../support/run-native.ts";
import { specialFeeds, specialValues } from "../support/special-values.ts";

test.each(specialValues)("$name", async (special) => {
  const feeds = specialFeeds(special, "f32");
  const graph = trace(feeds, (inputs) => special.compute(...Object.values(inputs)));
  for (const optimize of [true, false])
    assertClose((await runNative(graph, feeds, { optimize })).result!, special.expected, { relative: 2e-7 });
});
