// Classes of texts: topics whose best classifier is known exactly, and a grammar in which the order of words decides.
import { load, train } from "../../api/index.ts";
import { RandomStream } from "../../base/index.ts";
import type { RecipeInput } from "../../recipe/index.ts";
import { atLeast, atMost, type Figure, type Proof, type ProofContext, shown } from "../proof.ts";
import { Topics } from "../topics.ts";

type Row = { readonly text: string; readonly label: string };

/** Trains on rows and gives the share of other rows that the model names right. */
async function accuracyOf(
  recipe: Omit<RecipeInput, "data">,
  rows: { readonly train: readonly Row[]; readonly test: readonly Row[] },
  { folder, signal, note }: ProofContext,
): Promise<number> {
  const name = Object.keys(recipe.model as object)[0]!;
  const training = train(
    { data: { rows: rows.train, heldOut: 0.05 }, ...recipe, eval: { every: 0 }, checkpoint: { every: 0 } },
    {
      runDir: `${folder}/${name}`,
      onEvent: (event) => {
        if (event.type === "step" && event.step % 200 === 0)
          note(`${name}, step ${event.step}: loss ${event.loss.toFixed(4)}`);
      },
      ...(signal === undefined ? {} : { signal }),
    },
  );
  const { folder: run } = await training.outcome;
  const model = await load<string, Row>(run);
  const answers = await model.predict(rows.test);
  const right = rows.test.filter(({ label }, at) => label === (answers[at] as { label: string }).label);
  return right.length / rows.test.length;
}

const wrongLabels = 0.1;

async function classify(context: ProofContext): Promise<Figure[]> {
  const topics = new Topics({ topics: 8, words: 120, seed: 3, sharpness: 1.2 });
  const draw = (count: number, name: string) => topics.draw(count, { name, length: 20, wrongLabels });
  const rows = { train: draw(16_000, "train"), test: draw(4000, "test") };
  const ceiling = rows.test.filter(({ text, label }) => topics.best(text) === label).length / rows.test.length;
  const accuracy = await accuracyOf(
    {
      tokenizer: { bpe: 400 },
      model: { bert: { layers: 1, heads: 2, width: 48, context: 40, pooling: "mean", dropout: 0.1 } },
      optimizer: { adamw: { lr: { cosine: { peak: 3e-3, warmup: 50 } }, clip: 1 } },
      batch: { size: 64 },
      steps: 700,
    },
    rows,
    context,
  );
  return [
    shown("share of labels that are right", 1 - wrongLabels),
    shown("accuracy of the true source on 4,000 other texts", ceiling),
    shown("accuracy", accuracy),
    atMost("points below the source's", 100 * (ceiling - accuracy), 2),
    atLeast("the same: below −2 the source would not be the best", 100 * (ceiling - accuracy), -2),
  ];
}

const grammar = {
  nouns: ["food", "service", "room", "music", "plot", "view", "price", "staff", "bread", "garden", "story", "bed"],
  adverbs: ["", "", "very", "rather", "really", "quite"],
  good: ["good", "great", "lovely", "superb", "fine", "charming", "pleasant", "clever"],
  bad: ["bad", "awful", "dull", "poor", "dreary", "tedious", "nasty", "stale"],
} as const;

/** One clause or two, each with up to two negations; "A but B" means B, "A although B" means A. */
function drawOpinions(count: number, name: string): Row[] {
  const stream = new RandomStream(9, name);
  return Array.from({ length: count }, (_, row) => {
    let at = 0;
    const pick = <T>(list: readonly T[]): T => list[stream.below(list.length, at++, row)]!;
    const clause = () => {
      const chance = (share: number) => stream.uniform(1000 + at++, row) < share;
      const [isGood, isDenied, isNegated] = [chance(0.5), chance(0.2), chance(0.4)];
      const parts = [
        isDenied ? "it is not true that" : "",
        `the ${pick(grammar.nouns)} was`,
        isNegated ? "not" : "",
        pick(grammar.adverbs),
        pick(isGood ? grammar.good : grammar.bad),
      ];
      return { text: parts.filter(Boolean).join(" "), isGood: (isGood !== isDenied) !== isNegated };
    };
    const [first, second, joint] = [clause(), clause(), pick(["", "but", "but", "although", "although"])];
    const { isGood } = joint === "but" ? second : first;
    const text = joint === "" ? first.text : `${first.text} ${joint} ${second.text}`;
    return { text, label: isGood ? "good" : "bad" };
  });
}

async function sentiment(context: ProofContext): Promise<Figure[]> {
  const known = drawOpinions(24_000, "train");
  const seen = new Set(known.map(({ text }) => text));
  const rows = { train: known, test: drawOpinions(3000, "test").filter(({ text }) => !seen.has(text)) };
  const optimizer = { adamw: { lr: { cosine: { peak: 1.5e-3, warmup: 100 } }, clip: 1 } };
  const shared = { tokenizer: { bpe: 400 }, optimizer, batch: { size: 64 } } as const;
  const bag = await accuracyOf(
    { ...shared, model: { textClassifier: { width: 64, hidden: [128], context: 40 } }, steps: 1000 },
    rows,
    context,
  );
  const model = { bert: { layers: 2, heads: 4, width: 64, context: 40, dropout: 0, initStd: 0.07 } };
  const accuracy = await accuracyOf({ ...shared, model, steps: 2000 }, rows, context);
  return [
    shown("other texts, none of them trained on", rows.test.length),
    atMost("accuracy of a perceptron over the bag of words", bag, 0.8),
    atLeast("accuracy of a BERT from scratch", accuracy, 0.97),
  ];
}

export const textClassProofs: readonly Proof[] = [
  {
    id: "nlp.classify",
    doc: "texts of 8 topics, a tenth of the labels wrong: within 2 points of the true source's own accuracy",
    run: classify,
  },
  {
    id: "nlp.sentiment",
    isLong: true,
    doc: "opinions in which negations and conjunctions decide: a bag of words fails, a BERT does not",
    run: sentiment,
  },
];
