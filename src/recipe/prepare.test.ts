// From recipe to data, model and task: each kind of data, and settings that nothing would read.
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Batch } from "../train/index.ts";
import { prepare } from "./prepare.ts";
import { parseRecipe, readRecipe } from "./read.ts";
import type { RecipeInput } from "./schema.ts";

const numbers = Array.from({ length: 60 }, (_, at) => ({ x: at % 7, y: 1e6 + 3e5 * (at % 7) }));
const texts = ["the cat sat on the mat and the dog sat on the log. ".repeat(20)];

describe("regression", () => {
  const recipe: RecipeInput = {
    data: { rows: numbers, target: "y" },
    model: { mlp: { hidden: [] } },
    batch: { size: 8 },
    eval: { batch: 7 },
  };

  test("targets are scaled for the model, and the task knows their units", async () => {
    const { source, description } = await prepare(parseRecipe(recipe));
    const { targets } = await source.next(8);
    for (const value of targets!.data as Float32Array) expect(Math.abs(value)).toBeLessThan(3);
    expect(Math.sqrt(description.task.units!.loss)).toBeGreaterThan(4e5);
    expect(description.task.units!.extra.absolute).toBeCloseTo(Math.sqrt(description.task.units!.loss), 3);
  });

  test.each(["f32", "f64"] as const)("batches of %s, the last one filled with NaN", async (precision) => {
    const { heldOut, description } = await prepare(
      parseRecipe({ ...recipe, precision, engine: { name: "reference" } }),
    );
    const batches: Batch[] = [];
    for await (const batch of heldOut()) batches.push(batch);
    for (const { features, targets } of batches)
      expect([features!.dtype, targets!.dtype]).toEqual([precision, precision]);
    const all = batches.flatMap(({ targets }) => Array.from(targets!.data as Float32Array));
    expect(all.filter((value) => !Number.isNaN(value))).toHaveLength(6); // a tenth of 60
    expect(description.task.feeds(3)).toMatchObject({ features: { dtype: precision }, targets: { dtype: precision } });
  });
});

test.each([
  [[4], 1],
  [[100, 100], 0],
])("slots in eight bits that hidden layers %j are too small for are told", async (hidden, told) => {
  const notes: string[] = [];
  const recipe = { data: { rows: numbers, target: "y" }, model: { mlp: { hidden } }, batch: 8 };
  const optimizer = { adamw: { slots: "8bit" } } as const;
  await prepare(parseRecipe({ ...recipe, optimizer }), { onNote: (note) => void notes.push(note) });
  expect(notes.filter((note) => note.startsWith("slots: 8bit changes nothing"))).toHaveLength(told);
});

test("a batch of all rows is the training rows in their order, whatever was drawn before", async () => {
  const { source, description } = await prepare(
    parseRecipe({
      data: { rows: numbers.map(({ y }, x) => ({ x, y })), target: "y" },
      model: { mlp: {} },
      batch: "all",
    }),
  );
  expect(description.batchSize).toBe(54); // nine tenths of 60
  const [first, second] = [await source.next(54), await source.next(54)];
  expect(second.features).toEqual(first.features);
  expect(second.targets).toEqual(first.targets);
  expect(new Set(first.features!.data as Float32Array).size).toBe(54);
  const text = await prepare(
    parseRecipe({
      data: { rows: ["abcd".repeat(50)] },
      model: { gpt: { layers: 1, heads: 1, width: 8, context: 9 } },
      batch: "all",
    }),
  );
  expect(text.description.batchSize).toBe(20); // 180 tokens for training
  expect(parseRecipe({ data: { rows: numbers }, model: { mlp: {} }, batch: 7 }).batch.size).toBe(7);
  expect(() => parseRecipe({ data: { rows: numbers }, model: { mlp: {} }, batch: "al" as "all" })).toThrow("batch");
});

test.each(["eval.every", "checkpoint.best"])("early stopping without %s is refused", async (key) => {
  const early = { data: { rows: numbers, target: "y" }, model: { mlp: {} } };
  await expect(prepare(parseRecipe(early, { set: ["eval.patience=2", `${key}=0`] }))).rejects.toMatchObject({
    code: "config/invalid",
    where: key,
  });
  await prepare(parseRecipe(early, { set: ["eval.patience=2"] }));
});

