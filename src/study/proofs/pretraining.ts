// What an encoder learns from text without labels, told by how few labels it then needs.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { load, train } from "../../api/index.ts";
import type { RecipeInput } from "../../recipe/index.ts";
import { atLeast, atMost, type Figure, type Proof, type ProofContext, shown } from "../proof.ts";
import { meanInterval } from "../student.ts";
import { Topics } from "../topics.ts";

const seeds = [1, 2, 3, 4, 5];
const numLabels = 100;
const bert = { layers: 1, heads: 2, width: 64, context: 34, dropout: 0.1, initStd: 0.07 };

async function pretrain({ folder, signal, note }: ProofContext): Promise<Figure[]> {
  const topics = new Topics({ topics: 8, words: 400, seed: 21, sharpness: 1 });
  const run = async (recipe: RecipeInput, name: string, initFrom?: string) => {
    const more = { ...(signal === undefined ? {} : { signal }), ...(initFrom === undefined ? {} : { initFrom }) };
    const complete = { ...recipe, eval: { every: 0 }, checkpoint: { every: 0 } };
    return (await train(complete, { runDir: join(folder, name), ...more }).outcome).folder;
  };
  // Texts are cut into windows as they come: each of 300 words is on one topic, which nobody tells.
  const path = join(folder, "unlabelled.txt");
  const unlabelled = topics.draw(1500, { name: "unlabelled", length: 300 });
  await writeFile(path, unlabelled.map(({ text }) => text).join("\n"));
  const source = await run(
    {
      data: { path, heldOut: 0.01, task: "masked-language-model" },
      tokenizer: { bpe: 800 },
      model: { bert },
      optimizer: { adamw: { lr: { cosine: { peak: 3e-3, warmup: 100 } }, clip: 1 } },
      batch: { size: 64 },
      steps: 1500,
    },
    "pretrained",
  );
  await (await load(source)).save(join(folder, "encoder"), { layout: "huggingface" });
  const test = topics.draw(2000, { name: "test", length: 12 });
  const accuracyAfter = async (seed: number, initFrom?: string) => {
    const rows = topics.draw(numLabels, { name: `labelled ${seed}`, length: 12 });
    const name = `${initFrom === undefined ? "scratch" : "tuned"}-${seed}`;
    const recipe: RecipeInput = {
      data: { rows, heldOut: 0.01 },
      tokenizer: join(folder, "encoder", "tokenizer.json"),
      model: { bert: { ...bert, pooling: "mean" } },
      optimizer: { adamw: { lr: { cosine: { peak: 1e-3, warmup: 20 } }, clip: 1 } },
      batch: { size: 20 },
      steps: 200,
      seed,
    };
    const model = await load<string, { text: string }>(await run(recipe, name, initFrom));
    const answers = (await model.predict(test)) as readonly { label: string }[];
    const accuracy = (100 * test.filter(({ label }, at) => label === answers[at]!.label).length) / test.length;
    note(`${name}: ${accuracy.toFixed(1)} %`);
    return accuracy;
  };
  const [scratch, tuned]: [number[], number[]] = [[], []];
  for (const seed of seeds) {
    scratch.push(await accuracyAfter(seed));
    tuned.push(await accuracyAfter(seed, source));
  }
  const gain = meanInterval(tuned.map((accuracy, at) => accuracy - scratch[at]!));
  const best = (100 * test.filter(({ text, label }) => topics.best(text) === label).length) / test.length;
  return [
    shown("accuracy of the true source, %", best),
    shown(`accuracy of ${numLabels} labels from scratch, mean of ${seeds.length} seeds, %`, mean(scratch)),
    atMost("the same after guessing hidden words of texts without labels, %", mean(tuned), best),
    atLeast("points gained, mean", gain.mean, 10),
    atLeast("points gained, lower end of the 95 % interval", gain.mean - gain.half!, 10),
  ];
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

export const pretrainingProofs: readonly Proof[] = [
  {
    id: "pretrain",
    isLong: true,
    doc: "an encoder that guessed hidden words of texts without labels is 10 points better with 100 labels than one from scratch",
    run: pretrain,
  },
];
