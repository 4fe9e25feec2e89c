// Numbers read off texts and choices among texts, from rows in a file to training, evaluation, prediction and export.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { runCli, scratchFolder } from "../support/cli.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());
const cli = (...args: string[]) => runCli(args, folder.path);
const write = (name: string, rows: readonly unknown[]) =>
  writeFileSync(join(folder.path, name), rows.map((row) => JSON.stringify(row)).join("\n"));
const endOf = (records: readonly { readonly [key: string]: unknown }[]) =>
  records.find(({ type }) => type === "end")?.hash;
const bert = { layers: 1, heads: 2, width: 32, context: 48, initStd: 0.1 };
const shared = {
  ...{ tokenizer: { bpe: 300 }, optimizer: { adamw: { lr: 4e-3 } }, batch: { size: 16 }, steps: 80, seed: 2 },
  ...{ eval: { every: 40, batch: 32 }, checkpoint: { every: 20 } },
};

/** A run in one piece, and one that was stopped and went on. */
async function trainTwice(recipe: string, run: string): Promise<void> {
  const whole = await cli("train", recipe, "--run-dir", run, "--json");
  expect(whole.code, whole.stderr).toBe(0);
  expect((await cli("train", recipe, "--run-dir", `${run}-halved`, "--until", "30")).code).toBe(0);
  const resumed = await cli("train", recipe, "--run-dir", `${run}-halved`, "--resume", "--json");
  expect(endOf(resumed.records)).toBe(endOf(whole.records));
}

const stars = ["bad", "poor", "fair", "good", "great"];
const numbered = Array.from({ length: 100 }, (_, at) => ({
  review: `the food was ${stars[at % 5]} and the room ${stars[(at * 7 + 3) % 5]}`,
  stars: 1990 + 3 * (at % 5) + ((at * 7 + 3) % 5),
}));

const valuesOf = async (run: string, file: string) =>
  (await cli("predict", run, file, "--json")).records.map(({ value }) => value as number);

test("numbers are learnt in their own unit, resumed exactly, scored, exported and gone on from", async () => {
  write("stars.jsonl", numbered);
  const data = { path: "stars.jsonl", text: "review", target: "stars", task: "regression" };
  writeFileSync(join(folder.path, "stars.json"), JSON.stringify({ ...shared, data, model: { bert } }));
  const planned = await cli("plan", "stars.json");
  expect(planned.code, planned.stderr).toBe(0);
  await trainTwice("stars.json", "stars");
  const values = await valuesOf("stars", "stars.jsonl");
  const errors = values.map((value, at) => value - numbered[at]!.stars);
  const squared = errors.reduce((sum, error) => sum + error ** 2, 0) / errors.length;
  expect(squared).toBeLessThan(4); // their variance is 20
  const { records } = await cli("eval", "stars", "--task", "stars.jsonl", "--json");
  expect(records[0]).toMatchObject({ kind: "numbers", count: 100 });
  expect(records[0]!.meanSquaredError).toBeCloseTo(squared, 6);
  expect(records[0]!.rSquared as number).toBeGreaterThan(0.8);
  // what evaluations of the run tell is the same figure, over the rows that it held out
  const [held] = (await cli("eval", "stars", "--task", "held-out", "--json")).records;
  const [told] = (await cli("eval", "stars", "--json")).records;
  expect(held!.count).toBe(10);
  expect(held!.meanSquaredError as number).toBeCloseTo(told!.loss as number, 3);
  expect(held!.meanAbsoluteError as number).toBeCloseTo(told!.meanAbsoluteError as number, 3);
  const texts = numbered.map(({ review: text, stars: label }) => ({ text, label }));
  write("plain.jsonl", texts);
  expect(await cli("export", "stars", "published", "--layout", "huggingface")).toMatchObject({ code: 0 });
  const config = JSON.parse(readFileSync(join(folder.path, "published/config.json"), "utf8"));
  expect([config.architectures, config.problem_type]).toEqual([["BertForSequenceClassification"], "regression"]);
  const published = await valuesOf("published", "plain.jsonl");
  published.forEach((value, at) => expect(value).toBeCloseTo(values[at]!, 2));
  // the same numbers in another unit: before the first step the model says what it said
  write(
    "other.jsonl",
    texts.map(({ text, label }) => ({ text, label: 20 * label + 7 })),
  );
  const go = [
    "--set",
    "data.text=text",
    "--set",
    "data.target=label",
    "--set",
    "steps=0",
    "--set",
    "tokenizer=published/tokenizer.json",
  ];
  for (const source of ["stars", "published"]) {
    const run = `from-${source}`;
    const begun = await cli(
      "train",
      "stars.json",
      "--set",
      "data.path=other.jsonl",
      ...go,
      "--init-from",
      source,
      "--run-dir",
      run,
    );
    expect(begun.code, begun.stderr).toBe(0);
    (await valuesOf(run, "plain.jsonl")).forEach((value, at) => expect(value).toBeCloseTo(values[at]!, 2));
  }
}, 300_000);

