// A recipe of an encoder–decoder from pairs of texts to a saved model and the command line.
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { load, type RecipeInput, type TextPrediction, train } from "../../src/index.ts";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

const words = ["anna", "ben", "carla", "dora", "emil", "frida"];
const rows = words.flatMap((first) =>
  words.map((second) => ({ from: `${first} ${second}`, to: `${second} ${first}` })),
);

const recipe = (path: string): RecipeInput => ({
  data: { path, text: "from", target: "to", heldOut: 0.1 },
  tokenizer: "char",
  model: { transformer: { layers: 1, heads: 2, width: 32, context: 16, targetContext: 16, preNorm: true } },
  loss: { crossEntropy: { labelSmoothing: 0.05 } },
  optimizer: { adam: { lr: 0.01 } },
  batch: { size: 16 },
  steps: 120,
  eval: { every: 60 },
});

test("learns to turn two names round; saved, it writes the same, from code and from the command line", async () => {
  const folder = await mkdtemp(join(tmpdir(), "athanor-sequences-"));
  const path = join(folder, "pairs.jsonl");
  await writeFile(path, rows.map((row) => JSON.stringify(row)).join("\n"));
  const losses: number[] = [];
  const model = await train(recipe(path), {
    runDir: join(folder, "run"),
    onEvent: (event) => {
      if (event.type === "eval") losses.push(event.loss);
    },
  });
  expect(losses.at(-1)!).toBeLessThan(losses[0]! / 2);
  const sources = rows.map(({ from }) => from);
  const predictions = (await model.predict(sources, { beams: 2 })) as TextPrediction[];
  const right = predictions.filter(({ text }, at) => text === rows[at]!.to).length;
  expect(right).toBeGreaterThan(0.5 * rows.length);
  for (const { score } of predictions) expect(score).toBeLessThan(0);
  await model.save(join(folder, "saved"));
  const saved = await load(join(folder, "saved"));
  expect(await saved.predict(sources, { beams: 2 })).toEqual(predictions);
  expect(await saved.predict({ from: "anna ben" }, { beams: 2 })).toMatchObject({ text: predictions[1]!.text });
  await expect(saved.predict({ to: "anna" })).rejects.toThrow("an object with the column from");
  await expect(saved.generate("anna ben")).rejects.toThrow("call predict()");
  await writeFile(join(folder, "some.txt"), "anna ben\ncarla emil\n");
  const { stdout } = await runCli(["predict", "saved", "some.txt", "--beams", "2"], folder);
  const wanted = ["anna ben", "carla emil"].map((text) => predictions[sources.indexOf(text)]!.text);
  expect(stdout.trim().split("\n")).toEqual(wanted);

  // what it writes is scored: the pairs that the run held out, and those of a file with the run's columns
  const own = { from: "anna ben", to: predictions[1]!.text };
  const pairs = [own, { ...own, to: "carla" }].map((row) => JSON.stringify(row));
  await writeFile(join(folder, "more.jsonl"), pairs.join("\n"));
  const figuresOf = async (...args: string[]) =>
    (await runCli(["eval", ...args, "--beams", "2", "--json"], folder)).records[0]!;
  expect(await figuresOf("run", "--task", "held-out")).toMatchObject({
    ...{ kind: "pairs", count: 4, bleu: expect.any(Number) },
  });
  expect(await figuresOf("run", "--task", "more.jsonl")).toMatchObject({ count: 1, rougeL: 100 });
  await writeFile(join(folder, "named.tsv"), `source\ttarget\nanna ben\t${predictions[1]!.text}\n`);
  expect(await figuresOf("saved", "--task", "named.tsv")).toMatchObject({ count: 1, rouge1: 100, chrf: 100 });
});

test("settings that pairs of texts do not have are refused, and columns by number", async () => {
  const wrong = async (change: object) => {
    const base = { ...recipe("x"), data: { rows, text: "from", target: "to" } };
    await train({ ...base, ...change } as RecipeInput).outcome;
  };
  await expect(wrong({ samples: { prompt: "a" } })).rejects.toMatchObject({ code: "config/unread", where: "samples" });
  await expect(wrong({ data: { rows, target: 1 } })).rejects.toMatchObject({ code: "config/target" });
  await expect(wrong({ loss: { crossEntropy: { weights: "balanced" } } })).rejects.toThrow("tokens have no weights");
  await expect(wrong({ loss: { huber: {} } })).rejects.toMatchObject({ code: "config/loss" });
});

test("a T5 that fills spans of a text goes on exactly after a stop, and with pairs from its exported folder", async () => {
  const folder = scratchFolder();
  const cli = (...args: string[]) => runCli(args, folder.path);
  writeTinyRecipe(folder.path, {
    data: { path: "corpus.txt", objective: "span-corruption" },
    tokenizer: { bpe: 280 },
    model: { t5: { layers: 1, heads: 2, width: 16, headWidth: 8, context: 16, targetContext: 12 } },
    eval: { every: 60 },
  });
  expect((await cli("train", "tiny.json", "--run-dir", "halved", "--until", "25")).code).toBe(0);
  const ends = [
    await cli("train", "tiny.json", "--run-dir", "halved", "--resume", "--json"),
    await cli("train", "tiny.json", "--run-dir", "whole", "--json"),
  ].map(({ records }) => records.find(({ type }) => type === "end")?.hash);
  expect(ends[0]).toBeDefined();
  expect(ends[0]).toBe(ends[1]);
  expect(await cli("export", "whole", "t5", "--layout", "huggingface")).toMatchObject({ code: 0 });
  await writeFile(join(folder.path, "pairs.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  const pairs = { data: { path: "pairs.jsonl", text: "from", target: "to" }, from: "t5", batch: 8, steps: 4 };
  await writeFile(join(folder.path, "pairs.json"), JSON.stringify(pairs));
  const tuned = await cli("train", "pairs.json", "--run-dir", "tuned");
  expect(tuned.code, tuned.stderr).toBe(0);
  folder.remove();
}, 120_000);
