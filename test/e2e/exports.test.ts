// Folders that are exported for Transformers, in several files: the very files that Transformers read, and in them the logits, ids and texts that
// it found. The figures: test/golden/exports.py.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromNumbers, toNumbers } from "../../src/base/index.ts";
import { type Tensor, trace } from "../../src/core/index.ts";
import { loadTokenizer } from "../../src/data/index.ts";
import { readHubModel } from "../../src/hub/index.ts";
import { modelFamily } from "../../src/models/index.ts";
import { functionalCall, type Module } from "../../src/nn/index.ts";
import { scratchFolder } from "../support/cli.ts";
import { assertClose } from "../support/close.ts";
import { runReference } from "../support/run-reference.ts";

const golden = JSON.parse(readFileSync("test/golden/exports.json", "utf8")) as {
  readonly shape: number[];
  readonly cases: {
    readonly [name: string]: {
      readonly files: { readonly [name: string]: string };
      readonly inputs: { readonly input_ids: number[][]; readonly decoder_input_ids?: number[][] };
      readonly logits: number[];
      readonly texts: readonly { readonly text: string; readonly ids: number[]; readonly decoded: string }[];
    };
  };
};
const scratch = scratchFolder();
afterAll(() => scratch.remove());
beforeAll(
  () => void execFileSync(process.execPath, ["test/golden/exports.mjs", scratch.path], { stdio: "pipe" }),
  240_000,
);

describe.each(Object.entries(golden.cases))("%s", (name, { files, inputs, logits, texts }) => {
  const folder = join(scratch.path, name);

  test("the files are those that Transformers read", () => {
    const hash = (file: string) =>
      createHash("sha256")
        .update(readFileSync(join(folder, file)))
        .digest("hex");
    expect(Object.fromEntries(readdirSync(folder).map((file) => [file, hash(file)]))).toEqual(files);
  });

  test("they give its logits", async () => {
    const { family, config, tensors, task = "language-model" } = await readHubModel(folder);
    const { module } = modelFamily(family).build(config, { task });
    const values = [...tensors].map(
      ([key, array]) => [key, fromNumbers("f64", array.shape, toNumbers(array))] as const,
    );
    const feeds = {
      ...Object.fromEntries(values),
      ...Object.fromEntries(
        Object.entries(inputs).map(([key, rows]) => [key, fromNumbers("i32", golden.shape, rows.flat())]),
      ),
    };
    const graph = trace(
      feeds,
      (given: { readonly [name: string]: Tensor }) => {
        const parameters = new Map(values.map(([key]) => [key, given[key]!]));
        const read = Object.keys(inputs).map((key) => given[key]!);
        const model = module as Module & { forward(...inputs: Tensor[]): Tensor };
        return functionalCall(model, parameters, () => model.forward(...read)) as Tensor;
      },
      { floatDType: "f64" },
    );
    assertClose(toNumbers(runReference(graph, feeds).result!), logits, {
      absolute: 1e-7,
      relative: 1e-7,
      what: "logits",
    });
  });

  test("its tokenizer encodes and decodes as AutoTokenizer does", async () => {
    const tokenizer = await loadTokenizer(join(folder, "tokenizer.json"));
    const ours = texts.map(({ text, ids }) => ({
      text,
      ids: [...tokenizer.encode(text)],
      decoded: tokenizer.decode(ids),
    }));
    expect(ours).toEqual(texts);
  });
});
