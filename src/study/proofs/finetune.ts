// Ways to fine-tune one classifier of texts on the labels of a new task: as a whole, its head alone, LoRA, and LoRA beside weights in
// four bits or eight.
import { type ClassPrediction, load, train } from "../../api/index.ts";
import { RandomStream } from "../../base/index.ts";
import type { RecipeInput } from "../../recipe/index.ts";
import { MarkovSource } from "../markov.ts";
import { atLeast, atMost, type Figure, type Proof, type ProofContext, shown } from "../proof.ts";

const numSources = 6;
const length = 40;

interface Row {
  readonly text: string;
  readonly label: string;
}

/** Texts of six sources over one alphabet; what they are labelled by is the task. */
function draw(count: number, name: string, labelOf: (source: number) => string): Row[] {
  const sources = Array.from(
    { length: numSources },
    (_, at) => new MarkovSource({ alphabet: "abcdefgh", seed: 20 + at, sharpness: 3 }),
  );
  const stream = new RandomStream(4, name);
  return Array.from({ length: count }, (_, row) => {
    const source = stream.below(numSources, row);
    return {
      text: sources[source]!.text(length, 1 + Math.floor(1e6 * stream.uniform(row, 1))),
      label: labelOf(source),
    };
  });
}
const bySource = (source: number) => `source ${source}`;
const byGroup = (source: number) => (source % 3 === 0 ? "left" : "right");

const model = { bert: { layers: 6, heads: 4, width: 96, context: length + 2, dropout: 0 } };
const recipe = (rows: readonly Row[], changes: Partial<RecipeInput>): RecipeInput => ({
  ...{ data: { rows, heldOut: 0.05 }, tokenizer: "char", model, batch: 32 },
  ...{ eval: { every: 0 }, checkpoint: { every: 0 }, watch: { every: 0 } },
  ...changes,
});
const optimizer = (peak: number, freeze?: string[]) => ({
  adamw: { lr: { cosine: { peak, warmup: 20, floor: 1e-5 } }, clip: 1, ...(freeze === undefined ? {} : { freeze }) },
});
const lora = (base?: "nf4" | "int8") => ({
  lora: { rank: 1, alpha: 4, targets: ["*.query", "*.value"], ...(base === undefined ? {} : { base }) },
});

const ways: { readonly [name: string]: Partial<RecipeInput> } = {
  full: { optimizer: optimizer(1e-4) },
  "frozen trunk": { optimizer: optimizer(3e-3, ["bert.*", "!bert.pooler.*"]) },
  lora: { optimizer: optimizer(2e-3), adapter: lora() },
  "lora, nf4": { optimizer: optimizer(2e-3), adapter: lora("nf4") },
  "lora, int8": { optimizer: optimizer(2e-3), adapter: lora("int8") },
};

async function finetune({ folder, signal, note }: ProofContext): Promise<Figure[]> {
  const trained = new Map<string, number>(); // share of the parameters
  const fitted = async (name: string, settings: RecipeInput, initFrom?: string) => {
    note(name);
    const options = { ...(initFrom === undefined ? {} : { initFrom }), ...(signal === undefined ? {} : { signal }) };
    return await train(settings, {
      runDir: `${folder}/${name}`,
      onEvent: (event) => {
        if (event.type === "start") trained.set(name, (event.trained ?? event.parameters) / event.parameters);
      },
      ...options,
    });
  };
  await fitted("base", recipe(draw(8000, "base", bySource), { optimizer: optimizer(1e-3), steps: 800 }));
  const rows = draw(1500, "train", byGroup);
  const test = draw(2000, "test", byGroup);
  const texts = test.map(({ text }) => text);
  const points = (answers: readonly unknown[]) =>
    (100 * answers.filter((answer, at) => (answer as ClassPrediction).label === test[at]!.label).length) / test.length;
  const settings = (way: Partial<RecipeInput>) => recipe(rows, { steps: 150, ...way });
  const scores = new Map<string, number>();
  for (const [name, way] of Object.entries(ways)) {
    const tuned = await fitted(name, settings(way), `${folder}/base`);
    scores.set(name, points(await tuned.predict(texts)));
  }
  const scratch = points(await (await fitted("scratch", settings({ optimizer: optimizer(5e-4) }))).predict(texts));
  const all = [...scores.values()];
  return [
    ...[...scores].map(([name, score]) => shown(`accuracy, ${name}, %`, score)),
    shown("accuracy of the same model on the same rows, from scratch, %", scratch),
    atLeast("accuracy of the least of them, %", Math.min(...all), 90),
    atLeast("points that the least is above scratch", Math.min(...all) - scratch, 1),
    atMost("points between the best and the least", Math.max(...all) - Math.min(...all), 1),
    atMost("parameters that LoRA trains, its head included, %", 100 * trained.get("lora")!, 2),
    ...(await merged(folder, texts)),
  ];
}

/** What the merged models answer, beside what base and adapter answer. */
async function merged(folder: string, texts: readonly string[]): Promise<Figure[]> {
  const probabilities = async (path: string) =>
    ((await (await load(path)).predict(texts)) as ClassPrediction[]).flatMap(({ probabilities }) =>
      Object.values(probabilities),
    );
  const largest = (a: readonly number[], b: readonly number[]) =>
    Math.max(...a.map((value, at) => Math.abs(value - b[at]!)));
  const figures: Figure[] = [];
  for (const name of Object.keys(ways).filter((way) => way.startsWith("lora"))) {
    const [source, target] = [`${folder}/${name}`, `${folder}/${name}, merged`];
    await (await load(source)).save(target, { layout: "huggingface" });
    const [apart, together] = [await probabilities(source), await probabilities(target)];
    figures.push(
      atMost(`largest difference of a probability, merged and apart, ${name}`, largest(apart, together), 1e-5),
    );
  }
  return figures;
}

export const finetuneProofs: readonly Proof[] = [
  {
    id: "finetune",
    isLong: true,
    doc: "full, frozen trunk, LoRA and QLoRA within a point of each other; merged as adapter and base",
    run: finetune,
  },
];
