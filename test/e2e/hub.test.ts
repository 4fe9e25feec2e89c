// A model trained here, exported for Transformers, and read again from there: the same text, and training that goes on from it.
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";
import { HubServer } from "../support/hub-server.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());
const cli = (...args: string[]) => runCli(args, folder.path);

beforeAll(async () => {
  const recipe = writeTinyRecipe(folder.path, {
    model: { llama: { layers: 2, heads: 4, keyValueHeads: 2, width: 32, context: 16 } },
    steps: 30,
  });
  const { code, stderr } = await cli("train", recipe, "--run-dir", "run");
  expect(code, stderr).toBe(0);
}, 60_000);

test("what is exported writes the same text, and is exported again to the same files", async () => {
  expect(await cli("export", "run", "hub", "--layout", "huggingface")).toMatchObject({ code: 0 });
  for (const name of ["config.json", "model.safetensors", "tokenizer.json"])
    expect(existsSync(join(folder.path, "hub", name)), name).toBe(true);
  const text = async (model: string) =>
    (await cli("generate", model, "--prompt", "a", "--tokens", "20", "--greedy", "--json")).records.find(
      (record) => "text" in record,
    )?.text;
  expect(await text("hub")).toBe(await text("run"));
  expect(await cli("export", "hub", "again", "--layout", "huggingface")).toMatchObject({ code: 0 });
  for (const name of ["config.json", "model.safetensors"])
    expect(readFileSync(join(folder.path, "again", name)).equals(readFileSync(join(folder.path, "hub", name)))).toBe(
      true,
    );
});

test("training goes on from it", async () => {
  const recipe = writeTinyRecipe(folder.path, {
    model: { llama: { layers: 2, heads: 4, keyValueHeads: 2, width: 32, context: 16 } },
    tokenizer: "hub/tokenizer.json",
    optimizer: { sgd: { lr: 1e-9 } },
    steps: 1,
    eval: { every: 1 },
  });
  const lossOf = (records: readonly { readonly [key: string]: unknown }[]) =>
    records.findLast(({ type }) => type === "eval")?.loss as number;
  const [first, second] = [
    await cli("eval", "run", "--json"),
    await cli("train", recipe, "--run-dir", "second", "--init-from", "hub", "--json"),
  ];
  expect(second.code, second.stderr).toBe(0);
  const before = first.records.find((record) => typeof record.loss === "number")!.loss as number;
  expect(lossOf(second.records)).toBeCloseTo(before, 4);
  expect(second.stderr).not.toContain("other settings");
  const halves = ["--set", "model.llama.heads=2", "--set", "model.llama.keyValueHeads=1"]; // every tensor has the same shape
  for (const source of ["hub", "run"]) {
    const other = await cli("train", recipe, ...halves, "--run-dir", `other-${source}`, "--init-from", source);
    expect(other.stderr).toContain(`the weights of ${source} were trained with other settings: heads 4 → 2`);
  }
});

test("a recipe that names the folder has its model, tokenizer and weights, and is gone on with and repeated without a word more", async () => {
  expect(await cli("export", "run", "model")).toMatchObject({ code: 0 });
  cpSync(join(folder.path, "hub"), join(folder.path, "theirs"), { recursive: true });
  const tokenizer = join(folder.path, "theirs", "tokenizer.json"); // with spaces and in another order, as the tokenizers library writes it
  const { model, ...others } = JSON.parse(readFileSync(tokenizer, "utf8"));
  writeFileSync(tokenizer, JSON.stringify({ model, ...others }, undefined, 2));
  for (const from of ["theirs", "model"]) {
    const recipe = join(folder.path, `from-${from}.json`);
    const {
      model: _,
      tokenizer: __,
      ...rest
    } = JSON.parse(readFileSync(join(folder.path, writeTinyRecipe(folder.path)), "utf8"));
    writeFileSync(
      recipe,
      JSON.stringify({ ...rest, from, optimizer: { sgd: { lr: 1e-9 } }, steps: 2, eval: { every: 1 } }),
    );
    const lossOf = (run: { readonly records: readonly { readonly [key: string]: unknown }[] }) =>
      run.records.find(({ type }) => type === "eval")?.loss as number;
    const half = await cli("train", recipe, "--run-dir", `by-${from}`, "--until", "1", "--json");
    expect(half.code, JSON.stringify(half.records.at(-1))).toBe(0);
    const before = (await cli("eval", "run", "--json")).records.find((record) => typeof record.loss === "number")!;
    expect(lossOf(half)).toBeCloseTo(before.loss as number, 4);
    expect(await cli("train", recipe, "--resume", "--run-dir", `by-${from}`)).toMatchObject({ code: 0 });
    expect(await cli("reproduce", `by-${from}`)).toMatchObject({ code: 0 });
  }
});

test("in shards it is the same model, pushed to a Hub and pulled from there too", async () => {
  const { code, stderr } = await cli("export", "run", "shards", "--layout", "huggingface", "--shard-size", "20KiB");
  expect(code, stderr).toBe(0);
  const server = new HubServer();
  const hub = ["--hub-url", await server.start()];
  process.env.HF_TOKEN = server.token = "hf_test";
  try {
    expect((await cli("push", "shards", "me/mine", ...hub)).stdout).toContain("model-00001-of-0000");
    const pulled = await cli("pull", "me/mine", ...hub, "--json");
    expect(pulled.code, pulled.stderr).toBe(0);
    expect(pulled.records.at(-1)).toMatchObject({ commit: server.commit });
    expect((await cli("pull", "me/mine", ...hub, "--json")).records.at(-1)).toMatchObject({ code: "hub/exists" });
  } finally {
    delete process.env.HF_TOKEN;
    await server.stop();
  }
  expect(existsSync(join(folder.path, "mine", "model.safetensors"))).toBe(false);
  expect(await cli("export", "mine", "whole", "--layout", "huggingface")).toMatchObject({ code: 0 });
  for (const name of ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
    expect(readFileSync(join(folder.path, "whole", name)).equals(readFileSync(join(folder.path, "hub", name)))).toBe(
      true,
    );
}, 120_000);

test("what cannot be exported is refused, and nothing is written", async () => {
  writeFileSync(join(folder.path, "taken"), "");
  const taken = await cli("export", "run", "taken", "--layout", "huggingface", "--json");
  expect(taken.records.at(-1)).toMatchObject({ code: "path/exists" });
  const layout = await cli("export", "run", "other", "--layout", "onnx", "--json");
  expect(layout.records.at(-1)).toMatchObject({ code: "cli/argument", got: "onnx" });
  for (const flags of [
    ["--shard-size", "9GiB"],
    ["--layout", "huggingface", "--shard-size", "many"],
  ])
    expect((await cli("export", "run", "other", ...flags, "--json")).records.at(-1)).toMatchObject({
      code: "cli/argument",
      where: "--shard-size",
    });
  expect(existsSync(join(folder.path, "other"))).toBe(false);
});
