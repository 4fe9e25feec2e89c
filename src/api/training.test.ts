// A run from code: what it saves and records, how it is watched, stopped, continued, repeated, and how its faults arrive.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import { findCheckpoints, loadLatest, lockRun, type RunLock, readLock, saveCheckpoint } from "../checkpoint/index.ts";
import type { RecipeInput } from "../recipe/index.ts";
import { type RunEvent, readEvents, readRun } from "../track/index.ts";
import { evaluateRun, reproduceRun } from "./again.ts";
import { load } from "./model.ts";
import { heldOutTask } from "./run-tasks.ts";
import { train } from "./train.ts";
import { version } from "./version.ts";

let folder: string;
let run: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-api-"));
  run = join(folder, "run");
  writeFileSync(
    join(folder, "table.csv"),
    `x,z,kind\n${Array.from({ length: 80 }, (_, at) => `${at % 9},${at % 4},${at % 9 > 4 ? "big" : "small"}`).join("\n")}\n`,
  );
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const recipe = (changes: Partial<RecipeInput> = {}): RecipeInput => ({
  data: { path: join(folder, "table.csv"), target: "kind" },
  model: { mlp: { hidden: [6], dropout: 0.1 } },
  optimizer: { adamw: { lr: 0.02 } },
  batch: { size: 8, lanes: 2 },
  steps: 12,
  eval: { every: 6 },
  checkpoint: { every: 4 },
  engine: { name: "reference" },
  ...changes,
});

const stepsSaved = async () => (await findCheckpoints(run)).map(({ step }) => step);

describe("a run", () => {
  test("tells its events in order, and ends as its record says", async () => {
    const events: RunEvent[] = [];
    const training = train(recipe(), { runDir: run, onEvent: (event) => void events.push(event) });
    const { hash, step, ending } = await training.outcome;
    expect(events.map((event) => `${event.type} ${event.step}`).join(", ")).toBe(
      "start 0, step 1, step 2, step 3, step 4, checkpoint 4, step 5, step 6, eval 6, step 7, step 8, checkpoint 8, step 9, step 10, step 11, step 12, eval 12, checkpoint 12, end 12",
    );
    expect([step, ending]).toEqual([12, "finished"]);
    expect((await readRun(run)).record).toMatchObject({ status: "finished", step: 12, result: { hash } });
    expect(await readLock(run)).toBeUndefined();
  });

  test.each([0, 5])("of %i steps without checkpoints has one at its end, which load() finds", async (steps) => {
    const model = await train(recipe({ steps, checkpoint: { every: 0 }, eval: { every: 0 } }), { runDir: run });
    expect(await stepsSaved()).toEqual([steps]);
    expect(await (await load(run)).predict({ x: 1, z: 1 })).toEqual(await model.predict({ x: 1, z: 1 }));
  });

  test("keeps figures of an evaluation only with the weights that it was made on", async () => {
    await train(recipe({ checkpoint: { every: 4, keep: 5 } }), { runDir: run }).outcome;
    const figures = (await findCheckpoints(run)).map(({ step, manifest }) => [step, "evalLoss" in manifest.metrics]);
    expect(figures).toEqual([
      [4, false],
      [8, false],
      [12, true],
    ]);
  });
});