test("with a trained model's files nothing is fitted anew", async () => {
  const first = await prepare(
    parseRecipe({ data: { rows: texts }, model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } } }),
  );
  const other = parseRecipe({
    data: { rows: ["tac a ".repeat(200)] },
    model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } },
  });
  const anew = await prepare(other);
  const kept = await prepare(other, { files: new Map(Object.entries(first.files)) });
  expect(anew.tokenizer!.vocabSize).toBeLessThan(first.tokenizer!.vocabSize);
  expect(kept.files["tokenizer.json"]).toBe(first.files["tokenizer.json"]);

  const table: RecipeInput = { data: { rows: numbers, target: "y" }, model: { mlp: {} } };
  const fitted = await prepare(parseRecipe(table));
  const moved = parseRecipe({ ...table, data: { rows: numbers.map(({ x, y }) => ({ x: x + 100, y })), target: "y" } });
  expect((await prepare(moved)).files["table.json"]).not.toBe(fitted.files["table.json"]);
  const same = await prepare(moved, { files: new Map(Object.entries(fitted.files)) });
  expect(same.files["table.json"]).toBe(fitted.files["table.json"]);
});

describe("objectives of texts", () => {
  const t5: RecipeInput = {
    data: { rows: texts, objective: "span-corruption" },
    model: { t5: { layers: 1, heads: 1, width: 8, headWidth: 8, context: 16, targetContext: 12 } },
    batch: { size: 2 },
  };
  const gpt: RecipeInput = {
    data: { rows: texts, objective: "prefix" },
    model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } },
  };

  test("feeds are as long as what is read and written, sentinels stand before start and end", async () => {
    const { description, source, tokenizer, baseline, files } = await prepare(parseRecipe(t5));
    const { source: read, tokens } = description.task.feeds(2); // 17 tokens: 3 hidden in one span
    expect([read!.shape, tokens!.shape]).toEqual([
      [2, 16],
      [2, 5],
    ]);
    const { vocabSize } = tokenizer!;
    const { targets } = await source.next(2);
    expect(Array.from(targets!.data as Int32Array).filter((id) => id >= vocabSize)).toEqual(
      [0, 2, 0, 2].map((at) => vocabSize + at),
    );
    expect(JSON.parse(files["model.json"]!).config).toMatchObject({ start: vocabSize + 1, end: vocabSize + 2 });
    // 3 tokens of the text, a sentinel and an end: each mark is a fifth of the targets
    const entropy = (await prepare(parseRecipe(gpt))).baseline!;
    expect(baseline).toBeCloseTo(0.6 * (entropy - Math.log(0.6)) - 2 * 0.2 * Math.log(0.2), 12);
    const { description: plain } = await prepare(parseRecipe(t5, { set: ["data.objective=prefix"] }));
    expect(plain.task.feeds(2)).toMatchObject({ source: { shape: [2, 12] }, tokens: { shape: [2, 12] } });
  });

  test("a model of next tokens takes a prefix", async () => {
    const { source } = await prepare(parseRecipe(gpt));
    const { targets } = await source.next(32);
    const counted = Array.from(targets!.data as Int32Array).filter((target) => target >= 0).length;
    expect(counted).toBeLessThan(32 * 7);
    expect(counted).toBeGreaterThan(32 * 2);
  });

  test("what does not fit is refused", async () => {
    const error = (recipe: RecipeInput, ...set: string[]) => prepare(parseRecipe(recipe, { set })).catch((one) => one);
    expect(await error(t5, "model.t5.targetContext=4")).toMatchObject({
      code: "config/target-context",
      where: "model.t5.targetContext",
      expected: "at least 5: 3 hidden tokens of 17, 1 sentinels and an end",
      got: "4",
    });
    expect(await error(t5, "model.t5.context=2")).toMatchObject({ code: "data/context" });
    expect(await error(gpt, "data.objective=span-corruption")).toMatchObject({
      code: "config/unread",
      where: "data.objective",
      fix: "take it out, or choose another model: seq2seq, t5, transformer",
    });
    expect(await error(gpt, "data.spans.noise=0.3")).toMatchObject({ code: "config/unread", where: "data.spans" });
    expect(await error(gpt, "data.context=4")).toMatchObject({ code: "config/unread", where: "data.context" });
    expect(await error(t5, "data.masking.share=0.3")).toMatchObject({ code: "config/unread", where: "data.masking" });
  });
});

