// Says whether this tier ran at all. Without an addon the other files of this folder are left out, and this one says why.
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { loadAddon } from "../../src/engine/native-addon.ts";

test("the native addon is built and loads", ({ skip }) => {
  skip(
    !existsSync("native/build/Release/athanor.node"),
    "the engine tier needs the native addon: npm run build:native",
  );
  const loaded = loadAddon();
  expect(loaded.addon, "reason" in loaded ? loaded.reason : "").toBeDefined();
});
