// A trained model in a program: what save() writes, load() reads; rows together are rows one by one; wrong uses are named.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ReferenceEngine } from "../engine/index.ts";
import type { RunEvent } from "../track/index.ts";
import { load, type TrainedModel } from "./model.ts";
import { train } from "./train.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-model-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const common = { eval: { every: 0 }, engine: { name: "reference" }, batch: { size: 16 } } as const;
const options = (name: string) => ({ runDir: join(folder, name) });
const loadHere = (name: string) => load(join(folder, name), { engine: new ReferenceEngine() });

describe.each(["f32", "f64"] as const)("regression on raw targets in %s", (precision) => {
  const rows = Array.from({ length: 90 }, (_, at) => ({ x: at % 10, y: 5e6 + 1e6 * (at % 10) }));
  let model: TrainedModel;
  let metrics: { [name: string]: number } = {};
  const listen = (event: RunEvent) => {
    if (event.type === "eval") metrics = event.metrics ?? {};
  };
  beforeAll(async () => {
    const training = train(
      {
        ...common,
        data: { rows, target: "y" },
        model: { mlp: { hidden: [] } },
        optimizer: { adamw: { lr: 0.1 } },
        precision,
        steps: 150,
        eval: { every: 150 },
      },
      { ...options(precision), onEvent: listen },
    );
    await training.outcome;
    model = await loadHere(precision);
  });

  test("answers in the target's own units, and tells its error in them", async () => {
    const answer = await model.predict({ x: 4 });
    expect("value" in answer && Math.abs(answer.value - 9e6)).toBeLessThan(1e5);
    expect(metrics.meanAbsoluteError).toBeGreaterThan(0.1);
    expect(metrics.meanAbsoluteError).toBeLessThan(1e5);
  });

  test("rows together are rows one by one, over the sizes of batches", async () => {
    const many = Array.from({ length: 35 }, (_, at) => ({ x: at / 3 }));
    const together = await model.predict(many);
    expect(together).toEqual(await Promise.all(many.map((row) => model.predict(row))));
    expect(await model.predict([])).toEqual([]);
  });

  test("what is no record is named", async () => {
    for (const [row, got] of [
      [null, "null"],
      ["a text", "string"],
    ] as const)
      await expect(model.predict(row as never)).rejects.toMatchObject({ code: "data/record", got });
  });

  test("save and load keep every bit", async () => {
    const copy = join(folder, `copy-${precision}`);
    await model.save(copy);
    const again = await loadHere(`copy-${precision}`);
    expect(again.description).toEqual(model.description);
    expect(await again.predict({ x: 2.5 })).toEqual(await model.predict({ x: 2.5 }));
    await expect(model.save(copy)).rejects.toMatchObject({ code: "path/exists" });
  });
});

test.each(["f32", "bf16", "f16"] as const)(
  "a model saved in %s answers as its rounded parameters do",
  async (dtype) => {
    const rows = Array.from({ length: 20 }, (_, x) => ({ x, y: x % 2 ? "odd" : "even" }));
    const recipe = { data: { rows, target: "y" }, model: { mlp: { hidden: [4] } } };
    const model = await train({ ...common, ...recipe, steps: 2 }, options(`as-${dtype}`));
    await model.save(join(folder, `as-${dtype}-saved`), { dtype });
    const file = readFileSync(join(folder, `as-${dtype}-saved`, "model.safetensors"), "latin1");
    expect([...file.matchAll(/"dtype":"(\w+)"/g)].map(([, name]) => name)).toEqual(Array(4).fill(dtype.toUpperCase()));
    const again = await loadHere(`as-${dtype}-saved`);
    const odd = async (of: typeof model | typeof again): Promise<number> => {
      const prediction = await of.predict({ x: 2.5 });
      return "label" in prediction ? prediction.probabilities.odd! : Number.NaN;
    };
    const [p, q] = [await odd(model), await odd(again)];
    // three weights in a row, each within half a unit in the last place
    expect(Math.abs(p - q)).toBeLessThan({ f32: 1e-6, bf16: 4 * 2 ** -9, f16: 4 * 2 ** -12 }[dtype]);
    expect(q).not.toBe(p); // trained in f64
  },
);

test.each(["bf17", "F16", "f64", 16, null])("a model is not saved in %j", async (dtype) => {
  const rows = Array.from({ length: 20 }, (_, x) => ({ x, y: x % 2 ? "odd" : "even" }));
  const recipe = { data: { rows, target: "y" }, model: { mlp: { hidden: [4] } } };
  const model = await train({ ...common, ...recipe, steps: 1 }, options(`not-${dtype}`));
  await expect(model.save(join(folder, "never"), { dtype: dtype as "f32" })).rejects.toMatchObject({
    code: "model/dtype",
    got: JSON.stringify(dtype),
  });
  expect(existsSync(join(folder, "never"))).toBe(false);
});