describe("settings that nothing reads are refused", () => {
  const gpt: RecipeInput = { data: { rows: texts }, model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } } };
  const table: RecipeInput = { data: { rows: numbers, target: "y" }, model: { mlp: {} } };
  test.each([
    [gpt, "data.target=x", "data.target"],
    [gpt, "data.missing=drop", "data.missing"],
    [table, "tokenizer=char", "tokenizer"],
    [table, "samples.prompt=a", "samples"],
    [table, "data.text=x", "data.text"],
    [gpt, "loss=crossEntropy", "loss"],
    [gpt, "data.format=jsonl", "data.format"],
    [gpt, "data.onShort=wrap", "data.onShort"],
    [gpt, "data.quote=none", "data.quote"],
    [table, "data.cache=kept", "data.cache"],
  ])("%o %s", async (recipe, change, key) => {
    await expect(prepare(parseRecipe(recipe, { set: [change] }))).rejects.toMatchObject({
      code: "config/unread",
      where: key,
    });
  });

  test("and the families that take all of them are named, as far as they learn the task", async () => {
    const fixOf = (recipe: RecipeInput, ...set: string[]) =>
      prepare(parseRecipe(recipe, { set })).catch(({ fix }) => fix);
    expect(await fixOf(gpt, "data.quote=none", "data.masking.share=0.3")).toBe("take them out");
    expect(await fixOf(gpt, "data.bins=3")).toBe("take it out, or choose another model: mlp");
    const masked = { ...gpt, model: { bert: { layers: 1, heads: 1, width: 8, context: 8 } } };
    expect(await fixOf(masked, "data.task=masked-language-model", "data.target=x")).toBe("take it out");
  });

  test("places trained before a text that leave it no room, before any text is read", async () => {
    const recipe: RecipeInput = {
      data: { rows: [{ prompt: "a", completion: "b" }], chat: {} },
      model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } },
    };
    for (const key of ["prompt", "prefix"])
      await expect(prepare(parseRecipe({ ...recipe, adapter: { [key]: { tokens: 8 } } }))).rejects.toMatchObject({
        ...{ code: "model/prompt", where: `adapter.${key}.tokens`, expected: "fewer than the context of 8", got: "8" },
      });
  });

  test.each([
    ["token-classification", 2, { tokens: ["a"], tags: ["X"] }],
    ["question-answering", 7, { question: "a", answers: { text: [], answer_start: [] } }],
  ] as const)("%s: a context of %i has no room for a text", async (task, context, row) => {
    const recipe = (more: number): RecipeInput => ({
      data: { rows: Array.from({ length: 10 }, (_, at) => ({ ...row, context: `text ${at}` })), task },
      model: { bert: { layers: 1, heads: 1, width: 8, context: context + more } },
      batch: 2,
    });
    await expect(prepare(parseRecipe(recipe(0)))).rejects.toMatchObject({
      ...{ code: "model/context", where: "model.bert.context", got: String(context) },
      expected: `at least ${context + 1}, for data.task: ${task}`,
    });
    await prepare(parseRecipe(recipe(1)));
  });

  test("and what is read is not", async () => {
    await prepare(parseRecipe(gpt));
    await prepare(parseRecipe(table, { set: ["data.missing=drop"] }));
  });
});

describe("what reading left out or changed is told", () => {
  const folder = mkdtempSync(join(tmpdir(), "athanor-notes-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const notesOf = async (recipe: RecipeInput, set: string[] = []) => {
    const notes: string[] = [];
    await prepare(parseRecipe(recipe, { set }), { onNote: (note) => notes.push(note) });
    return notes;
  };
  const bad = Buffer.concat([Buffer.from("good words "), Buffer.from([0xff]), Buffer.from(" and more of them. ")]);

  test("of texts", async () => {
    writeFileSync(join(folder, "a.txt"), texts[0]!);
    writeFileSync(join(folder, "b.txt"), bad);
    const gpt = { data: { path: folder }, model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } } };
    expect((await notesOf(gpt, ["data.invalid=replace"])).slice(1)).toEqual([
      "put U+FFFD in place of 1 fault in the text",
    ]);
    expect((await notesOf(gpt, ["data.invalid=skip"])).slice(1)).toEqual([
      `left out 1 file or text that is not valid text: ${join(folder, "b.txt")}`,
    ]);
  });

  test("of tables", async () => {
    const rows = Array.from({ length: 60 }, (_, at) => ({
      x: at % 10 === 3 ? null : at,
      colour: at === 7 ? "ochre" : at % 2 ? "red" : "blue",
      one: 1,
      y: at === 5 ? null : 2 * at,
    }));
    const table = {
      data: { rows, target: "y", missingTarget: "drop", heldOut: 0.5 },
      model: "mlp",
      batch: { size: 8 },
    } as const;
    const notes = await notesOf(table);
    expect(notes[0]).toMatch(/^60 rows, 5 features|^60 rows, 4 features/);
    expect(notes.slice(1, 3)).toEqual(["left out 1 row with a gap", "left out 1 column that never changes: one = 1"]);
    expect(notes[3]).toMatch(/^filled in [1-6] missing values?: x [1-6]$/);
    expect((await notesOf(table, ["data.missing=drop"]))[1]).toBe("left out 7 rows with a gap");
    // where the one row of its colour is held out
    const seeds = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map((seed) => notesOf({ ...table, seed })));
    expect(seeds.flat()).toContain("1 value in a category that training did not see: colour 1");
  });

  test("of labelled texts, and of tables in files", async () => {
    const lines = Array.from({ length: 30 }, (_, at) => `some words ${at},${at % 2 ? "a" : "b"}`).join("\n");
    writeFileSync(
      join(folder, "c.csv"),
      Buffer.concat([Buffer.from(`text,label\n${lines}\n`), bad, Buffer.from(",a\n")]),
    );
    const recipe = {
      data: { path: join(folder, "c.csv"), invalid: "replace" },
      model: "textClassifier",
      batch: { size: 8 },
    } as const;
    expect((await notesOf({ ...recipe, data: { ...recipe.data, quote: "none" } })).slice(1)).toEqual([
      "put U+FFFD in place of 1 fault in the text",
    ]);
  });
});

