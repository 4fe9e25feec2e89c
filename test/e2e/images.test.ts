// Images from a pair of IDX files, by the command line: trained, evaluated on a set of their own, predicted.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { load } from "../../src/api/index.ts";
import { RandomStream } from "../../src/base/index.ts";
import { runCli, scratchFolder } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
const recipe = {
  data: { path: "train-images-idx3-ubyte.gz", heldOutPath: "t10k-images-idx3-ubyte", source: "made by this test" },
  model: { mlp: { hidden: [16] } },
  optimizer: { adam: { lr: 0.01 } },
  steps: 60,
  eval: { every: 60, batch: 32 },
};

/** Noise of 4 × 4 pixels, with a bright row where the label says. */
function images(count: number, seed: number) {
  const stream = new RandomStream(seed, "images");
  const labels = Uint8Array.from({ length: count }, (_, image) => stream.below(4, 100, image));
  const pixels = Uint8Array.from({ length: 16 * count }, (_, at) => {
    const [image, row] = [Math.floor(at / 16), Math.floor(at / 4) % 4];
    return stream.below(120, at % 16, image) + (row === labels[image] ? 130 : 0);
  });
  return { labels, pixels };
}

function write(part: string, count: number, seed: number, wrap: (bytes: Uint8Array) => Uint8Array, ending: string) {
  const { labels, pixels } = images(count, seed);
  const header = (...sizes: number[]) => {
    const bytes = Buffer.alloc(4 + 4 * sizes.length);
    bytes.set([0, 0, 8, sizes.length]);
    for (const [axis, size] of sizes.entries()) bytes.writeUInt32BE(size, 4 + 4 * axis);
    return bytes;
  };
  const put = (name: string, ...parts: Uint8Array[]) =>
    writeFileSync(join(folder.path, `${part}-${name}-ubyte${ending}`), wrap(Buffer.concat(parts)));
  put("images-idx3", header(count, 4, 4), pixels);
  put("labels-idx1", header(count), labels);
  return { labels, pixels };
}

let tests: ReturnType<typeof images>;
beforeAll(() => {
  folder = scratchFolder();
  write("train", 300, 1, gzipSync, ".gz");
  tests = write("t10k", 50, 2, (bytes) => bytes, "");
  writeFileSync(join(folder.path, "images.json"), JSON.stringify(recipe));
});
afterAll(() => folder.remove());

test("train, eval and predict on images", async () => {
  const trained = await runCli(["train", "images.json", "--run-dir", "run", "--json"], folder.path);
  expect(trained.code, trained.stderr).toBe(0);
  expect(trained.stderr).toContain("300 images of 4 × 4 in 4 classes, 50 images held out");
  const evaluation = trained.records.find(({ event }) => event === "eval") as { accuracy: number };
  const { accuracy } = evaluation;
  expect(evaluation).not.toHaveProperty("perplexity"); // which is of language models
  expect(accuracy).toBeGreaterThan(0.95);
  expect((await runCli(["eval", "run", "--json"], folder.path)).records[0]).toMatchObject({ count: 50, accuracy });

  const predicted = await runCli(["predict", "run", "t10k-images-idx3-ubyte", "--json"], folder.path);
  const right = predicted.records.filter(({ label }, at) => label === String(tests.labels[at])).length;
  expect(right / 50).toBeCloseTo(accuracy, 12);

  const model = await load(join(folder.path, "run"));
  expect(await model.predict(tests.pixels.subarray(0, 16))).toMatchObject({ label: String(tests.labels[0]) });
  const exported = await runCli(["export", "run", "exported", "--dtype", "bf16"], folder.path);
  expect(exported.code, exported.stderr).toBe(0);
  const again = await load(join(folder.path, "exported"));
  expect(await again.predict(tests.pixels.subarray(0, 16))).toMatchObject({ label: String(tests.labels[0]) });
  await expect(model.predict(tests.pixels)).rejects.toThrow("800 values");
  await expect(model.predict(Float32Array.of(...new Array(15).fill(0), Number.NaN))).rejects.toThrow("row 1, pixel 16");
  await expect(model.predict("a text")).rejects.toThrow("this model predicts images");
});

test.each([
  ["data.path=lost-images-idx3-ubyte", "data.source says: made by this test"],
  ["data.path=t10k-labels-idx1-ubyte", "cannot be told from their name"],
  ["data.columns={ a: number }", "data.columns"],
  ["tokenizer=char", "tokenizer"],
])("%s is refused", async (change, message) => {
  const { code, stderr } = await runCli(["train", "images.json", "--set", change, "--run-dir", "no"], folder.path);
  expect(stderr).toContain(message);
  expect(code).toBe(2);
});

test("a table has held-out rows of its own in the same way", async () => {
  const rows = (from: number) =>
    Array.from({ length: 40 }, (_, at) => `${from + at},${(from + at) % 2 ? "odd" : "even"}`);
  writeFileSync(join(folder.path, "a.csv"), ["x,kind", ...rows(0)].join("\n"));
  writeFileSync(join(folder.path, "b.csv"), ["x,kind", ...rows(7)].slice(0, 12).join("\n"));
  const table = { ...recipe, data: { path: "a.csv", heldOutPath: "b.csv" }, steps: 3 };
  writeFileSync(join(folder.path, "table.json"), JSON.stringify(table));
  const { code, stderr } = await runCli(["train", "table.json", "--run-dir", "table"], folder.path);
  expect(code, stderr).toBe(0);
  expect((await runCli(["eval", "table", "--json"], folder.path)).records[0]).toMatchObject({ count: 11 });
  const text = ["train", "table.json", "--set", "model={ gpt: { layers: 1, heads: 1, width: 8, context: 8 } }"];
  expect((await runCli(text, folder.path)).stderr).toContain("data.heldOutPath");
});
