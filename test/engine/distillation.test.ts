// Knowledge distillation: the loss is nn's, a student of another size follows its teacher, goes on exactly, and what does not fit is refused.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { addTeacher, distilledTask } from "../../src/align/index.ts";
import { load, train } from "../../src/api/index.ts";
import { fromNumbers, toNumbers } from "../../src/base/index.ts";
import { loadLatest } from "../../src/checkpoint/index.ts";
import { gradients, type Tensor } from "../../src/core/index.ts";
import { evaluate } from "../../src/engine/index.ts";
import { distillationLoss, functionalCall, Linear, type Module } from "../../src/nn/index.ts";
import type { RecipeInput } from "../../src/recipe/index.ts";
import { classificationTask } from "../../src/train/index.ts";
import { makeText } from "../support/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "athanor-distil-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

const text: RecipeInput = {
  data: { rows: [makeText(8000)] },
  tokenizer: "char",
  model: { gpt: { layers: 2, heads: 2, width: 32, context: 16, dropout: 0.1 } },
  optimizer: { adamw: { lr: 5e-3 } },
  batch: { size: 16, lanes: 2 },
  steps: 60,
  seed: 3,
  eval: { every: 20 },
  checkpoint: { every: 10 },
  engine: { name: "native" },
};
const student = { gpt: { layers: 1, heads: 2, width: 16, context: 16, dropout: 0.1 } };
const distillation = { teacher: at("teacher"), temperature: 2, alpha: 0.7 };

beforeAll(async () => void (await train(text, { runDir: at("teacher") }).outcome), 120_000);

test("the task's loss and its gradient are those of distillationLoss, evaluation those of the task", () => {
  const draw = (shape: number[], from: number) =>
    fromNumbers(
      "f64",
      shape,
      Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(from + 1.7 * i)),
    );
  const task = distilledTask(classificationTask({ x: { dtype: "f64", shape: [3] } }), { ...distillation, alpha: 0.3 });
  const feeds = {
    x: draw([4, 3], 1),
    targets: fromNumbers("i32", [4], [0, 4, -1, 2]),
    w: draw([3, 5], 2),
    t: draw([3, 5], 3),
  };
  const both = (mode: "train" | "eval") =>
    evaluate(
      (x, targets, w, t) => {
        const model: Module = new Linear(3, 5, { bias: false });
        addTeacher(model, new Linear(3, 5, { bias: false }));
        const weights = new Map([
          ["weight", w!],
          ["teacher.weight", t!],
        ]);
        const { sum, count } = functionalCall(model, weights, () => task.loss(model, { x: x!, targets: targets! }));
        const options = { temperature: 2, alpha: mode === "train" ? 0.3 : 0 };
        const wanted = distillationLoss(x!.matmul(w!), x!.matmul(t!), targets!, options);
        const [own, theirs] = [sum.div(count), wanted].map((loss) => gradients([loss], [w!])[0]!) as [Tensor, Tensor];
        return { loss: sum.div(count), wanted, gap: own.sub(theirs).abs().max(), size: theirs.abs().max() };
      },
      feeds,
      { mode },
    ) as { readonly [name: string]: { readonly data: ArrayLike<number> } };
  for (const mode of ["train", "eval"] as const) {
    const result = both(mode);
    expect(result.loss!.data[0]).toBeCloseTo(result.wanted!.data[0]!, 12);
    expect(result.gap!.data[0]).toBeLessThan(1e-12);
    expect(result.size!.data[0]).toBeGreaterThan(0.1);
  }
});

test("a student is taught, with the teacher's weights as they are, and a paused run ends alike", async () => {
  const recipe = { ...text, model: student, loss: { distillation } };
  const whole = await train(recipe, { runDir: at("whole") }).outcome;
  const [taught, teacher] = await Promise.all(
    ["whole", "teacher"].map(async (run) => (await loadLatest(at(run)))!.checkpoint.tensors),
  );
  const names = [...taught!.keys()].filter((name) => name.startsWith("teacher."));
  expect(names.length).toBeGreaterThan(20);
  for (const name of names)
    expect(toNumbers(taught!.get(name)!), name).toEqual(toNumbers(teacher!.get(name.slice("teacher.".length))!));
  expect([...taught!.keys()].some((name) => /^adam\..*teacher/.test(name))).toBe(false);
  await train(recipe, { runDir: at("parts"), until: 25 }).outcome;
  const rest = await train(recipe, { runDir: at("parts"), resume: true }).outcome;
  expect([rest.hash, rest.evalLoss]).toEqual([whole.hash, whole.evalLoss]);
  expect(whole.evalLoss).toBeLessThan(2.9); // ln 28 is 3.3
  expect((await (await load(at("whole"))).generate("the ", { maxTokens: 5 })).text).toHaveLength(5);
});

test("a classifier is taught", async () => {
  const rows = Array.from({ length: 80 }, (_, row) => ({
    text: `${row % 2 ? "good" : "bad"} ${row % 7}`,
    label: row % 2 ? "yes" : "no",
  }));
  const recipe: RecipeInput = {
    ...{ data: { rows }, model: { textClassifier: { width: 8, hidden: [8], context: 12 } } },
    ...{ optimizer: { adamw: { lr: 1e-2 } }, batch: 16, steps: 60, eval: { every: 60 }, engine: { name: "native" } },
  };
  await train(recipe, { runDir: at("judge") }).outcome;
  const loss = { distillation: { teacher: at("judge"), alpha: 1 } };
  const pupil = await train({ ...recipe, loss }, { runDir: at("pupil") });
  expect(await pupil.predict("good 3")).toMatchObject({ label: "yes" });
});

test("a teacher of other words, or none, is refused", async () => {
  const refused = (changes: object) => train({ ...text, ...changes }, { runDir: at("refused") }).outcome;
  const other = { data: { rows: [`${makeText(8000)} #`] }, loss: { distillation } };
  await expect(refused(other)).rejects.toThrow(/align\/teacher.*\n.*teacher\n.*\n.*tokenizer\.json/);
  await expect(refused({ loss: { distillation: { teacher: at("nothing") } } })).rejects.toThrow(
    /\[checkpoint\/.*\n.*nothing/,
  );
  await expect(refused({ loss: { distillation: { ...distillation, alpha: 2 } } })).rejects.toThrow(
    "loss.distillation.alpha",
  );
  await expect(refused({ loss: "crossEntropy" })).rejects.toThrow("[config/unread]");
});