test("a cache: the text is tokenized once, also with a trained BPE vocabulary, and again where it is damaged", async () => {
  const folder = mkdtempSync(join(tmpdir(), "athanor-cache-"));
  const path = join(folder, "a.txt");
  const cache = join(folder, "deep", "cache");
  writeFileSync(path, texts[0]!);
  const recipe: RecipeInput = {
    data: { path, cache },
    tokenizer: { bpe: 270 },
    model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } },
  };
  const run = async (given: RecipeInput) => {
    const notes: string[] = [];
    const prepared = await prepare(parseRecipe(given), { onNote: (note) => notes.push(note) });
    const { tokens } = await prepared.source.next(4);
    await prepared.close?.();
    return { cached: notes[0]!.endsWith(", from data.cache"), tokens: [...(tokens!.data as Int32Array)] };
  };
  const { cache: _, ...uncached } = recipe.data;
  const { tokens } = await run({ ...recipe, data: uncached });
  expect(await run(recipe)).toEqual({ cached: false, tokens });
  expect(await run(recipe)).toEqual({ cached: true, tokens });
  for (const name of readdirSync(cache)) truncateSync(join(cache, name), 200);
  expect(await run(recipe)).toEqual({ cached: false, tokens });
  writeFileSync(join(folder, "file"), "");
  await expect(run({ ...recipe, data: { path, cache: join(folder, "file", "cache") } })).rejects.toMatchObject({
    code: "data/cache",
    fix: expect.stringContaining("data.cache"),
  });
  rmSync(folder, { recursive: true });
});

test("settings of a table reach it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "athanor-table-"));
  const path = join(folder, "a.csv");
  writeFileSync(
    path,
    Array.from({ length: 40 }, (_, at) => `${at === 3 ? "inf" : at === 4 ? "-" : at},"b${at % 2}`).join("\n"),
  );
  const data = { path, target: "kind", header: ["size", "kind"], quote: "none", missingMarkers: ["-"] } as const;
  const recipe: RecipeInput = {
    data: { ...data, header: [...data.header], missingMarkers: ["-"] },
    model: { mlp: {} },
  };
  await expect(prepare(parseRecipe(recipe))).rejects.toMatchObject({ code: "data/not-finite" });
  const { files } = await prepare(parseRecipe(recipe, { set: ["data.notFinite=missing"] }));
  expect(JSON.parse(files["table.json"]!).target.classes).toEqual(['"b0', '"b1']);
  rmSync(folder, { recursive: true });
});

test("data named twice, or not at all, is refused", async () => {
  for (const data of [{}, { rows: numbers, path: "x.csv" }])
    await expect(prepare(parseRecipe({ data, model: "mlp" }))).rejects.toMatchObject({ code: "config/data" });
});

test("a text classifier wants its class column by name", async () => {
  const rows = texts.map((text) => ({ text, label: "a" }));
  const recipe = parseRecipe({ data: { rows, target: 1 }, model: "textClassifier" });
  await expect(prepare(recipe)).rejects.toMatchObject({ code: "config/target" });
});

