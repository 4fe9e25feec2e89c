// A GPT against a source that it cannot beat, its text with and without the cache, and its published size.
import { writeFile } from "node:fs/promises";
import { evaluateRun, load, train } from "../../api/index.ts";
import { fromNumbers, RandomStream, toNumbers } from "../../base/index.ts";
import { loadLatest } from "../../checkpoint/index.ts";
import { compile } from "../../compiler/index.ts";
import { trace, variable } from "../../core/index.ts";
import { parseTokenizer } from "../../data/index.ts";
import { loadNativeEngine, ReferenceEngine } from "../../engine/index.ts";
import { chooseToken } from "../../generate/index.ts";
import { Gpt, type GptConfig, gptPresets } from "../../models/index.ts";
import { functionalCall } from "../../nn/index.ts";
import type { RecipeInput } from "../../recipe/index.ts";
import { MarkovSource } from "../markov.ts";
import { atLeast, atMost, equal, type Figure, type Proof, type ProofContext, shown } from "../proof.ts";

const numCharacters = 400_000;

const recipeFor = (path: string): RecipeInput => ({
  data: { path, heldOut: 0.1 },
  tokenizer: "char",
  model: { gpt: { layers: 2, heads: 4, width: 64, context: 64, bias: false } },
  optimizer: { adamw: { lr: { cosine: { peak: 4e-3, warmup: 50, floor: 1e-4 } }, betas: [0.9, 0.98], clip: 1 } },
  batch: { size: 16 },
  steps: 1000,
  seed: 1,
  eval: { every: 0, batch: 64 },
  checkpoint: { every: 1000 },
});

async function tinyGpt({ folder, data, signal, note }: ProofContext): Promise<Figure[]> {
  const source = new MarkovSource({ alphabet: "abcdefgh", seed: 11, sharpness: 1.2 });
  const text = source.text(numCharacters, 1);
  const path = data ?? `${folder}/source.txt`;
  if (data === undefined) await writeFile(path, text);
  const runDir = `${folder}/run`;
  const model = await train(recipeFor(path), {
    runDir,
    onEvent: (event) => {
      if (event.type === "step" && event.step % 100 === 0) note(`step ${event.step}: loss ${event.loss.toFixed(4)}`);
    },
    ...(signal === undefined ? {} : { signal }),
  });
  const { loss, count } = await evaluateRun(runDir);
  const prompt = data === undefined ? "ab" : "\n";
  const cached = await model.generate(prompt, settings);
  const figures = [
    equal("text written with the cache", cached.text, await withoutCache(runDir, prompt)),
    equal("parameters of gpt2", numParameters(gptPresets.gpt2), 124_439_808),
  ];
  if (data !== undefined) return [shown("held-out loss", loss), shown("held-out tokens", count), ...figures];
  // What the source itself, knowing its own chances, is surprised by on the very same characters.
  const oracle = source.surprise(text, count);
  return [
    shown("entropy rate of the source, nats", source.entropyRate()),
    shown(`surprise of the source over ${count} held-out characters`, oracle.mean),
    shown("its standard error", oracle.standardError),
    shown("held-out loss", loss),
    atMost("loss above the source's own", loss - oracle.mean, 0.02),
    atLeast("the same in standard errors: below −3 would be a leak", (loss - oracle.mean) / oracle.standardError, -3),
    ...figures,
  ];
}

/** Within the context, prompt included. */
const settings = { seed: 5, temperature: 1, maxTokens: 48 };

/** The text that `generate` writes, with every logit from a whole forward pass over all that was written so far. */
async function withoutCache(runDir: string, prompt: string): Promise<string> {
  const { checkpoint } = (await loadLatest(runDir))!;
  const config = (await load(runDir)).description.config as GptConfig;
  const tokenizer = parseTokenizer(Buffer.from(checkpoint.files.get("tokenizer.json")!).toString("utf8"));
  const model = new Gpt(config);
  const engine = loadNativeEngine().engine ?? new ReferenceEngine();
  const store = engine.createStore();
  const graph = trace({ tokens: { dtype: "i32", shape: [1, config.context] } }, ({ tokens }) => {
    const parameters = new Map(
      [...model.parameters()].map(([name, { shape }]) => [name, variable(name, "f32", shape)] as const),
    );
    return functionalCall(model, parameters, () => model.forward(tokens));
  });
  const program = engine.load(compile(graph, engine.target), store);
  for (const name of model.parameters().keys()) store.write(name, checkpoint.tensors.get(name)!);
  const random = new RandomStream(settings.seed, "generate");
  const ids = Array.from(tokenizer.encode(prompt));
  const written: number[] = [];
  for (let at = 0; at < settings.maxTokens; at++) {
    // Zeros behind the text: attention is causal, they are not seen.
    const tokens = [...ids, ...new Array<number>(config.context - ids.length).fill(0)];
    const [run] = await engine.run([{ program, feeds: { tokens: fromNumbers("i32", [1, config.context], tokens) } }]);
    const start = (ids.length - 1) * config.vocab;
    const logits = toNumbers(run!.outputs.result!).subarray(start, start + config.vocab);
    const next = chooseToken(logits, settings, random.uniform(at));
    ids.push(next);
    written.push(next);
  }
  return tokenizer.decode(Int32Array.from(written));
}

function numParameters(config: GptConfig): number {
  let sum = 0;
  for (const { shape } of new Gpt(config).parameters().values()) sum += shape.reduce((size, dim) => size * dim, 1);
  return sum;
}

export const gptProofs: readonly Proof[] = [
  {
    id: "arch.gpt",
    doc: "a GPT learns an order-2 source to within 0.02 nats of what can be known, and not better",
    data: "text: a file, folder or glob",
    run: tinyGpt,
  },
];