test("early stopping ends a run with the state of its best evaluation, which load() finds", async () => {
  const kinds = ["a", "b"];
  const rows = Array.from({ length: 80 }, (_, at) => ({
    x: at % 9,
    z: (at * 7) % 11,
    kind: kinds[(at * at) % 7 > 2 ? 1 : 0]!,
  }));
  const events: RunEvent[] = [];
  const notes: string[] = [];
  const stopping = {
    data: { rows, target: "kind", heldOut: 0.3 },
    model: { mlp: { hidden: [32] } },
    optimizer: { adam: { lr: 0.1 } },
    steps: 400,
    eval: { every: 3, patience: 4 },
    checkpoint: { every: 0 },
    engine: { name: "reference" },
  } as const;
  const training = train(stopping, {
    runDir: run,
    onEvent: (event) => void events.push(event),
    onNote: (note) => notes.push(note),
  });
  const { step, ending, evalLoss, hash } = await training.outcome;
  expect(ending).toBe("finished");
  expect(step).toBeLessThan(400);
  const evaluations = events.flatMap((event) => (event.type === "eval" ? [event] : []));
  const [best] = [...evaluations].sort((a, b) => a.loss - b.loss);
  expect(step).toBe(best!.step + 4 * 3);
  expect(evalLoss).toBe(best!.loss);
  expect(notes.at(-1)).toBe(
    `step ${step}: the state of step ${best!.step}, whose held-out loss was the lowest, is restored`,
  );
  const saved = await findCheckpoints(run);
  expect(saved.map((one) => one.step)).toEqual([best!.step, step]);
  const whole = await train(
    {
      ...recipe(),
      ...((await readRun(run)).record.recipe as object),
      data: { rows, target: "kind", heldOut: 0.3 },
      steps: best!.step,
    },
    { runDir: join(folder, "short") },
  ).outcome;
  expect(whole.hash).toBe(hash);

  // it went back: asked again it is over, and there is no later state to train on from
  const again = { runDir: run, resume: true };
  expect((await train(stopping, again).outcome).hash).toBe(hash);
  for (const longer of [{ steps: 500 }, { eval: { every: 3, patience: 9 } }])
    await expect(train({ ...stopping, ...longer }, again).outcome).rejects.toMatchObject({ code: "resume/stopped" });
  expect((await readRun(run)).record.status).toBe("finished");
});

describe("stopped and continued", () => {
  test("by a signal at any step: the same bytes as uninterrupted", async () => {
    const whole = await train(recipe(), { runDir: join(folder, "whole") }).outcome;
    for (const at of [1, 5, 6, 11]) {
      run = join(folder, `cut-${at}`);
      const stop = new AbortController();
      const onEvent = (event: RunEvent) => void (event.type === "step" && event.step === at && stop.abort());
      const first = await train(recipe(), { runDir: run, signal: stop.signal, onEvent }).outcome;
      expect([first.ending, first.step]).toEqual(["interrupted", at]);
      expect((await readRun(run)).record.status).toBe("interrupted");
      const second = await train(recipe(), { runDir: run, resume: true }).outcome;
      expect(second).toMatchObject({ ending: "finished", hash: whole.hash, evalLoss: whole.evalLoss });
      expect((await readEvents(run, "step")).map(({ step }) => step)).toEqual(
        Array.from({ length: 12 }, (_, i) => i + 1),
      );
      expect((await readRun(run)).record).toMatchObject({ status: "finished", starts: [{ step: 0 }, { step: at }] });
    }
  });

  test("before the first step: the beginning is saved, and the run goes on from it", async () => {
    const first = await train(recipe({ checkpoint: { every: 0 } }), { runDir: run, signal: AbortSignal.abort() })
      .outcome;
    expect([first.ending, first.step, await stepsSaved()]).toEqual(["interrupted", 0, [0]]);
    const whole = await train(recipe(), { runDir: join(folder, "whole") }).outcome;
    expect((await train(recipe(), { runDir: run, resume: true }).outcome).hash).toBe(whole.hash);
  });

  test("with more steps: as if asked for at once, and reproducible", async () => {
    await train(recipe({ steps: 5 }), { runDir: run }).outcome;
    const raised = await train(recipe(), { runDir: run, resume: true }).outcome;
    expect(raised.hash).toBe((await train(recipe(), { runDir: join(folder, "whole") }).outcome).hash);
    expect((await reproduceRun(run, { runDir: join(folder, "again") })).same).toBe(true);
  });

  test.each<[string, Partial<RecipeInput>, Partial<RecipeInput>, string]>([
    ["fewer steps than are done", {}, { steps: 10 }, "resume/steps"],
    ["another seed", {}, { seed: 5 }, "resume/recipe"],
    [
      "steps that change the rates of the past",
      { optimizer: { adamw: { lr: { cosine: { peak: 0.1, floor: 0.01 } } } } },
      { optimizer: { adamw: { lr: { cosine: { peak: 0.1, floor: 0.01 } } } }, steps: 30 },
      "resume/schedule",
    ],
    ["another engine", {}, { engine: { name: "native" } }, "engine/isa"],
  ])("%s is refused, and the lock given back", async (_, first, second, code) => {
    await train(recipe(first), { runDir: run }).outcome;
    await expect(train(recipe(second), { runDir: run, resume: true })).rejects.toMatchObject({ code });
    expect(await readLock(run)).toBeUndefined();
    expect((await readRun(run)).record.status).toBe("finished");
  });

  test("another version of the code is said", async () => {
    await train(recipe({ steps: 5 }), { runDir: run }).outcome;
    const { path, manifest, ...content } = (await loadLatest(run))!.checkpoint;
    rmSync(path, { recursive: true });
    await saveCheckpoint(run, {
      ...content,
      tensors: [...content.tensors].map(([name, tensor]) => ({ name, ...tensor })),
      files: Object.fromEntries(content.files),
      provenance: { ...manifest.provenance, codeVersion: "0.0.1" },
    });
    const notes: string[] = [];
    await train(recipe(), { runDir: run, resume: true, onNote: (text) => void notes.push(text) }).outcome;
    expect(notes).toContain(`the checkpoint was saved by Athanor 0.0.1; this is ${version}`);
  });

  test("other data is refused", async () => {
    await train(recipe(), { runDir: run }).outcome;
    writeFileSync(join(folder, "table.csv"), `${readFileSync(join(folder, "table.csv"), "utf8")}3,3,small\n`);
    await expect(train(recipe(), { runDir: run, resume: true })).rejects.toMatchObject({ code: "resume/data" });
  });
});

