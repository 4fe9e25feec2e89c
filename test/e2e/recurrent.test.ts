// A recurrent language model from raw text to a folder of its own: trained, stopped and gone on with, evaluated, written with, exported.
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { load } from "../../src/index.ts";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());
const cli = (...args: string[]) => runCli(args, folder.path);

test("train, resume, eval, generate and export, all of one model", async () => {
  writeTinyRecipe(folder.path, {
    tokenizer: "char",
    model: { rnn: { cell: "gru", layers: 2, width: 32, context: 24, dropout: 0.1, tiedHead: true } },
    optimizer: { adamw: { lr: 1e-2, clip: 1 } },
    steps: 60,
  });
  const whole = await cli("train", "tiny.json", "--run-dir", "whole", "--json");
  expect(whole.code, whole.stderr).toBe(0);
  const losses = whole.records.filter(({ type }) => type === "step").map(({ loss }) => loss as number);
  expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.5);
  expect((await cli("train", "tiny.json", "--run-dir", "halved", "--until", "25")).code).toBe(0);
  const resumed = await cli("train", "tiny.json", "--run-dir", "halved", "--resume", "--json");
  const hashes = [whole, resumed].map(({ records }) => records.find(({ type }) => type === "end")?.hash);
  expect(hashes[0]).toBe(hashes[1]);

  const told = await cli("eval", "whole", "--json");
  expect(told.code, told.stderr).toBe(0);
  expect((await cli("export", "whole", "model")).code).toBe(0);
  const written = await cli("generate", "whole", "--prompt", "the ", "--greedy", "--tokens", "40");
  expect(written.code, written.stderr).toBe(0);
  const model = await load(join(folder.path, "model"));
  const { text } = await model.generate("the ", { temperature: 0, maxTokens: 40 });
  expect(text.length).toBe(40); // goes past the context
  expect(written.stdout).toContain(text);
  const refused = await cli("export", "whole", "published", "--layout", "huggingface");
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("rnn");
}, 120_000);
