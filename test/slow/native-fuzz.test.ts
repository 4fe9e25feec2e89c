// The engine tier's fuzzing with large counts. `npm run test:full`, and by hand against a sanitized build:
//   node scripts/build-native.mjs --sanitize address
//   ATHANOR_TEST_ADDON=native/build/address/native/build/Release/athanor.node with the sanitizer's runtime preloaded
import { expect, it } from "vitest";
import { fuzzEntries, fuzzPlans } from "../engine/native-fuzz.ts";

it("a million calls with any arguments end in a result or an exception (X1)", async () => {
  for (let seed = 100; seed < 150; seed++) expect((await fuzzEntries(20_000, seed)).thrown).toBeGreaterThan(5_000);
});

it("half a million mutated plans end in a result or an exception", async () => {
  for (let seed = 200; seed < 250; seed++) expect((await fuzzPlans(10_000, seed)).loaded).toBeGreaterThan(100);
});