describe("weights of another run", () => {
  test("of another shape are refused with all that differs, and no folder is made", async () => {
    await train(recipe(), { runDir: run }).outcome;
    const wider = train(recipe({ model: { mlp: { hidden: [7] } } }), { runDir: join(folder, "new"), initFrom: run });
    await expect(wider).rejects.toMatchObject({
      code: "model/tensor",
      got: expect.stringMatching(/\[2,6\], wanted f32\[2,7\]/),
    });
    await expect(readRun(join(folder, "new"))).rejects.toMatchObject({ code: "run/missing" });
  });

  test("of another vocabulary are refused, with the tokenizer to use", async () => {
    const text = (corpus: string): RecipeInput => ({
      data: { rows: [corpus.repeat(40)] },
      model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } },
      steps: 1,
      eval: { every: 0 },
      engine: { name: "reference" },
    });
    await train(text("abcdefg "), { runDir: run }).outcome;
    const error = await train(text("hijklmn "), { runDir: join(folder, "new"), initFrom: run }).outcome.catch(
      (one) => one,
    );
    expect(error).toMatchObject({ code: "model/vocabulary", fix: expect.stringContaining("step-1/tokenizer.json") });
    for (const field of [error.where, error.expected, error.got]) expect(field).toBeTruthy();
  });

  test("of learnt positions the first are taken for a shorter context; a longer one is refused", async () => {
    const text = (context: number): RecipeInput => ({
      data: { rows: ["abcdefg ".repeat(40)] },
      model: { gpt: { layers: 1, heads: 1, width: 8, context } },
      steps: 0,
      eval: { every: 0 },
      engine: { name: "reference" },
    });
    const positions = async (at: string) => (await loadLatest(at))!.checkpoint.tensors.get("wpe.weight")!;
    await train(text(8), { runDir: run }).outcome;
    await train({ ...text(5), seed: 9 }, { runDir: join(folder, "short"), initFrom: run }).outcome;
    const [all, first] = [await positions(run), await positions(join(folder, "short"))];
    expect(first.shape).toEqual([5, 8]);
    expect([...toNumbers(first)]).toEqual([...toNumbers(all).subarray(0, 5 * 8)]);
    const longer = train(text(9), { runDir: join(folder, "long"), initFrom: run }).outcome;
    await expect(longer).rejects.toMatchObject({ code: "model/tensor", got: expect.stringContaining("wpe.weight") });
  });
});

