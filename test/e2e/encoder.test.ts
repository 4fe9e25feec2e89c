// An encoder from raw text to a classifier: pretrained by guessing hidden words, stopped and gone on with exactly, exported, and tuned.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());
const cli = (...args: string[]) => runCli(args, folder.path);
const bert = { layers: 2, heads: 2, width: 32, context: 18, initStd: 0.1 };

const endOf = (records: readonly { readonly [key: string]: unknown }[]) => records.find(({ type }) => type === "end");

beforeAll(async () => {
  writeTinyRecipe(folder.path, {
    data: { path: "corpus.txt", task: "masked-language-model" },
    tokenizer: { bpe: 280 },
    model: { bert },
    eval: { every: 60 },
  });
  const { code, stderr } = await cli("train", "tiny.json", "--run-dir", "whole");
  expect(code, stderr).toBe(0);
}, 60_000);

test("a run that was stopped hides the words that it would have hidden", async () => {
  expect((await cli("train", "tiny.json", "--run-dir", "halved", "--until", "25")).code).toBe(0);
  const resumed = await cli("train", "tiny.json", "--run-dir", "halved", "--resume", "--json");
  const whole = await cli("train", "tiny.json", "--run-dir", "again", "--json");
  expect(endOf(resumed.records)?.hash).toBe(endOf(whole.records)?.hash);
});

