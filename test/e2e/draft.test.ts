// The flags of speculative decoding: a draft changes no text that is always the likeliest, tells how many of its tokens were taken, and is
// refused where nothing can be made of it.
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());
const cli = (...args: string[]) => runCli([...args, "--json"], folder.path);
const write = async (...args: string[]) => {
  const { code, records, stderr } = await cli("generate", "large", "--prompt", "the ", "--tokens", "24", ...args);
  expect(code, stderr).toBe(0);
  return { texts: records.filter((record) => "text" in record), stderr };
};

beforeAll(async () => {
  const adamw = { adamw: { lr: 3e-3 } };
  const models = {
    large: { optimizer: adamw },
    small: { optimizer: adamw, model: { gpt: { layers: 1, heads: 2, width: 16, context: 16 } } },
    other: { data: { path: "corpus.txt" }, tokenizer: "byte", steps: 1 },
  };
  for (const [name, changes] of Object.entries(models)) {
    const { code, stderr } = await cli(
      "train",
      writeTinyRecipe(folder.path, { steps: 30, ...changes }),
      "--run-dir",
      name,
    );
    expect(code, stderr).toBe(0);
  }
}, 120_000);

test("the likeliest text stays as it is, for one and for several", async () => {
  const plain = await write("--greedy");
  for (const numTokens of ["1", "3"]) {
    const { texts, stderr } = await write("--greedy", "--draft", "small", "--draft-tokens", numTokens);
    expect(texts[0]!.text).toBe(plain.texts[0]!.text);
    const { proposed, accepted } = texts[0]!.draft as { proposed: number; accepted: number };
    expect(proposed).toBeGreaterThanOrEqual(accepted);
    expect(stderr).toContain(`${accepted} of ${proposed} draft tokens accepted`);
  }
  const { texts } = await write("--greedy", "--draft", "large", "--samples", "2");
  expect(texts.map(({ text }) => text)).toEqual([plain.texts[0]!.text, plain.texts[0]!.text]);
  for (const { draft } of texts) expect(draft).toMatchObject({ proposed: (draft as { accepted: number }).accepted });
  expect(plain.texts[0]).not.toHaveProperty("draft");
});

test.each([
  ["beside a search", ["--draft", "small", "--beams", "2"], { code: "cli/argument", where: "--draft" }],
  ["of another tokenizer", ["--draft", "other"], { code: "model/draft" }],
  ["that is not there", ["--draft", "nowhere"], { code: "path/missing" }],
  [
    "that proposes nothing",
    ["--draft", "small", "--draft-tokens", "0"],
    { code: "cli/number", where: "--draft-tokens" },
  ],
])("a draft %s is refused", async (_, args, error) => {
  const { code, records } = await cli("generate", "large", ...args);
  expect(code).not.toBe(0);
  expect(records.at(-1)).toMatchObject(error);
});

test("what an error advises is a command, not a call", async () => {
  expect(await cli("export", "small", "exported")).toMatchObject({ code: 0 });
  const again = await cli("export", "small", "exported");
  expect(again.records.at(-1)).toMatchObject({ code: "path/exists", fix: "choose a new folder, or add --replace" });
  const predicted = await cli("predict", "small", "corpus.txt");
  expect(predicted.records.at(-1)).toMatchObject({ fix: expect.stringContaining("npx athanor generate") });
});