test("what is no number, and a loss or a task that does not fit, is refused before training", async () => {
  write("bad.jsonl", [...numbered.slice(0, 40), { review: "the room was fine", stars: "many" }]);
  const bad = await cli("train", "stars.json", "--set", "data.path=bad.jsonl");
  expect(bad.code).toBe(2);
  for (const part of ["a target is not a number", "bad.jsonl, row 41, column stars", "many", "mend the cell"])
    expect(bad.stderr).toContain(part);
  const hinge = await cli("train", "stars.json", "--set", "loss=hinge");
  expect(hinge.stderr).toContain("hinge is no loss of numbers");
  const rnn = await cli("train", "stars.json", "--set", "model={ rnn: { layers: 1, width: 8, context: 8 } }");
  expect(rnn.stderr).toContain("this model does not learn that");
  const scored = await cli("eval", "stars", "--task", "bad.jsonl");
  expect([scored.code, scored.stderr.includes("row 41, column stars")]).toEqual([2, true]);
}, 300_000);

const colours = ["red", "blue", "green", "black", "white"];
const asked = Array.from({ length: 100 }, (_, at) => {
  const choices = Array.from({ length: 2 + (at % 3) }, (_, n) => `a ${colours[(at * 3 + n) % 5]} one`);
  const answer = (at * 7) % choices.length;
  return { question: `which is ${choices[answer]!.split(" ")[1]}?`, choices, answer: "ABCD"[answer] };
});

test("choices are learnt in rows of two to four, resumed exactly, scored, and exported", async () => {
  write("choices.jsonl", asked);
  const data = { path: "choices.jsonl", task: "multiple-choice", heldOut: 0.2 };
  writeFileSync(join(folder.path, "choices.json"), JSON.stringify({ ...shared, data, model: { bert }, steps: 120 }));
  await trainTwice("choices.json", "choices");
  const { records } = await cli("predict", "choices", "choices.jsonl", "--json");
  const right = records.filter(({ index }, at) => "ABCD"[index as number] === asked[at]!.answer);
  expect(right.length).toBeGreaterThan(75); // by chance 36
  for (const [at, { index, choice, probability, probabilities }] of records.entries()) {
    const each = probabilities as number[];
    expect(each).toHaveLength(asked[at]!.choices.length);
    expect(each.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
    expect([choice, probability]).toEqual([asked[at]!.choices[index as number], Math.max(...each)]);
  }
  const scored = await cli("eval", "choices", "--task", "choices.jsonl", "--json");
  expect(scored.records[0]).toMatchObject({ kind: "choices", count: 100, accuracy: right.length / 100 });
  const [held] = (await cli("eval", "choices", "--task", "held-out", "--json")).records;
  const [told] = (await cli("eval", "choices", "--json")).records;
  expect([held!.count, held!.accuracy]).toEqual([20, told!.accuracy]);
  expect(await cli("export", "choices", "chooser", "--layout", "huggingface")).toMatchObject({ code: 0 });
  const again = await cli("predict", "chooser", "choices.jsonl", "--json");
  expect(again.records).toEqual(records);
  const printed = await cli("predict", "choices", "choices.jsonl");
  expect(printed.stdout.split("\n")[0]).toMatch(/^[01]\t\d\.\d{4}\ta \w+ one$/);
}, 300_000);

test.each(["gpt", "llama"])(
  "%s learns both",
  async (family) => {
    const model = { [family]: { layers: 1, heads: 2, width: 32, context: 48 } };
    for (const name of ["stars", "choices"]) {
      const recipe = JSON.parse(readFileSync(join(folder.path, `${name}.json`), "utf8"));
      writeFileSync(join(folder.path, "other.json"), JSON.stringify({ ...recipe, model, steps: 40 }));
      const run = `${family}-${name}`;
      const trained = await cli("train", "other.json", "--run-dir", run, "--json");
      expect(trained.code, trained.stderr).toBe(0);
      const { metrics, loss } = trained.records.findLast(({ type }) => type === "eval") as {
        metrics: { accuracy?: number };
        loss: number;
      };
      const [held] = (await cli("eval", run, "--task", "held-out", "--json")).records;
      if (name === "choices") expect(held!.accuracy).toBe(metrics.accuracy);
      else {
        expect(held!.meanSquaredError as number).toBeCloseTo(loss, 3);
        const exported = await cli("export", run, `${run}-published`, "--layout", "huggingface");
        expect(exported.stderr).toContain("the model's last layer has no bias");
      }
      expect(loss).toBeLessThan(name === "stars" ? 15 : 1.2);
    }
  },
  120_000,
);

test("rows that are no questions with choices are refused before training", async () => {
  write("bad.jsonl", [...asked.slice(0, 40), { question: "which?", choices: ["a", "b"], answer: 2 }]);
  const bad = await cli("train", "choices.json", "--set", "data.path=bad.jsonl");
  expect(bad.code).toBe(2);
  for (const part of ["an answer is none of the choices", "bad.jsonl, row 41", "a letter from A to B", "mend the row"])
    expect(bad.stderr).toContain(part);
  const few = await cli("train", "choices.json", "--set", "model.bert.choices=3");
  expect(few.stderr).toContain("leave choices out");
  const smooth = await cli("train", "choices.json", "--set", "loss.crossEntropy.labelSmoothing=0.1");
  expect(smooth.stderr).toContain("a setting has no meaning for this model");
  const asks = await cli("predict", "choices", "stars.jsonl");
  expect([asks.code, asks.stderr.includes("a row asks no question")]).toEqual([2, true]);
}, 300_000);
