// BERT's folders as Transformers wrote them, one for each head: logits, loss and gradients over rows with padding, and written again.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { SafetensorsFile, writeSafetensors } from "../checkpoint/index.ts";
import { gradients, type Tensor, trace } from "../core/index.ts";
import { modelFamily } from "../models/index.ts";
import { crossEntropy, functionalCall } from "../nn/index.ts";
import { type HubModel, hubFiles, readHubModel } from "./index.ts";
import { transpose } from "./read.ts";

interface Case {
  readonly files: { readonly [name: string]: string };
  readonly targets: { readonly [name: string]: number[] };
  readonly logits: number[];
  readonly loss: number;
  /** By the file's names: norm, and projection on cos(0), cos(1), … */
  readonly gradients: { readonly [name: string]: readonly [norm: number, projection: number] };
}
const golden = JSON.parse(readFileSync("test/golden/hub-bert.json", "utf8")) as {
  readonly batch: number;
  readonly time: number;
  readonly choices: number;
  readonly tokens: number[];
  readonly tokenTypes: number[];
  readonly cases: { readonly [name: string]: Case };
};
const { batch, time, choices } = golden;
const scratch = mkdtempSync(join(tmpdir(), "athanor-hub-bert-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let made = 0;

function folderOf(files: { readonly [name: string]: string }): string {
  const folder = join(scratch, `${made++}`);
  mkdirSync(folder);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), Buffer.from(text, "base64"));
  return folder;
}

/** The rows, each beside the one before it where a model chooses between two. */
function inputsFor(name: string): { [name: string]: HostArray } {
  const row = (values: number[], at: number) => values.slice(at * time, (at + 1) * time);
  if (name !== "choices") {
    const tokens = fromNumbers("i32", [batch, time], golden.tokens);
    return name === "spans" ? { tokens, types: fromNumbers("i32", [batch, time], golden.tokenTypes) } : { tokens };
  }
  const pairs = Array.from({ length: batch }, (_, at) => [at, (at + batch - 1) % batch]).flat();
  const data = pairs.flatMap((at) => row(golden.tokens, at));
  return { tokens: fromNumbers("i32", [batch, choices, time], data) };
}

/** The loss that Transformers has of a head's outputs; −100 counts for nothing there. */
function lossOf(logits: Tensor, targets: { readonly [name: string]: Tensor }): Tensor {
  const { labels, start_positions: start, end_positions: end } = targets;
  if (start !== undefined) {
    const scores = (at: number) => logits.slice(-1, at, at + 1).reshape(batch, time);
    return crossEntropy(scores(0), start)
      .add(crossEntropy(scores(1), end!))
      .mul(0.5);
  }
  if (labels === undefined) return logits.square().sum();
  if (labels.dtype !== "i32") return logits.reshape(-1).sub(labels).square().mean();
  return crossEntropy(logits.reshape(-1, logits.shape.at(-1)!), labels, { ignoreIndex: -100 });
}

function run({ family, config, task, tensors }: HubModel, name: string, targets: Case["targets"]) {
  const { module } = modelFamily(family).build(config, { task });
  const values = [...tensors].map(([key, a]) => [key, fromNumbers("f64", a.shape, toNumbers(a))] as const);
  const wanted = Object.entries(targets).map(([key, given]) => {
    const dtype = name === "regression" ? "f64" : "i32";
    return [key, fromNumbers(dtype, [given.length], given)] as const;
  });
  const inputs = inputsFor(name);
  const feeds = { ...Object.fromEntries([...values, ...wanted]), ...inputs };
  const graph = trace(
    feeds,
    (given: { readonly [name: string]: Tensor }) => {
      const parameters = new Map(values.map(([key]) => [key, given[key]!]));
      return functionalCall(module, parameters, () => {
        const logits = module.forward(...Object.keys(inputs).map((key) => given[key]!)) as Tensor;
        const loss = lossOf(logits, Object.fromEntries(wanted.map(([key]) => [key, given[key]!])));
        const grads = gradients([loss], [...parameters.values()]);
        return { logits, loss, ...Object.fromEntries(values.map(([key], at) => [`gradient ${key}`, grads[at]!])) };
      });
    },
    { floatDType: "f64" },
  );
  return runReference(graph, feeds);
}

