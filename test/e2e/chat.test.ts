// Instruction tuning end to end: a model grown on text learns to answer, whole and by an adapter; its template goes where it goes; what is
// learnt can be looked at; and what cannot be done is refused.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { load } from "../../src/api/index.ts";
import { loadLatest } from "../../src/checkpoint/index.ts";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());
const at = (...names: string[]) => join(folder.path, ...names);
const cli = (...args: string[]) => runCli([...args, "--json"], folder.path);

const opposites = { hot: "cold", big: "small", up: "down", day: "night", left: "right", in: "out" };
const rows = Array.from({ length: 60 }, (_, at) => Object.entries(opposites)[at % 6]!);
const model = { llama: { layers: 2, heads: 4, keyValueHeads: 2, width: 48, context: 96 } };
const tokenizer = { bpe: 320, specialTokens: ["<|im_start|>", "<|im_end|>"] };
const common = { model, batch: { size: 8 }, optimizer: { adamw: { lr: 5e-3, clip: 1 } }, eval: { every: 0 } };
const chat = {
  ...common,
  data: { path: "rows.jsonl", chat: { prompt: "question", completion: "answer" }, packing: true },
  tokenizer: "base-tokenizer.json",
  steps: 150,
};
const outcome = (records: readonly { readonly [key: string]: unknown }[]) =>
  records.findLast(({ type }) => type === "end");

async function train(name: string, recipe: object, ...args: string[]): Promise<{ stderr: string; hash: unknown }> {
  const { code, stderr, records } = await cli(
    "train",
    writeTinyRecipe(folder.path, recipe as never),
    "--run-dir",
    name,
    ...args,
  );
  expect(code, stderr).toBe(0);
  return { stderr, hash: outcome(records)?.hash };
}

beforeAll(async () => {
  const written = rows.map(([word, other]) => JSON.stringify({ question: `${word}?`, answer: other }));
  writeFileSync(at("rows.jsonl"), `${written.join("\n")}\n`);
  await train("base", { ...common, tokenizer, steps: 10 });
  writeFileSync(at("base-tokenizer.json"), (await loadLatest(at("base")))!.checkpoint.files.get("tokenizer.json")!);
  await train("tuned", chat, "--init-from", "base");
}, 300_000);

const answers = async (run: string) => {
  const trained = await load(at(run));
  const all = [];
  for (const word of Object.keys(opposites)) {
    const asked = [{ role: "user", content: `${word}?` }] as const;
    all.push(await trained.chat(asked, { temperature: 0, maxTokens: 10 }));
  }
  return all;
};

test("it answers what it was taught, and ends its turn", async () => {
  const given = await answers("tuned");
  expect(given.map(({ text }) => text)).toEqual(Object.values(opposites));
  expect(given.every(({ ending }) => ending === "stopToken")).toBe(true);
}, 180_000);

test("a run that was paused ends with the same bytes", async () => {
  const whole = await train("whole", { ...chat, steps: 12 }, "--init-from", "base");
  await train("paused", { ...chat, steps: 12 }, "--init-from", "base", "--until", "5");
  const { hash } = await train("paused", { ...chat, steps: 12 }, "--resume");
  expect(hash).toBe(whole.hash);
  expect(hash).toEqual(expect.any(String));
}, 180_000);

test("an adapter alone teaches it another answer, each conversation in a row of its own", async () => {
  const echoes = rows.map(([word]) => JSON.stringify({ question: `${word}?`, answer: word }));
  writeFileSync(at("echoes.jsonl"), `${echoes.join("\n")}\n`);
  const recipe = {
    ...chat,
    data: { ...chat.data, path: "echoes.jsonl", packing: false },
    adapter: { lora: { rank: 8, targets: ["*_proj"] } },
    optimizer: { adamw: { lr: 0.01, clip: 1 } },
  };
  await train("adapted", recipe, "--init-from", "tuned");
  expect((await answers("adapted")).map(({ text }) => text)).toEqual(Object.keys(opposites));
}, 180_000);