describe("a saved model", () => {
  const files = ["model.safetensors", "model.json", "table.json"];
  const saved = async (name: string) => {
    const rows = Array.from({ length: 20 }, (_, x) => ({ x, y: x % 2 ? "odd" : "even" }));
    const recipe = { data: { rows, target: "y" }, model: { mlp: { hidden: [4] } } };
    const model = await train({ ...common, ...recipe, steps: 2 }, options(name));
    await model.save(join(folder, `${name}-saved`));
    return { model, path: join(folder, `${name}-saved`), again: () => loadHere(`${name}-saved`) };
  };

  test("is refused when a bit of it changed or a part is missing", async () => {
    const { path, again } = await saved("bits");
    for (const name of files) {
      const bytes = readFileSync(join(path, name));
      const changed = Buffer.from(bytes);
      changed[bytes.length >> 1]! ^= 4;
      writeFileSync(join(path, name), changed);
      await expect(again()).rejects.toMatchObject({ code: "model/damaged", where: join(path, name) });
      writeFileSync(join(path, name), bytes);
    }
    await again();
    rmSync(join(path, "SHA256SUMS"));
    writeFileSync(join(path, "model.json"), readFileSync(join(path, "model.json"), "utf8").slice(0, 40));
    await expect(again()).rejects.toMatchObject({ code: "model/files", expected: "JSON" });
  });

  test("has sums that sha256sum reads", async () => {
    const { path } = await saved("sums");
    const { status, stdout } = spawnSync("sha256sum", ["-c", "--strict", "SHA256SUMS"], {
      cwd: path,
      encoding: "utf8",
    });
    expect(status).toBe(0);
    for (const name of files) expect(stdout).toContain(`${name}: OK`);
  });

  test("takes the place of an earlier one when it may, and of nothing else", async () => {
    const { model, path, again } = await saved("twice");
    await expect(model.save(path)).rejects.toMatchObject({ code: "path/exists" });
    rmSync(join(path, "model.safetensors"));
    await model.save(path, { replace: true });
    expect((await again()).description).toEqual(model.description);
    await expect(model.save(folder, { replace: true })).rejects.toMatchObject({ code: "path/exists" });
    expect(readdirSync(folder).filter((name) => name.includes(".tmp-"))).toEqual([]);
  });

  test("goes nowhere when its place cannot be a folder", async () => {
    const { model, path } = await saved("place");
    await expect(model.save(join(path, "model.json", "x"))).rejects.toMatchObject({ code: "run/disk" });
    await expect(model.save("/proc/nope/x")).rejects.toMatchObject({ code: "run/disk" });
  });
});

describe("texts", () => {
  test("a classifier of texts takes strings and records, and does not write", async () => {
    const rows = Array.from({ length: 60 }, (_, at) => ({
      text: at % 2 ? "yes sir yes" : "no way no",
      label: at % 2 ? "good" : "bad",
    }));
    const model = await train(
      {
        ...common,
        data: { rows, target: "label" },
        model: { textClassifier: { width: 8, context: 12, hidden: [] } },
        optimizer: { adamw: { lr: 0.05 } },
        steps: 60,
      },
      options("texts"),
    );
    const [one, two] = await model.predict(["yes yes", "no no"]);
    expect([one, two].map((answer) => answer && "label" in answer && answer.label)).toEqual(["good", "bad"]);
    expect(await model.predict({ text: "yes yes" } as never)).toEqual(one);
    await expect(model.generate("yes")).rejects.toMatchObject({ code: "model/task" });
    for (const [row, got] of [
      [3, "number"],
      [null, "null"],
      [{ text: null }, "null there, in a row of text"],
      [{ body: "yes" }, "nothing there, in a row of body"],
    ] as const)
      await expect(model.predict(row as never)).rejects.toMatchObject({ code: "data/record", where: "row 1", got });
  });

  test("models without a tokenizer say what is missing", async () => {
    for (const [golden, name, use] of [
      ["hub", "llama", (model: TrainedModel) => model.generate("a")],
      ["hub", "llama", (model: TrainedModel) => model.evaluateOn({ kind: "text", rows: [{ text: "a" }] })],
      ["hub-t5", "second", (model: TrainedModel) => model.predict("a")],
      ["hub-bert", "spans", (model: TrainedModel) => model.predict({ question: "a", context: "b" })],
    ] as const) {
      const { cases } = JSON.parse(readFileSync(`test/golden/${golden}.json`, "utf8"));
      const place = join(folder, golden);
      mkdirSync(place, { recursive: true });
      for (const [file, text] of Object.entries(cases[name].files as { [name: string]: string }))
        if (!file.startsWith("token")) writeFileSync(join(place, file), Buffer.from(text, "base64"));
      await expect(use(await loadHere(golden))).rejects.toMatchObject({
        ...{ code: "model/tokenizer", where: place, expected: "tokenizer.json", got: "none" },
        fix: expect.stringContaining("save_pretrained"),
      });
    }
  });

  test("a classifier remembers the column of its texts", async () => {
    const rows = Array.from({ length: 40 }, (_, at) => ({
      body: at % 2 ? "yes" : "no",
      label: at % 2 ? "good" : "bad",
    }));
    const recipe = {
      data: { rows, target: "label", text: "body" },
      model: { textClassifier: { width: 4, context: 4 } },
    };
    const model = await train({ ...common, ...recipe, steps: 2 }, options("column"));
    await model.save(join(folder, "column-copy"));
    for (const one of [model, await loadHere("column-copy")])
      expect(await one.predict({ body: "yes" } as never)).toEqual(await one.predict("yes"));
    await expect(model.predict({ text: "yes" } as never)).rejects.toMatchObject({ expected: /column body/ });
  });

  test("a language model writes, and does not predict", async () => {
    const model = await train(
      {
        ...common,
        data: { rows: ["ab".repeat(300)] },
        model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } },
        optimizer: { adamw: { lr: 0.02 } },
        steps: 30,
      },
      options("gpt"),
    );
    const { text } = await model.generate("ab", { maxTokens: 4, temperature: 0 });
    expect(text).toBe("abab");
    const drafted = await model.generate("ab", { maxTokens: 4, temperature: 0, draft: model, draftTokens: 2 });
    // the first token comes with the prompt, and the last behind what was proposed
    expect(drafted).toMatchObject({ text: "abab", draft: { proposed: 2, accepted: 2 } });
    await expect(model.predict("ab")).rejects.toMatchObject({ code: "model/task" });
  });
});

