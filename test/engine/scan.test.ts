// Scans on the native engine: values and gradients as the reference engine's, the same bytes for every number of threads, a plan whose memory does
// not grow where nothing is kept, faults and guards inside of loops, times by instruction; loops that no plan may have.
import { describe, expect, test } from "vitest";
import { fromNumbers, type HostArray } from "../../src/base/index.ts";
import { compile, encodePlan, type Plan } from "../../src/compiler/index.ts";
import { assign, scan, tanh, take, trace, variable, zeros } from "../../src/core/index.ts";
import { ReferenceEngine } from "../../src/engine/index.ts";
import { assertClose } from "../support/close.ts";
import { nativeEngine, runNative } from "../support/run-native.ts";
import { runReference } from "../support/run-reference.ts";
import { feedsIn, loops, traced } from "../support/scan-loops.ts";
import { addon } from "./native-harness.ts";

test.each(Object.entries(loops))("%s", async (_, loop) => {
  const graph = traced(loop, scan, "f32");
  const feeds = feedsIn("f32");
  const wanted = runReference(graph, feeds);
  for (const optimize of [true, false]) {
    const found = await runNative(graph, feeds, { optimize });
    expect(Object.keys(found)).toEqual(Object.keys(wanted));
    for (const [name, value] of Object.entries(wanted))
      assertClose(found[name]!, value, { absolute: 2e-5, relative: 2e-5, what: name });
    const alone = await runNative(graph, feeds, { optimize }, nativeEngine(1));
    for (const [name, value] of Object.entries(found)) expect(alone[name]!.data).toEqual(value.data);
  }
});
