// Documents to shards to a model, on the command line: the same bytes for one worker and two, killed or stopped on the way; trained on, the
// shards give what the documents give, and a run on them goes on to the same bytes.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeText, runCli, scratchFolder, startCli } from "../support/cli.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());
const cli = (...args: string[]) => runCli([...args, "--json"], folder.path);

const contents = (name: string) => {
  const path = join(folder.path, name);
  const hash = (file: string) =>
    createHash("sha256")
      .update(readFileSync(join(path, file)))
      .digest("hex");
  return readdirSync(path).map((file) => [file, hash(file)]);
};

const large = (output: string, workers = 2) => [
  ...["data", "tokenize", "large.jsonl", "--output", output, "--tokenizer", "byte"],
  ...["--workers", String(workers), "--shard-size", "2MiB"],
];

beforeAll(async () => {
  const text = makeText(1 << 20);
  const row = (at: number) =>
    `${JSON.stringify({ text: `${at} ${text.slice((at * 997) % 1000, 20_000 + ((at * 7919) % 500_000))}` })}\n`;
  writeFileSync(join(folder.path, "large.jsonl"), Array.from({ length: 60 }, (_, at) => row(at)).join(""));
  const small = (at: number) => `${JSON.stringify({ text: makeText(40 + ((at * 37) % 300), at) })}\n`;
  writeFileSync(join(folder.path, "small.jsonl"), Array.from({ length: 120 }, (_, at) => small(at)).join(""));
  expect(await cli("data", "tokenize", "small.jsonl", "--output", "small")).toMatchObject({ code: 0 });
  expect(await runCli(large("straight", 1), folder.path)).toMatchObject({ code: 0 });
});

test("one worker or two, the bytes are the same", async () => {
  expect(await runCli(large("two"), folder.path)).toMatchObject({ code: 0 });
  expect(contents("two").length).toBeGreaterThan(8);
  expect(contents("two")).toEqual(contents("straight"));
});

test.each([
  ["SIGKILL", null],
  ["SIGINT", 130],
  ["SIGTERM", 75],
] as const)("ended by %s again and again, the same command goes on to the same bytes", async (signal, code) => {
  let started = 0;
  for (let ended = false; !ended; started++) {
    const before = shardsIn(signal);
    const running = startCli(large(signal), folder.path);
    const isDone = running.done.then(() => true);
    while (shardsIn(signal) < before + 2 && !(await Promise.race([isDone, setTimeout(5, false)])));
    running.child.kill(signal);
    const result = await running.done;
    ended = result.code === 0;
    if (!ended) expect([result.code, result.signal]).toEqual([code, code === null ? signal : null]);
    expect(shardsIn(signal)).toBeGreaterThanOrEqual(before);
  }
  expect(started).toBeGreaterThan(2);
  expect(contents(signal)).toEqual(contents("straight"));
});

/** Shards that the manifest names. */
function shardsIn(name: string): number {
  const path = join(folder.path, name, "manifest.json");
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).shards.length : 0;
}

function writeRecipe(name: string, data: object): string {
  const recipe = {
    data: { heldOut: 0.2, ...data },
    model: { gpt: { layers: 1, heads: 2, width: 16, context: 32, dropout: 0, bias: true } },
    optimizer: { adamw: { lr: 3e-3 } },
    batch: { size: 4 },
    steps: 12,
    eval: { every: 6 },
    checkpoint: { every: 6 },
  };
  writeFileSync(join(folder.path, name), JSON.stringify(recipe));
  return name;
}

const done = (result: Awaited<ReturnType<typeof cli>>) => {
  expect(result.code, result.stderr).toBe(0);
  return result.records.find(({ event }) => event === "done") ?? result.records.at(-1)!;
};

test("packed, a model of the shards is byte for byte the model of the documents", async () => {
  const [texts, shards] = ["small.jsonl", "small"].map((path) =>
    writeRecipe(`${path}.packed.json`, { path, packing: true }),
  );
  done(await cli("train", texts!, "--run-dir", "texts"));
  done(await cli("train", shards!, "--run-dir", "shards"));
  const weights = (run: string) =>
    contents(join(run, "checkpoints", "step-12")).filter(([file]) => file!.endsWith(".safetensors"));
  expect(weights("shards").length).toBeGreaterThan(0);
  expect(weights("shards")).toEqual(weights("texts"));
});

test("a run on shards, paused and resumed, ends in the same bytes; it is evaluated and used", async () => {
  const recipe = writeRecipe("windows.json", { path: "small" });
  done(await cli("train", recipe, "--run-dir", "whole"));
  done(await cli("train", recipe, "--run-dir", "paused", "--until", "7"));
  done(await cli("train", recipe, "--run-dir", "paused", "--resume"));
  const weights = (run: string) =>
    contents(join(run, "checkpoints", "step-12")).filter(([file]) => file!.endsWith(".safetensors"));
  expect(weights("paused")).toEqual(weights("whole"));
  done(await cli("eval", "whole"));
  done(await cli("generate", "whole", "--prompt", "the ", "--tokens", "4"));
});

test("a recipe in place of documents means its data; its shards mix, and teach what else texts do", async () => {
  const recipe = writeRecipe("texts.json", { path: "small.jsonl", packing: true });
  writeFileSync(join(folder.path, "texts.yaml"), readFileSync(join(folder.path, recipe))); // JSON is YAML
  done(await cli("data", "tokenize", "texts.yaml", "--output", "named"));
  expect(contents("named")).toEqual(contents("small"));
  const mix = [{ path: "small", weight: 3 }, { path: "named" }];
  for (const packing of [false, true]) done(await cli("train", writeRecipe("mix.json", { mix, packing })));
  const bert = { layers: 1, heads: 2, width: 16, context: 32 };
  const masked = {
    data: { path: "small", task: "masked-language-model" },
    model: { bert },
    batch: { size: 4 },
    steps: 2,
  };
  writeFileSync(join(folder.path, "masked.json"), JSON.stringify(masked));
  done(await cli("train", "masked.json"));
});

test("refused: another tokenizer than the shards', shards that are damaged or unfinished", async () => {
  const refused = async (code: string, ...args: string[]) => {
    const { code: exit, records } = await cli(...args);
    expect([exit, records.at(-1)]).toEqual([2, expect.objectContaining({ code, fix: expect.any(String) })]);
  };
  const recipe = writeRecipe("refused.json", { path: "small" });
  await refused("config/tokens", "train", recipe, "--set", "tokenizer={ bpe: 300 }");
  done(await cli("data", "tokenize", "small.jsonl", "--output", "trained", "--vocab", "300"));
  await refused("data/stale-tokens", "train", recipe, "--set", "tokenizer=trained/tokenizer.json");
  await refused(
    "cli/argument",
    "data",
    "tokenize",
    "small.jsonl",
    "--output",
    "x",
    "--vocab",
    "300",
    "--tokenizer",
    "byte",
  );
  truncateSync(join(folder.path, "small", "shard-00000.bin"), 100);
  await refused("data/shard", "train", recipe);
  const manifest = JSON.parse(readFileSync(join(folder.path, "small", "manifest.json"), "utf8"));
  writeFileSync(
    join(folder.path, "small", "manifest.json"),
    JSON.stringify({ ...manifest, next: { source: 0, piece: 1 } }),
  );
  await refused("data/unfinished-tokens", "train", recipe);
});