describe("faults", () => {
  test.each(["start", "step", "checkpoint", "end"])("an error in onEvent at %s ends the run with it", async (type) => {
    const fault = new Error("of the user");
    const onEvent = (event: RunEvent) => {
      if (event.type === type) throw fault;
    };
    await expect(train(recipe(), { runDir: run, onEvent }).outcome).rejects.toBe(fault);
    expect((await readRun(run)).record).toMatchObject({ status: "failed", error: { code: "run/failed" } });
    expect(await readLock(run)).toBeUndefined();
    expect((await readEvents(run, "error")).at(-1)?.message).toBe("of the user");
  });

  test("reach whoever awaits, whoever iterates, and nobody else", async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => void unhandled.push(reason);
    process.on("unhandledRejection", listen);
    try {
      const broken = () => train(recipe({ batch: { size: 1000 } }), { runDir: run });
      await expect(broken()).rejects.toMatchObject({ code: "data/short-batch" });
      await expect(collect(broken())).rejects.toMatchObject({ code: "data/short-batch" });
      broken();
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(unhandled).toEqual([]);
    } finally {
      process.off("unhandledRejection", listen);
    }
  });

  test("a run whose lock was taken writes no word more into what is another's now", async () => {
    const notes: string[] = [];
    let heir: { lock: RunLock; record: string; log: string } | undefined;
    const onEvent = async ({ type, step }: RunEvent) => {
      if (type !== "step" || step !== 6) return;
      rmSync(join(run, "run.lock")); // someone mends by hand what was not broken
      heir = { lock: await lockRun(run), record: "the heir's\n", log: "its first line\n" };
      writeFileSync(join(run, "run.json"), heir.record);
      writeFileSync(join(run, "metrics.ndjson"), heir.log);
    };
    const training = train(recipe(), { runDir: run, onEvent, onNote: (text) => void notes.push(text) });
    await expect(training.outcome).rejects.toMatchObject({ code: "run/lock-lost" });
    expect(readFileSync(join(run, "run.json"), "utf8")).toBe(heir!.record);
    expect(readFileSync(join(run, "metrics.ndjson"), "utf8")).toBe(heir!.log);
    await heir!.lock.check();
    await heir!.lock.release();
    expect(notes.join("\n")).toMatch(/\d+ lines of the run's log are lost/);
  });

  test("two runs in one folder: the second is refused", async () => {
    const results = await Promise.allSettled([1, 2].map(() => train(recipe(), { runDir: run }).outcome));
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    await expect(train(recipe(), { runDir: run })).rejects.toMatchObject({ code: "run/exists" });
  });

  test("a folder that is taken, and weights that are not there, are refused before the data is read", async () => {
    mkdirSync(run);
    writeFileSync(join(run, "notes.txt"), "precious");
    const unread = recipe({ data: { path: join(folder, "absent.csv") } });
    await expect(train(unread, { runDir: run })).rejects.toMatchObject({ code: "run/exists" });
    const initFrom = join(folder, "absent");
    await expect(train(unread, { initFrom })).rejects.toMatchObject({ code: "path/missing", where: initFrom });
  });

  test("`latest` beside the runs means the newest: to evaluate, as first weights, to go on", async () => {
    await train(recipe(), { runDir: run }).outcome;
    const latest = join(folder, "latest");
    expect((await evaluateRun(latest)).loss).toBe((await evaluateRun(run)).loss);
    await expect(heldOutTask(run)).rejects.toMatchObject({ code: "model/task", got: "a run of model.mlp" });
    const { folder: second } = await train(recipe(), { runDir: join(folder, "second"), initFrom: latest }).outcome;
    expect((await readRun(second)).record.origin).toBe(run);
    const { outcome } = train(recipe({ steps: 15 }), { runDir: latest, resume: true });
    expect(await outcome).toMatchObject({ folder: second, step: 15 });
  });
});

async function collect(events: AsyncIterable<RunEvent>): Promise<string[]> {
  const types: string[] = [];
  for await (const { type } of events) types.push(type);
  return types;
}

test("several readers see the same events, one may leave, and the model can be awaited too", async () => {
  const training = train(recipe({ steps: 3, eval: { every: 0 } }), { runDir: run });
  const leaving = (async () => {
    for await (const { type } of training) return type;
  })();
  const [one, two, first] = await Promise.all([collect(training), collect(training), leaving]);
  expect(one).toEqual(["start", "step", "step", "step", "checkpoint", "end"]);
  expect(two).toEqual(one);
  expect(first).toBe("start");
  expect((await training).description.task).toBe("classification");
});

