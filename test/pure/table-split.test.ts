// The seeded split against the one written again in test/golden/table_baselines.py: the baselines hold for these rows only.
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { splitRows } from "../../src/data/index.ts";
import golden from "../golden/table-baselines.json" with { type: "json" };

test.each(["abalone", "winequality-red"] as const)("%s: the same rows are held out for every seed", (name) => {
  const { rows, seeds } = golden.tables[name];
  for (const { seed, heldOut, splitHash } of seeds) {
    const { validation } = splitRows(rows, { validation: golden.heldOut, seed });
    expect(validation).toHaveLength(heldOut);
    expect(createHash("sha256").update(validation.join()).digest("hex")).toBe(splitHash);
  }
});