test.each(readdirSync("recipes").filter((name) => name.endsWith(".yaml")))(
  "recipes/%s says where to get its data when there is none",
  async (name) => {
    const { data } = await readRecipe(`recipes/${name}`);
    const empty = await readRecipe(`recipes/${name}`, { set: ["data.path=/absent/*.txt"] });
    await expect(prepare(empty)).rejects.toMatchObject({ code: "data/no-file", where: "/absent/*.txt" });
    await expect(prepare(empty)).rejects.toThrow(`data.source says: ${data.source}`);
    expect(data.source).toBeDefined();
  },
);

test.each(readdirSync("recipes/language").filter((name) => name.endsWith(".yaml")))(
  "recipes/language/%s says where its data is from",
  async (name) => {
    expect((await readRecipe(`recipes/language/${name}`)).data.source).toBeDefined();
  },
);

test("of a mixture, the source that is missing is named beside where to get it", async () => {
  const mix = ["a", "b"].map((name) => ({ path: `/absent/${name}.txt`, weight: 1 }));
  const gpt = { layers: 1, heads: 1, width: 8, context: 8 };
  const recipe = parseRecipe({ data: { mix, source: "the library" }, tokenizer: "byte", model: { gpt } });
  const found = { code: "data/no-file", where: "/absent/a.txt", fix: expect.stringContaining("the library") };
  await expect(prepare(recipe)).rejects.toMatchObject(found);
});

test("a plateau without evaluations is refused", async () => {
  const optimizer = { sgd: { lr: { plateau: { peak: 0.1 } } } };
  const recipe: RecipeInput = { data: { rows: numbers, target: "y" }, model: { mlp: {} }, optimizer };
  const { learningRate, clockAt } = await prepare(parseRecipe(recipe));
  const flat = Array.from({ length: 6 }, (_, at) => ({ step: at, loss: 1 }));
  expect([learningRate(clockAt(0)), learningRate(clockAt(9), flat)]).toEqual([0.1, 0.05]);
  await expect(prepare(parseRecipe({ ...recipe, eval: { every: 0 } }))).rejects.toMatchObject({ where: "eval.every" });
});

describe("batches that change", () => {
  const four: RecipeInput = {
    data: { rows: Array.from({ length: 4 }, (_, x) => ({ x, y: 2 * x })), target: "y", heldOut: 0.3 },
    model: { mlp: { hidden: [] } },
    optimizer: { sgd: {} },
    steps: 30,
  };
  const many: RecipeInput = {
    ...four,
    data: { ...four.data, rows: Array.from({ length: 200 }, (_, x) => ({ x, y: x })) },
  };
  const staged = { staged: { sizes: [10, 100, 1000], boundaries: [50, 500] } };
  const prepared = (recipe: RecipeInput, size: unknown, changes: object = {}) =>
    prepare(parseRecipe({ ...recipe, batch: { size, ...changes } as RecipeInput["batch"] }));

  test("are refused with the number of rows where one is larger than the data, cut, or repeat rows", async () => {
    await expect(prepared(four, staged)).rejects.toMatchObject({ code: "data/short-batch", got: "3" });
    const sizes = async (onShort: "truncate" | "wrap") => {
      const { batchSizes, description } = await prepared({ ...four, data: { ...four.data, onShort } }, staged);
      return [batchSizes.sizes, description.microbatch];
    };
    expect(await sizes("truncate")).toEqual([[3], 3]);
    expect(await sizes("wrap")).toEqual([[10, 100, 1000], 10]);
  });

  test("make a run's clock, whose samples the rate counts", async () => {
    const lr = { linear: { peak: 0.1, total: 1000, unit: "samples", floor: 0.01 } } as const;
    const size = { ramp: { from: 4, to: 16, over: 100 } };
    const { clockAt, learningRate } = await prepared({ ...many, optimizer: { sgd: { lr } } }, size);
    const clock = clockAt(8);
    expect(clock.samples).toBe(32);
    expect(learningRate(clock)).toBeCloseTo(0.1 - 0.09 * 0.032, 15);
  });

  test.each(["linear", "sqrt"] as const)("take the rate along where they are coupled: %s", async (coupling) => {
    const { learningRate, clockAt } = await prepared(
      many,
      { exponential: { from: 8, to: 32, factor: 4, every: 80 } },
      { coupling },
    );
    expect([learningRate(clockAt(0)), learningRate(clockAt(20), [], 32)]).toEqual([
      0.01,
      coupling === "linear" ? 0.04 : 0.02,
    ]);
  });

  test("refuse a rate that counts steps, unless it never changes", async () => {
    const lr = { step: { peak: 0.1, factor: 0.5, every: 20 } };
    const size = { ramp: { from: 4, to: 16, over: 100 } };
    const counting = (every: number) =>
      prepared({ ...many, optimizer: { sgd: { lr: { step: { ...lr.step, every } } } } }, size);
    await expect(counting(20)).rejects.toMatchObject({
      code: "config/invalid",
      got: "unit: steps, and another rate from step 20 on",
    });
    await expect(counting(30)).resolves.toBeDefined();
    await expect(prepared(many, size)).resolves.toBeDefined();
  });

  test.each([
    [{ size: { adaptive: { from: 8, to: 64, every: 80 } } }, 4],
    [{ size: { adaptive: { from: 8, to: 64, every: 80 } }, lanes: 2 }, 4],
    [{ size: { adaptive: { from: 8, to: 64, every: 80 } }, microbatch: 2 }, 2],
    [{ size: 32, microbatch: 8 }, 8],
    [{ size: 32, lanes: 2 }, 16],
  ])("%j is made of microbatches of %i rows", async ({ size, ...changes }, microbatch) => {
    expect((await prepared(many, size, changes)).description.microbatch).toBe(microbatch);
  });

  test.each([
    [{ size: 24, microbatch: 16 }, /config\/microbatch[\s\S]*multiples of 16/],
    [{ size: { ramp: { from: 8, to: 20, over: 9 } } }, /config\/microbatch[\s\S]*multiples of 8[\s\S]*20/],
    [
      { size: { adaptive: { from: 8, to: 64, every: 80 } }, microbatch: 8 },
      /measured between microbatches[\s\S]*lower batch\.microbatch/,
    ],
    [{ size: { ramp: { from: 9, to: 18, over: 9 } }, lanes: 2 }, /config\/lanes/],
  ])("%j is refused", async ({ size, ...changes }, message) => {
    await expect(prepared(many, size, changes)).rejects.toThrow(message);
  });
});