test("what it has learnt goes on in a classifier, from the run's folder as from an exported one", async () => {
  expect(await cli("export", "whole", "encoder", "--layout", "huggingface")).toMatchObject({ code: 0 });
  const rows = Array.from({ length: 80 }, (_, at) => ({
    text: at % 2 ? "the and of" : "with his they",
    label: at % 2,
  }));
  writeFileSync(join(folder.path, "rows.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  const recipe = {
    data: { path: "rows.jsonl" },
    tokenizer: "encoder/tokenizer.json",
    model: { bert: { ...bert, pooling: "mean" } },
    ...{ optimizer: { adamw: { lr: 3e-3 } }, batch: { size: 8 }, steps: 40, eval: { every: 40 } },
  };
  writeFileSync(join(folder.path, "classes.json"), JSON.stringify(recipe));
  const hashes: unknown[] = [];
  for (const source of ["encoder", "whole"]) {
    const run = await cli("train", "classes.json", "--run-dir", `from-${source}`, "--init-from", source, "--json");
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toContain(
      "was trained for another task: 2 tensors of the head begin anew, classifier.weight first",
    );
    expect(run.records.findLast(({ type }) => type === "eval")).toMatchObject({ metrics: { accuracy: 1 } });
    hashes.push(endOf(run.records)?.hash);
  }
  expect(hashes[0]).toBe(hashes[1]);
  const other = (name: string, label: (at: number) => number | string) => {
    const text = rows.slice(0, 10).map((row, at) => JSON.stringify({ ...row, label: label(at) }));
    writeFileSync(join(folder.path, name), text.join("\n"));
    return cli("eval", "from-whole", "--set", `data.heldOutPath=${join(folder.path, name)}`, "--json");
  };
  // three of ten texts have the other class
  expect((await other("some.jsonl", (at) => (at < 3 ? 1 - (at % 2) : at % 2))).records[0]).toMatchObject({
    ...{ count: 10, accuracy: 0.7 },
  });
  expect((await other("new.jsonl", (at) => (at === 4 ? "both" : at % 2))).stderr).toContain("row 5, column label");
  const deeper = await cli("train", "classes.json", "--init-from", "encoder", "--set", "model.bert.layers=3");
  expect(deeper.code).not.toBe(0);
  expect(deeper.stderr).toContain("bert.encoder.layer.2");
}, 120_000);

test("what an encoder without a task cannot do is refused", async () => {
  writeFileSync(join(folder.path, "one.txt"), "the and of");
  const predicted = await cli("predict", "whole", "one.txt");
  expect(predicted.code).toBe(2);
  expect(predicted.stderr).toContain("--init-from");
  const wrong = await cli("train", "tiny.json", "--set", "model={ textClassifier: {} }");
  expect(wrong.stderr).toContain("this model does not learn that");
});

test("words are labelled, and questions answered, from files as a user has them", async () => {
  const write = (name: string, rows: readonly unknown[]) =>
    writeFileSync(join(folder.path, name), rows.map((row) => JSON.stringify(row)).join("\n"));
  const names = ["Ada", "Bob", "Cleo", "Dan"];
  const sentence = (at: number) => [names[at % 4]!, "saw", names[(at * 3 + 1) % 4]!, "in", "the", "garden"];
  const labels = ["B-per", "O", "B-per", "O", "O", "O"];
  const columns = Array.from({ length: 60 }, (_, at) =>
    sentence(at)
      .map((word, n) => `${word}\t${labels[n]}`)
      .join("\n"),
  );
  writeFileSync(join(folder.path, "names.conll"), columns.join("\n\n"));
  const shared = {
    ...{ tokenizer: "byte", optimizer: { adamw: { lr: 3e-3 } }, batch: { size: 8 }, steps: 60, eval: { every: 60 } },
    model: { bert: { ...bert, context: 48 } },
  };
  const recipe = { ...shared, data: { path: "names.conll", task: "token-classification" } };
  writeFileSync(join(folder.path, "names.json"), JSON.stringify(recipe));
  const trained = await cli("train", "names.json", "--run-dir", "names", "--json");
  expect(trained.code, trained.stderr).toBe(0);
  expect(trained.records.findLast(({ type }) => type === "eval")).toMatchObject({ metrics: { accuracy: 1 } });
  write("new.jsonl", [{ tokens: ["Dan", "saw", "Ada", "in", "the", "garden"] }]);
  const labelled = await cli("predict", "names", "new.jsonl", "--json");
  expect(labelled.records.find(({ row }) => row === 1)).toMatchObject({
    labels,
    entities: [
      { type: "per", start: 0, end: 1, words: ["Dan"] },
      { type: "per", start: 2, end: 3, words: ["Ada"] },
    ],
  });
  // of every fifth sentence one name of two is called a place
  writeFileSync(
    join(folder.path, "true.conll"),
    columns.map((one, at) => (at % 5 === 0 ? one.replace("B-per", "B-loc") : one)).join("\n\n"),
  );
  const scored = await cli("eval", "names", "--task", "true.conll", "--json");
  expect(scored.records[0]).toMatchObject({ kind: "labelled words", count: 120, precision: 0.9, recall: 0.9 });
  expect(scored.records[0]!["f1 of per"]).toBeCloseTo((2 * 0.9 * 1) / 1.9, 12);

  const context = (at: number) => `the ${["red", "old"][at % 2]} lamp is in the ${["hall", "shed", "barn"][at % 3]}.`;
  const questions = Array.from({ length: 60 }, (_, at) => {
    const text = ["hall", "shed", "barn"][at % 3]!;
    const answers = [{ text, answer_start: context(at).indexOf(text) }];
    return { context: context(at), question: "where?", answers: at % 4 === 3 ? [] : answers };
  });
  write("questions.jsonl", questions);
  const asked = { ...shared, data: { path: "questions.jsonl", task: "question-answering", heldOut: 0.2 }, steps: 2 };
  writeFileSync(join(folder.path, "questions.json"), JSON.stringify(asked));
  const answering = await cli("train", "questions.json", "--run-dir", "questions");
  expect(answering.code, answering.stderr).toBe(0);
  expect(answering.stderr).toContain("60 questions about 6 texts, 15 of them without an answer");
  const answered = await cli("predict", "questions", "questions.jsonl", "--json");
  const given = answered.records.filter(({ row }) => typeof row === "number");
  expect(given).toHaveLength(60);
  for (const [at, { answer, start, end }] of given.entries())
    expect(context(at).slice(start as number, end as number)).toBe(answer);
  const { records } = await cli("eval", "questions", "--task", "questions.jsonl", "--json");
  const right = given.filter(({ answer }, at) => answer === (questions[at]!.answers[0]?.text ?? ""));
  expect(records[0]).toMatchObject({ kind: "questions", count: 60, exactMatch: right.length / 60 });
  const wrong = await cli("eval", "questions", "--task", "names.conll");
  expect(wrong.code).not.toBe(0);
  expect(wrong.stderr).toContain("this is not JSON");
}, 120_000);

test("texts that belong together get vectors of nearly one direction", async () => {
  const names = ["Ada", "Bob", "Cleo", "Dan", "Emil", "Fay", "Gus", "Hal"];
  const deeds = ["sings", "sleeps", "reads", "runs", "cooks"];
  const rows = names.flatMap((name) =>
    deeds.map((deed) => ({ source: `${name} ${deed}`, target: `here ${deed} ${name}` })),
  );
  writeFileSync(join(folder.path, "related.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  const recipe = {
    data: { path: "related.jsonl", task: "embedding" },
    tokenizer: { bpe: 300 },
    model: { bert: { ...bert, pooling: "mean", dropout: 0.1 } },
    loss: { infoNce: { temperature: 0.1 } },
    ...{ optimizer: { adamw: { lr: 3e-3 } }, batch: { size: 12 }, steps: 80, eval: { every: 40, batch: 4 } },
  };
  writeFileSync(join(folder.path, "related.json"), JSON.stringify(recipe));
  const run = await cli("train", "related.json", "--run-dir", "vectors", "--json");
  expect(run.code, run.stderr).toBe(0);
  writeFileSync(join(folder.path, "asked.txt"), rows.map(({ source }) => source).join("\n"));
  writeFileSync(join(folder.path, "found.txt"), rows.map(({ target }) => target).join("\n"));
  const vectorsOf = async (file: string) =>
    (await cli("predict", "vectors", file, "--json")).records.map(({ vector }) => vector as number[]);
  const [asked, found] = [await vectorsOf("asked.txt"), await vectorsOf("found.txt")];
  const cosine = (a: number[], b: number[]) => a.reduce((sum, x, at) => sum + x * b[at]!, 0) / Math.hypot(...b);
  const right = asked.filter((vector, at) => {
    const scores = found.map((other) => cosine(vector, other));
    return scores[at] === Math.max(...scores);
  });
  expect(asked[0]).toHaveLength(32);
  expect(right.length).toBeGreaterThan(0.75 * rows.length); // by chance one of forty
  // all of 40 targets are candidates; by chance the own one is first in one of forty
  const scored = await cli("eval", "vectors", "--task", "related.jsonl", "--json");
  expect(scored.records[0]).toMatchObject({ kind: "pairs", count: 40, candidates: 40 });
  expect(scored.records[0]!["recall@1"]).toBe(right.length / rows.length);
  const held = await cli("eval", "vectors", "--task", "held-out", "--json");
  expect(held.records[0]).toMatchObject({ count: 4, candidates: 4, "recall@5": 1 });
  const lost = await cli("eval", "vectors", "--task", "asked.txt");
  expect([lost.code, lost.stderr.includes("asked.txt")]).toEqual([2, true]);
  const wrong = await cli("train", "related.json", "--set", "loss=hinge");
  expect(wrong.stderr).toContain("the loss infoNce");
}, 120_000);
