// Says whether this tier ran at all. Without an addon the other files of this folder are left out, and this one says why.
import { existsSync, readdirSync } from "node:fs";
import { expect, test } from "vitest";

test("the native addon is built", ({ skip }) => {
  const built = existsSync("native/build") ? readdirSync("native/build", { recursive: true }) : [];
  skip(built.length === 0, "the engine tier needs the native addon: npm run build:native");
  expect(built.filter((name) => `${name}`.endsWith(".node"))).not.toEqual([]);
});