test("texts that are packed are documents of their own, in training and held out", async () => {
  const rows = Array.from({ length: 20 }, (_, at) => ({ body: "ab".repeat(at % 5) + String.fromCharCode(97 + at) }));
  const { source, heldOut, description, tokenizer } = await prepare(
    parseRecipe({
      data: { rows, packing: true, text: "body", heldOut: 0.2 },
      tokenizer: "byte",
      model: { llama: { layers: 1, heads: 1, width: 8, context: 16 } },
      batch: 4,
    }),
  );
  expect(Object.keys(description.task.feeds(1))).toEqual(["tokens", "positions", "documents", "targets"]);
  const seen = new Set<string>();
  const collect = ({ tokens, targets, documents }: Batch) => {
    const [ids, wanted, kept] = [tokens, targets, documents].map((one) => Array.from(one!.data as Int32Array));
    kept!.forEach((document, at) => {
      const from = Math.floor(at / 16) * 16;
      const row = kept!.slice(from, from + 16);
      const last = from + row.lastIndexOf(document);
      // rows that fill up a batch of evaluation have no targets
      if (document >= 0 && at === last && wanted![last] !== -1)
        seen.add(tokenizer!.decode([...ids!.slice(from + row.indexOf(document), last + 1), wanted![last]!]));
    });
  };
  for (let step = 0; step < Math.ceil(source.samplesPerEpoch / 4); step++) collect(await source.next(4));
  for await (const batch of heldOut()) collect(batch);
  expect(seen).toEqual(new Set(rows.map(({ body }) => `${body}<|endoftext|>`)));
});

test.each([
  [{ size: 1 }, "refused"],
  [{ size: 4, microbatch: 1 }, "refused"],
  [{ size: 4, lanes: 4 }, "refused"],
  [{ size: 2 }, "learnt"],
])("pairs for vectors, batches of %j: a pair alone has no others to be told from", async (batch, outcome) => {
  const recipe: RecipeInput = {
    data: { rows: Array.from({ length: 9 }, (_, at) => ({ source: `a ${at}`, target: `b ${at}` })), task: "embedding" },
    model: { bert: { layers: 1, heads: 1, width: 4, context: 8, pooling: "mean" } },
    batch,
  };
  const told = await prepare(parseRecipe(recipe)).then(
    () => "learnt",
    (error) => (error.code === "config/embedding" && error.where === "batch" ? "refused" : error),
  );
  expect(told).toBe(outcome);
});
