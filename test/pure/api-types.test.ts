// Types of predictions follow from the records: checked by the compiler, and run once on the reference engine.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, expectTypeOf, test } from "vitest";
import { train } from "../../src/index.ts";

interface Message {
  readonly [column: string]: string;
  readonly text: string;
  readonly label: "ham" | "spam";
}

interface Flower {
  readonly petal: number;
  readonly kind: "iris" | "rose";
}

test("a classifier of records answers with the record's labels", async () => {
  const folder = mkdtempSync(join(tmpdir(), "athanor-types-"));
  try {
    const rows: Flower[] = Array.from({ length: 60 }, (_, at) => ({
      petal: (at % 2) * 4 + (at % 5) / 10,
      kind: at % 2 ? "rose" : "iris",
    }));
    const model = await train(
      {
        data: { rows, target: "kind" },
        model: { mlp: { hidden: [] } },
        optimizer: { adamw: { lr: 0.1 } },
        steps: 60,
        eval: { every: 0 },
        engine: { name: "reference" },
      },
      { runsRoot: folder },
    );
    const answer = await model.predict({ petal: 4.2 });
    if (!("label" in answer)) throw new Error("a classifier answers with a label");
    expectTypeOf(answer.label).toEqualTypeOf<"iris" | "rose">();
    expectTypeOf(answer.probabilities).toEqualTypeOf<{ readonly [label in "iris" | "rose"]: number }>();
    // @ts-expect-error a column that the records do not have
    await expect(model.predict({ petals: 1 })).rejects.toThrow(/data\/unknown-column[\s\S]*petal/);
    expect(answer.label).toBe("rose");
    expect(answer.probabilities.rose).toBeGreaterThan(0.9);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("labels of messages", () => {
  const start = () => train({ data: { rows: [] as Message[], target: "label" }, model: { textClassifier: {} } });
  expectTypeOf<ReturnType<typeof start>>().resolves.toHaveProperty("predict");
});
