// A BERT that guesses hidden characters of a source that it cannot beat, and its published size.
import { writeFile } from "node:fs/promises";
import { evaluateRun, train } from "../../api/index.ts";
import { sizeOf, toNumbers } from "../../base/index.ts";
import { Bert, bertPresets } from "../../models/index.ts";
import { parseRecipe, prepare, type RecipeInput } from "../../recipe/index.ts";
import { MarkovSource } from "../markov.ts";
import { atLeast, atMost, equal, type Figure, type Proof, type ProofContext, shown } from "../proof.ts";

const alphabet = "abcd";

const recipeFor = (path: string): RecipeInput => ({
  data: {
    ...{ path, heldOut: 0.1, task: "masked-language-model" },
    // what is hidden is hidden: the source's chances are of what can be seen
    masking: { wholeWords: false, hidden: 1, random: 0 },
  },
  tokenizer: "char",
  model: { bert: { layers: 2, heads: 4, width: 64, context: 26, dropout: 0, initStd: 0.1 } },
  optimizer: { adamw: { lr: { cosine: { peak: 3e-3, warmup: 200 } }, betas: [0.9, 0.98], clip: 1 } },
  batch: { size: 64 },
  steps: 3000,
  eval: { every: 0, batch: 64 },
  checkpoint: { every: 0 },
});

async function maskedWords({ folder, signal, note }: ProofContext): Promise<Figure[]> {
  const source = new MarkovSource({ alphabet, seed: 11, sharpness: 1 });
  const path = `${folder}/source.txt`;
  await writeFile(path, source.text(400_000, 1));
  const recipe = recipeFor(path);
  const runDir = `${folder}/run`;
  const training = train(recipe, {
    runDir,
    onEvent: (event) => {
      if (event.type === "step" && event.step % 250 === 0) note(`step ${event.step}: loss ${event.loss.toFixed(4)}`);
    },
    ...(signal === undefined ? {} : { signal }),
  });
  await training.outcome;
  const { loss, count } = await evaluateRun(runDir);
  const surprises = await surprisesOf(source, recipe);
  const oracle = surprises.reduce((sum, value) => sum + value, 0) / surprises.length;
  const variance = surprises.reduce((sum, value) => sum + (value - oracle) ** 2, 0) / (surprises.length - 1);
  const standardError = Math.sqrt(variance / surprises.length);
  const parameters = [...new Bert(bertPresets["bert-base"]).parameters().values()];
  return [
    equal("hidden characters that were guessed", count, surprises.length),
    shown("entropy rate of the source, read from the left alone, nats", source.entropyRate()),
    shown("exact conditional entropy of the hidden characters", oracle),
    shown("its standard error", standardError),
    shown("held-out loss", loss),
    atMost("loss above the exact one", loss - oracle, 0.03),
    atLeast("the same in standard errors: below −3 would be a leak", (loss - oracle) / standardError, -3),
    equal(
      "parameters of bert-base",
      parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
      109_482_240,
    ),
  ];
}

/** −log of the true chance of each hidden character of the held-out windows, given all of its window that can be seen. */
async function surprisesOf(source: MarkovSource, recipe: RecipeInput): Promise<number[]> {
  const prepared = await prepare(parseRecipe(recipe));
  const numCharacters = alphabet.length;
  const surprises: number[] = [];
  for await (const { tokens, places, targets } of prepared.heldOut()) {
    const [windows, at, wanted] = [toNumbers(tokens!), toNumbers(places!), toNumbers(targets!)];
    const [context, numPlaces] = [tokens!.shape[1]!, places!.shape[1]!];
    for (let row = 0; row < tokens!.shape[0]!; row++) {
      const text = Array.from(windows.subarray(row * context + 1, (row + 1) * context));
      const length = text.findIndex((id) => id === numCharacters + 1 || id < 0); // [SEP] follows [CLS], the first id beyond the alphabet
      const posterior = source.posterior(text.slice(0, length).map((id) => (id < numCharacters ? id : undefined)));
      for (let place = row * numPlaces; place < (row + 1) * numPlaces; place++)
        if (wanted[place]! >= 0) surprises.push(-Math.log(posterior[at[place]! - 1]![wanted[place]!]!));
    }
  }
  await prepared.close?.();
  return surprises;
}

export const bertProofs: readonly Proof[] = [
  {
    id: "arch.bert",
    isLong: true,
    doc: "a BERT guesses hidden characters of an order-2 source to within 0.03 nats of what can be known, and not better",
    run: maskedWords,
  },
];
