// The encoder–decoder Transformer on strings to be sorted or turned round, and that it sees nothing of what it has yet to write.
import { load, type TextPrediction, train } from "../../api/index.ts";
import { fromNumbers, RandomStream, toNumbers } from "../../base/index.ts";
import { loadLatest } from "../../checkpoint/index.ts";
import { compile } from "../../compiler/index.ts";
import { trace } from "../../core/index.ts";
import { loadNativeEngine, ReferenceEngine } from "../../engine/index.ts";
import { Transformer, type TransformerConfig } from "../../models/index.ts";
import { functionalCall, storedParameters } from "../../nn/index.ts";
import { atLeast, equal, type Figure, holds, type Proof, type ProofContext, shown } from "../proof.ts";

const letters = "abcdefghij";
const length = 20;

/** Half of the rows are to be sorted, half to be turned round: the first letter says which. */
function draw(count: number, name: string) {
  const stream = new RandomStream(3, name);
  return Array.from({ length: count }, (_, row) => {
    const text = Array.from({ length }, (__, at) => letters[Math.floor(stream.uniform(at, row) * letters.length)]!);
    const isSorted = row % 2 === 0;
    const target = isSorted ? [...text].sort() : [...text].reverse();
    return { source: `${isSorted ? "s" : "r"}${text.join("")}`, target: target.join("") };
  });
}

async function sortAndReverse({ folder, signal, note }: ProofContext): Promise<Figure[]> {
  const runDir = `${folder}/run`;
  const model = await train(
    {
      data: { rows: draw(30_000, "train"), heldOut: 0.02 },
      tokenizer: "char",
      model: { transformer: { layers: 2, heads: 4, width: 64, hidden: 128, context: length + 2, preNorm: true } },
      optimizer: { adamw: { lr: { cosine: { peak: 3e-3, warmup: 100, floor: 1e-5 } }, betas: [0.9, 0.98], clip: 1 } },
      batch: { size: 64 },
      steps: 900,
      eval: { every: 0 },
      checkpoint: { every: 0 },
    },
    {
      runDir,
      onEvent: (event) => {
        if (event.type === "step" && event.step % 100 === 0) note(`step ${event.step}: loss ${event.loss.toFixed(4)}`);
      },
      ...(signal === undefined ? {} : { signal }),
    },
  );
  const rows = draw(1000, "test");
  const sources = rows.map(({ source }) => source);
  const written = (await model.predict(sources)) as TextPrediction[];
  const right = written.map(({ text }, at) => text === rows[at]!.target);
  const share = (parity: number) => right.filter((ok, at) => at % 2 === parity && ok).length / (rows.length / 2);
  return [
    shown("rows of training", 30_000),
    atLeast("sorted exactly, of 500 unseen strings of 20", share(0), 0.99),
    atLeast("turned round exactly, of 500 others", share(1), 0.99),
    ...(await future(runDir)),
  ];
}

/** Logits before and after the trained model's target is changed from one place on. */
async function future(runDir: string): Promise<Figure[]> {
  const { checkpoint } = (await loadLatest(runDir))!;
  const config = (await load(runDir)).description.config as TransformerConfig;
  const model = new Transformer(config);
  const engine = loadNativeEngine().engine ?? new ReferenceEngine();
  const store = engine.createStore();
  const { context, targetContext, vocab, start } = config;
  const types = [...model.parameters()].map(([name, { shape }]) => ({ name, dtype: "f32" as const, shape }));
  const graph = trace(
    { source: { dtype: "i32", shape: [1, context] }, tokens: { dtype: "i32", shape: [1, targetContext] } },
    ({ source, tokens }) => functionalCall(model, storedParameters(types), () => model.forward(source, tokens)),
  );
  const program = engine.load(compile(graph, engine.target), store);
  for (const { name } of types) store.write(name, checkpoint.tensors.get(name)!);
  const source = fromNumbers(
    "i32",
    [1, context],
    Array.from({ length: context }, (_, at) => at % 10),
  );
  const logits = async (target: readonly number[]) => {
    const tokens = fromNumbers("i32", [1, targetContext], [start, ...target.slice(0, targetContext - 1)]);
    const [run] = await engine.run([{ program, feeds: { source, tokens } }]);
    return toNumbers(run!.outputs.result!);
  };
  const target = Array.from({ length: targetContext }, (_, at) => (3 * at) % 10);
  const before = await logits(target);
  let same = 0;
  let changed = 0;
  for (let place = 0; place < targetContext - 1; place++) {
    const after = await logits(target.map((id, at) => (at === place ? (id + 1) % 10 : id)));
    const differs = (from: number, to: number) =>
      after.slice(from, to).some((logit, at) => logit !== before[from + at]);
    if (!differs(0, (place + 1) * vocab)) same++;
    if (differs((place + 1) * vocab, (place + 2) * vocab)) changed++;
  }
  return [
    equal("places of 21 whose change leaves every logit before them as it is, bit for bit", same, targetContext - 1),
    holds("each of them changes the logits after it", changed === targetContext - 1),
  ];
}

export const transformerProofs: readonly Proof[] = [
  {
    id: "arch.transformer",
    isLong: true,
    doc: "an encoder–decoder sorts and turns round strings of 20, and sees nothing of what is still to be written",
    run: sortAndReverse,
  },
];