test("a draft of another tokenizer is refused", async () => {
  const model = { gpt: { layers: 1, heads: 1, width: 8, context: 8 } };
  const trained = (letters: string) =>
    train({ ...common, data: { rows: [letters.repeat(99)] }, model, steps: 1 }, options(`draft-${letters}`));
  const large = await trained("abc");
  await expect(large.generate("a", { draft: await trained("abcd") })).rejects.toMatchObject({
    code: "model/draft",
    where: expect.stringContaining("draft-abcd"),
    expected: expect.stringContaining("3 tokens"),
    got: expect.stringContaining("4 tokens"),
    fix: expect.stringContaining("this model's tokenizer.json"),
  });
});

test("a language model is asked a task, and again with its weights in 8 bits, which cannot be saved", async () => {
  const training = train(
    {
      ...common,
      data: { rows: ["abacadabra ".repeat(40)] },
      model: { gpt: { layers: 1, heads: 1, width: 16, context: 12 } },
      optimizer: { adamw: { lr: 0.02 } },
      steps: 60,
    },
    options("asked"),
  );
  await training.outcome;
  const task = { kind: "text", rows: [{ text: "abacadabra abacadabra" }] } as const;
  const whole = await (await loadHere("asked")).evaluateOn(task, { stride: 3 });
  expect(whole.bitsPerByte).toBeCloseTo((whole.loss! * 20) / Math.LN2 / 21, 12);
  expect(whole.loss).toBeLessThan(1);
  const small = await load(join(folder, "asked"), { engine: new ReferenceEngine(), quantize: "int8" });
  const { loss } = await small.evaluateOn(task, { stride: 3 });
  expect(loss).not.toBe(whole.loss);
  expect(Math.abs(loss! - whole.loss!)).toBeLessThan(0.05);
  await expect(small.save(join(folder, "small"))).rejects.toMatchObject({ code: "model/quantized" });
  await expect(small.evaluateOn({ kind: "pairs", rows: [{ source: "a", target: "b" }] })).rejects.toMatchObject({
    ...{ code: "model/task", expected: "a model that makes texts from texts", fix: "call generate(prompt)" },
  });
  const choices = [{ question: "abac", choices: ["adab", "dddd"], answer: 0 }];
  expect(await small.evaluateOn({ kind: "choices", rows: choices })).toMatchObject({ accuracy: 1, count: 1 });
  const { text } = await small.generate("abra", { temperature: 0, maxTokens: 4 });
  const open = [{ prompt: "abra", answer: text.trim() }];
  expect(await small.evaluateOn({ kind: "exact match", rows: open }, { maxTokens: 4 })).toMatchObject({
    exactMatch: 1,
  });
});

test("samples of a run are written with its averaged weights, as load() writes", async () => {
  const texts: string[] = [];
  const model = await train(
    {
      ...common,
      data: { rows: ["a quick brown fox jumps over the lazy dog. ".repeat(20)] },
      model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } },
      // an average of the first weights and the last, which are far apart
      optimizer: { adam: { lr: 0.3, average: { swa: { start: 1, every: 7 } } } },
      steps: 8,
      samples: { prompt: "a", tokens: 40, temperature: 1 },
    },
    { ...options("samples"), onEvent: (event) => void (event.type === "sample" && texts.push(event.text)) },
  );
  const settings = { maxTokens: 40, temperature: 1, seed: model.description.seed };
  const { text } = await model.generate("a", settings);
  const raw = await load(model.folder, { weights: "raw", engine: new ReferenceEngine() });
  expect(texts.at(-1)).toBe(text);
  expect((await raw.generate("a", settings)).text).not.toBe(text);
});

test("a folder without a model is named", async () => {
  await expect(load(join(folder, "absent"))).rejects.toMatchObject({ code: "path/missing" });
  await expect(load(folder)).rejects.toMatchObject({ code: expect.stringMatching(/^(checkpoint|model)\//) });
});
