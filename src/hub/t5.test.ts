// T5's folders as Transformers wrote them, of both versions: logits, loss, gradients, texts by every search, and written again.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { fromNumbers, type HostArray, sizeOf, toNumbers } from "../base/index.ts";
import { SafetensorsFile, writeSafetensors } from "../checkpoint/index.ts";
import { gradients, type Tensor, trace } from "../core/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { type BeamOptions, SequenceGenerator } from "../generate/index.ts";
import { T5, type T5Config, t5Presets } from "../models/index.ts";
import { crossEntropy, functionalCall } from "../nn/index.ts";
import { type HubModel, hubFiles, readHubModel } from "./index.ts";
import { transpose } from "./read.ts";

interface Case {
  readonly files: { readonly [name: string]: string };
  readonly logits: number[];
  readonly loss: number;
  /** By the file's names: norm, and projection on cos(0), cos(1), … */
  readonly gradients: { readonly [name: string]: readonly [norm: number, projection: number] };
  readonly texts: { readonly [search: string]: number[][] };
}
const golden = JSON.parse(readFileSync("test/golden/hub-t5.json", "utf8")) as {
  readonly context: number;
  readonly time: number;
  readonly source: number[][];
  readonly targets: number[][];
  readonly counts: { readonly [preset: string]: number };
  readonly cases: { readonly [name: string]: Case };
};
const { context, time, source, targets } = golden;
const scratch = mkdtempSync(join(tmpdir(), "athanor-hub-t5-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let made = 0;

function folderOf(files: { readonly [name: string]: string }): string {
  const folder = join(scratch, `${made++}`);
  mkdirSync(folder);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), Buffer.from(text, "base64"));
  return folder;
}

function filled(rows: readonly number[][], width: number): HostArray {
  const data = rows.flatMap((row) => [...row, ...new Array<number>(width).fill(-1)].slice(0, width));
  return fromNumbers("i32", [rows.length, width], data);
}

const isMatrix = (name: string, { length }: readonly number[]) =>
  length === 2 && !/^shared|^lm_head|relative_attention_bias/.test(name);

function run({ config, tensors }: HubModel) {
  const module = new T5(config as T5Config);
  const values = [...tensors].map(([key, a]) => [key, fromNumbers("f64", a.shape, toNumbers(a))] as const);
  const inputs = {
    source: filled(source, context),
    tokens: filled(
      targets.map((row) => [0, ...row]),
      time,
    ),
    targets: filled(targets, time),
  };
  const feeds = { ...Object.fromEntries(values), ...inputs };
  const graph = trace(
    feeds,
    (given: { readonly [name: string]: Tensor }) => {
      const parameters = new Map(values.map(([key]) => [key, given[key]!]));
      return functionalCall(module, parameters, () => {
        const logits = module.forward(given.source!, given.tokens!);
        const loss = crossEntropy(logits.reshape(-1, logits.shape[2]!), given.targets!.reshape(-1));
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
    found.set(
      name,
      `${dtype}[${shape}] ${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64")}`,
    );
  }
  await file.close();
  return found;
}

const searches: { readonly [name: string]: BeamOptions } = {
  greedy: { beams: 1 },
  "three beams": { beams: 3, lengthPenalty: 1 },
  short: { beams: 4, lengthPenalty: 0 },
  long: { beams: 3, lengthPenalty: 2 },
  early: { beams: 3, lengthPenalty: 1, earlyStopping: true },
};

describe.each(Object.entries(golden.cases))("the %s version", (_, wanted) => {
  test("gives the logits, the loss and the gradients that Transformers gives", async () => {
    const model = await readHubModel(folderOf(wanted.files));
    const outputs = run(model);
    assertClose(toNumbers(outputs.logits!), wanted.logits, { absolute: 1e-10, what: "logits" });
    assertClose(toNumbers(outputs.loss!), [wanted.loss], { absolute: 1e-10, what: "loss" });
    for (const key of model.tensors.keys()) {
      const ours = outputs[`gradient ${key}`]!;
      const grad = toNumbers(isMatrix(key, ours.shape) ? transpose(ours) : ours);
      const norm = Math.sqrt(grad.reduce((sum, g) => sum + g * g, 0));
      const projection = grad.reduce((sum, g, at) => sum + g * Math.cos(at), 0);
      assertClose([norm, projection], [...wanted.gradients[key]!], { absolute: 1e-9, what: `gradient of ${key}` });
    }
    expect([...model.tensors.keys()].sort()).toEqual(Object.keys(wanted.gradients).sort());
  });

  test("writes the texts that Transformers writes, token for token", async () => {
    const { config, tensors } = await readHubModel(folderOf(wanted.files));
    const engine = new ReferenceEngine();
    const store = engine.createStore();
    for (const [name, array] of tensors) {
      const value = fromNumbers("f64", array.shape, toNumbers(array));
      store.declare([{ name, dtype: "f64", shape: array.shape }]);
      store.write(name, value);
    }
    const generator = new SequenceGenerator({ engine, store, model: new T5(config as T5Config) });
    for (const [name, options] of Object.entries(searches)) {
      const sources = source.map((row) => row.slice(0, -1)); // the end is added
      const found = await generator.generate(sources, { ...options, maxTokens: time });
      expect([name, found.map((best) => best[0]!.tokens)]).toEqual([name, wanted.texts[name]]);
    }
  });

  test("is written as it was: the same configuration, names and bytes", async () => {
    const before = folderOf(wanted.files);
    const model = await readHubModel(before);
    const { tensors, texts, metadata } = hubFiles(model);
    const after = folderOf({});
    await writeSafetensors(join(after, "model.safetensors"), tensors, { metadata });
    for (const [file, text] of texts) writeFileSync(join(after, file), text);
    expect(await readHubModel(after)).toEqual({ ...model, folder: after });
    const read = (folder: string) => JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    const [theirs, ours] = [read(before), read(after)];
    for (const [key, value] of Object.entries(ours))
      if (key in theirs) expect([key, value]).toEqual([key, theirs[key]]);
    expect(await tensorsIn(after)).toEqual(await tensorsIn(before));
  });
});

test.each(Object.entries(golden.counts))("%s has the published number of parameters", (name, count) => {
  const config = { ...t5Presets[name as keyof typeof t5Presets], vocab: 32128, start: 0, end: 1 };
  expect([...new T5(config).parameters().values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0)).toBe(count);
});

test("a feed-forward part of another kind is refused, and a model that no folder holds is not published", async () => {
  const { files } = golden.cases.first!;
  const config = JSON.parse(Buffer.from(files["config.json"]!, "base64").toString());
  const changed = Buffer.from(JSON.stringify({ ...config, feed_forward_proj: "tanh" })).toString("base64");
  await expect(readHubModel(folderOf({ ...files, "config.json": changed }))).rejects.toThrow("feed_forward_proj");
  const model = await readHubModel(folderOf(files));
  for (const wrong of [{ activation: "tanh" }, { scaledHead: false }])
    expect(() => hubFiles({ ...model, config: { ...(model.config as T5Config), ...wrong } })).toThrow(
      expect.objectContaining({ code: "hub/export" }),
    );
});