test("slots of eight bits are saved and read as they are: a run that was stopped ends in the same bytes", async () => {
  const small = recipe({
    model: { mlp: { hidden: [64, 64] } },
    optimizer: { adamw: { lr: 0.02, slots: "8bit" } },
    steps: 6,
  });
  const whole = await train(small, { runDir: join(folder, "whole") }).outcome;
  const stop = new AbortController();
  const onEvent = ({ type, step }: RunEvent) => void (type === "step" && step === 3 && stop.abort());
  await train(small, { runDir: run, signal: stop.signal, onEvent }).outcome;
  expect(await stepsSaved()).toEqual([3]);
  const { tensors } = (await loadLatest(run))!.checkpoint;
  expect(tensors.get("adam.v.layers.1.weight")).toMatchObject({ dtype: "u8", shape: [64, 64] });
  expect(new Set(tensors.get("adam.v.layers.1.weight")!.data as Uint8Array).size).toBeGreaterThan(50);
  expect((await train(small, { runDir: run, resume: true }).outcome).hash).toBe(whole.hash);
});

test("a run that the clock ended says so, and is reproduced to the step that it came to", async () => {
  const outcome = await train(recipe({ stop: { minutes: 1e-9 } }), { runDir: run }).outcome;
  expect(outcome).toMatchObject({ ending: "finished", reason: "time", step: 1 });
  expect((await readRun(run)).record.result).toMatchObject({ reason: "time" });
  expect(await reproduceRun(run, { runDir: join(folder, "again") })).toMatchObject({ same: true });
  const longer = await train(recipe(), { runDir: run, resume: true }).outcome;
  expect(longer).toMatchObject({ reason: "steps", step: 12 });
});

test.each([
  { adam: { lr: 0.05, average: { ema: { decay: 0.9 } } } },
  { adam: { lr: 0.05, average: { swa: { start: 3, every: 2 } }, freeze: ["layers.0.bias"] } },
  { scheduleFreeSgd: { lr: 0.5, beta: 0.8 } },
])("evaluation and load take the weights that the run was evaluated with: %j", async (optimizer) => {
  const model = await train(recipe({ optimizer }), { runDir: run });
  const { loss } = await evaluateRun(run);
  expect(loss).toBe((await readEvents(run, "eval")).at(-1)!.loss);
  expect((await evaluateRun(run, { weights: "raw" })).loss).not.toBe(loss);
  // a run of no steps, begun with these weights and without an average, is evaluated as they are
  const begun = join(folder, "begun");
  await train(recipe({ optimizer: "sgd", steps: 0, eval: { every: 0 } }), { runDir: begun, initFrom: run }).outcome;
  expect((await evaluateRun(begun)).loss).toBeCloseTo(loss, 6);
  const row = { x: 4, z: 1 };
  const answer = await (await load(begun)).predict(row);
  const chance = (one: object) => (one as { probability: number }).probability;
  expect(chance(await model.predict(row))).toBeCloseTo(chance(answer), 6);
  await model.save(join(folder, "saved"));
  expect(await (await load(join(folder, "saved"))).predict(row)).toEqual(await model.predict(row));
  const raw = await (await load(run, { weights: "raw" })).predict(row);
  expect(Math.abs(chance(raw) - chance(answer))).toBeGreaterThan(1e-4);
});

test("evaluation of a run gives its last figures, and looks at other data through its own encoder", async () => {
  const { evalLoss } = await train(recipe(), { runDir: run }).outcome;
  expect((await evaluateRun(run)).loss).toBe(evalLoss);
  writeFileSync(
    join(folder, "other.csv"),
    `x,z,kind\n${Array.from({ length: 80 }, (_, at) => `${at % 9},${at % 4},${at % 9 > 4 ? "big" : "small"}`).join("\n")}\n100,3,big\n-90,1,small\n`,
  );
  const model = await load(run);
  const { loss, count } = await evaluateRun(run, {
    set: [`data.path=${join(folder, "other.csv")}`, "data.heldOut=0.999"],
  });
  // the mean of −log p of the true class over nearly all rows, by predict()
  const rows = readFileSync(join(folder, "other.csv"), "utf8").trim().split("\n").slice(1);
  const losses = await Promise.all(
    rows.map(async (row) => {
      const [x, z, kind] = row.split(",");
      const answer = await model.predict({ x: Number(x), z: Number(z) });
      return "label" in answer ? -Math.log(answer.probabilities[kind!]!) : Number.NaN;
    }),
  );
  const mean = losses.reduce((sum, value) => sum + value, 0) / losses.length;
  expect(count).toBeGreaterThan(75);
  expect(Math.abs(loss - mean)).toBeLessThan(0.1);
});