async function tensorsIn(folder: string): Promise<Map<string, string>> {
  const file = await SafetensorsFile.open(join(folder, "model.safetensors"));
  const found = new Map<string, string>();
  for (const name of file.names) {
    const { dtype, shape, data } = await file.read(name);
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
    found.set(name, `${dtype}[${shape}] ${bytes}`);
  }
  await file.close();
  return found;
}

describe.each(Object.entries(golden.cases))("%s", (name, { files, targets, logits, loss, gradients }) => {
  test("gives the logits, the loss and the gradients that Transformers gives", async () => {
    const model = await readHubModel(folderOf(files));
    const outputs = run(model, name, targets);
    assertClose(toNumbers(outputs.logits!), logits, { absolute: 1e-10, what: "logits" });
    assertClose(toNumbers(outputs.loss!), [loss], { absolute: 1e-10, what: "loss" });
    const inFile = (key: string) => (name === "encoder" ? key.replace("bert.", "") : key);
    for (const key of model.tensors.keys()) {
      const ours = outputs[`gradient ${key}`]!;
      const isMatrix = ours.shape.length === 2 && !key.includes("_embeddings");
      const grad = toNumbers(isMatrix ? transpose(ours) : ours);
      const norm = Math.sqrt(grad.reduce((sum, g) => sum + g * g, 0));
      const projection = grad.reduce((sum, g, at) => sum + g * Math.cos(at), 0);
      assertClose([norm, projection], [...gradients[inFile(key)]!], { absolute: 1e-9, what: `gradient of ${key}` });
    }
    expect(model.tensors.size).toBe(Object.keys(gradients).length);
  });

  test("is written as it was: the same configuration, names and bytes", async () => {
    const before = folderOf(files);
    const model = await readHubModel(before);
    const { tensors, texts, metadata } = hubFiles(model);
    const after = folderOf({});
    await writeSafetensors(join(after, "model.safetensors"), tensors, { metadata });
    for (const [file, text] of texts) writeFileSync(join(after, file), text);
    expect(await readHubModel(after)).toEqual({ ...model, folder: after });
    if (name === "masked of old") return;
    const read = (folder: string) => JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    const [theirs, ours] = [read(before), read(after)];
    for (const [key, value] of Object.entries(ours))
      if (key in theirs) expect([key, value]).toEqual([key, theirs[key]]);
    expect(await tensorsIn(after)).toEqual(await tensorsIn(before));
  });
});

const changed = (name: string, changes: object) => {
  const { files } = golden.cases[name]!;
  const config = { ...JSON.parse(Buffer.from(files["config.json"]!, "base64").toString()), ...changes };
  return folderOf({ ...files, "config.json": Buffer.from(JSON.stringify(config)).toString("base64") });
};

test("the classes' names are read, and their number is the head's", async () => {
  const { classes, task } = await readHubModel(folderOf(golden.cases.classes!.files));
  expect([classes, task]).toEqual([["no", "maybe", "yes"], "classification"]);
});

test.each([
  ["an activation that is another", "masked", { hidden_act: "relu" }, "hidden_act"],
  ["positions of another kind", "masked", { position_embedding_type: "relative_key" }, "position_embedding_type"],
  ["another head", "masked", { architectures: ["BertForTokenClassification"] }, "classifier.weight"],
  ["fewer classes than there are", "classes", { id2label: { 0: "no" } }, "classifier.weight"],
])("%s is refused", async (_, name, changes, words) => {
  await expect(readHubModel(changed(name, changes))).rejects.toThrow(words);
});

test("a text that is pooled in a way of its own is not published", () => {
  const config = { layers: 1, heads: 1, width: 2, hidden: 2, context: 2, pooling: "mean" };
  const tensors = new Map([["x", fromNumbers("f32", [1], [0])]]);
  const model = { family: "bert", config, task: "classification", tensors } as const;
  expect(() => hubFiles(model)).toThrow(expect.objectContaining({ code: "hub/export" }));
});
