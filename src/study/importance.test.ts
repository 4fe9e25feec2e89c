// What permutation importance refuses. That it is right: athanor prove interpret.importance.
import { expect, test } from "vitest";
import type { TrainedModel } from "../api/index.ts";
import { permutationImportance } from "./importance.ts";

const model = (encoder: object | undefined) =>
  ({ encoder, folder: "run", description: { task: "classification" } }) as TrainedModel;

test("texts have no columns, and two rows no others to exchange with", async () => {
  await expect(permutationImportance(model(undefined), [])).rejects.toThrow("only columns of a table");
  const rows = { features: new Float32Array(2), targets: new Float32Array(2) };
  await expect(permutationImportance(model({}), rows)).rejects.toThrow("2 rows, 10 repeats");
  const enough = { features: new Float32Array(3), targets: new Float32Array(3) };
  await expect(permutationImportance(model({}), enough, { repeats: 0 })).rejects.toThrow("3 rows, 0 repeats");
});