test("the template goes along into a saved model and a Hugging Face folder, and back", async () => {
  const ask = async (path: string) =>
    (await cli("generate", path, "--chat", "--prompt", "up?", "--greedy", "--tokens", "10")).records.at(-1);
  expect(await ask("tuned")).toMatchObject({ text: "down", ending: "stopToken" });
  for (const layout of ["athanor", "huggingface"]) {
    expect(await cli("export", "tuned", `as-${layout}`, "--layout", layout)).toMatchObject({ code: 0 });
    expect(await ask(`as-${layout}`)).toMatchObject({ text: "down", ending: "stopToken" });
  }
  const config = JSON.parse(readFileSync(at("as-huggingface", "tokenizer_config.json"), "utf8"));
  expect(config).toMatchObject({ eos_token: "<|im_end|>", chat_template: expect.stringContaining("<|im_start|>") });
  // a recipe that names this tokenizer writes conversations alike
  const again = await train(
    "again",
    { ...chat, tokenizer: "as-huggingface/tokenizer.json", steps: 1 },
    "--init-from",
    "as-huggingface",
  );
  expect(again.stderr).not.toContain("other settings");
}, 180_000);

test("data preview shows what is learnt, and where conversations meet", async () => {
  const recipe = writeTinyRecipe(folder.path, chat);
  const { records, stderr } = await cli("data", "preview", recipe, "--rows", "2");
  const shown = records.at(-1)!.rows as {
    documents: { text: string; trained: boolean; tokens: number }[][];
    filled: number;
  }[];
  expect(shown, stderr).toHaveLength(2);
  expect(shown.flatMap(({ documents }) => documents).length).toBeGreaterThan(2);
  for (const { documents, filled } of shown) {
    for (const [asked, answer] of documents) {
      expect(asked!.trained).toBe(false);
      const word = asked!.text.match(/^<\|im_start\|>user\n(\w+)\?<\|im_end\|>\n<\|im_start\|>assistant\n$/)![1]!;
      expect(answer).toMatchObject({ trained: true, text: `${opposites[word as keyof typeof opposites]}<|im_end|>` });
    }
    // the newline behind a turn is read by nobody, and predicted by nobody
    expect(documents.flat().reduce((sum, { tokens }) => sum + tokens, 0)).toBe(filled);
  }
  const text = (await runCli(["data", "preview", recipe, "--rows", "2"], folder.path)).stdout;
  expect(text).toMatch(/\nrow 1: \d+ of 96 positions, \d+ tokens to learn\n/);
  expect(text).toMatch(/\n── document 2\n<\|im_start\|>user\n/);
  expect(text).toContain("assistant\n⟦");
});

test.each<[string, object, string]>([
  ["characters", { tokenizer: "char" }, "data/chat-tokens"],
  [
    "a tokenizer without the template's tokens",
    { data: { ...chat.data, chat: { ...chat.data.chat, template: "llama3" } } },
    "data/chat-tokens",
  ],
  [
    "a template that is not there",
    { data: { ...chat.data, chat: { ...chat.data.chat, template: "no.jinja" } } },
    "data/chat-template",
  ],
  ["a context too short", { model: { llama: { ...model.llama, context: 8 } } }, "data/chat-long"],
  ["conversations for a perceptron", { model: { mlp: {} }, tokenizer: undefined }, "config/unread"],
  ["packing of a single text", { data: { path: "corpus.txt", packing: true } }, "data/split"],
])("%s: refused", async (_, changes, code) => {
  const result = await cli("train", writeTinyRecipe(folder.path, { ...chat, ...changes }), "--run-dir", "refused");
  expect(result.records.at(-1), result.stderr).toMatchObject({ code, fix: expect.any(String) });
  expect(result.code).toBe(2);
});

test("a model that was not trained on conversations does not chat, and a system message needs a conversation", async () => {
  const refused = await cli("generate", "base", "--chat", "--prompt", "hello");
  expect(refused.records.at(-1)).toMatchObject({ code: "model/chat", where: expect.stringContaining("base") });
  const alone = await cli("generate", "tuned", "--system", "be brief");
  expect(alone.records.at(-1)).toMatchObject({ code: "cli/argument", where: "--system" });
  const long = await cli("generate", "tuned", "--chat", "--prompt", "word ".repeat(60));
  expect(long.records.at(-1)).toMatchObject({ code: "generate/context" });
});

test("a table is no text to look at", async () => {
  writeFileSync(at("table.csv"), "a,b\n1,x\n2,y\n3,x\n4,y\n");
  const recipe = writeTinyRecipe(folder.path, {
    data: { path: "table.csv", heldOut: 0.5, onShort: "wrap" },
    model: { mlp: {} },
    tokenizer: undefined,
  });
  expect((await cli("data", "preview", recipe)).records.at(-1)).toMatchObject({ code: "data/preview" });
});
