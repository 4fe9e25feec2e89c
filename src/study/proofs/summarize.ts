// Summaries of generated paragraphs: the facts of which they tell, among sentences that tell nothing of the matter.
import { type TextPrediction, train } from "../../api/index.ts";
import { RandomStream } from "../../base/index.ts";
import { rouge } from "../../metrics/index.ts";
import { atLeast, equal, type Figure, type Proof, type ProofContext, shown } from "../proof.ts";

const names =
  "Alba Bruno Clara Denis Edith Felix Greta Hugo Irene Jonas Karla Lukas Marta Nils Olga Piotr Quinn Rosa Sven Tilda";
const cities =
  "Oslo Lima Cairo Kyoto Turin Porto Quito Riga Perth Delhi Basel Ghent Hanoi Izmir Jena Kiel Lagos Minsk Nara Omsk";
const things = "bridge library harbour market museum garden theatre station tower school";
const fillers = [
  "The weather was mild that week.",
  "Nobody had expected it.",
  "A few people stood by and watched.",
  "The newspapers wrote little about it.",
  "It had been a long winter.",
  "Much was said in the evening.",
  "The old road was closed again.",
] as const;

interface Paragraph {
  readonly source: string;
  readonly target: string;
}

/** Two facts, told in several ways and in any place, and what is to be said of them: who did what, where, and for how much. */
function paragraphs(count: number, name: string): Paragraph[] {
  const stream = new RandomStream(9, name);
  return Array.from({ length: count }, (_, row) => {
    let at = 0;
    const below = (n: number) => Math.floor(stream.uniform(at++, row) * n);
    const oneOf = (words: string | readonly string[]) => {
      const list = typeof words === "string" ? words.split(" ") : words;
      return list[below(list.length)]!;
    };
    const [who, where, what, cost] = [oneOf(names), oneOf(cities), oneOf(things), 10 + below(90)];
    const built = oneOf([
      `In ${where} a new ${what} was opened by ${who}.`,
      `${who} opened a new ${what} in ${where}.`,
      `A new ${what} stands in ${where} since ${who} opened it.`,
    ]);
    const paid = oneOf([
      `It cost ${cost} million.`,
      `The price was ${cost} million.`,
      `For ${cost} million it was cheap.`,
    ]);
    const told = [oneOf(fillers), built, oneOf(fillers), paid, oneOf(fillers)].slice(below(2), 4 + below(2));
    return { source: told.join(" "), target: `${who} opened a ${what} in ${where} for ${cost} million.` };
  });
}

/** Names, places, things and numbers of a text. */
function entities(text: string): string[] {
  const known = new Set([names, cities, things].flatMap((words) => words.split(" ")));
  return (text.match(/[A-Za-z]+|[0-9]+/g) ?? []).filter((word) => known.has(word) || /[0-9]|[A-Z]/.test(word));
}

async function summarize({ folder, signal, note }: ProofContext): Promise<Figure[]> {
  const rows = paragraphs(8000, "train");
  const seen = new Set(rows.map(({ target }) => target));
  const unseen = paragraphs(500, "test").filter(({ target }) => !seen.has(target));
  const model = await train(
    {
      data: { rows, heldOut: 0.02 },
      tokenizer: { bpe: 600 },
      model: {
        transformer: { layers: 2, heads: 4, width: 64, hidden: 128, context: 72, targetContext: 20, preNorm: true },
      },
      optimizer: { adamw: { lr: { cosine: { peak: 3e-3, warmup: 100, floor: 1e-5 } }, betas: [0.9, 0.98], clip: 1 } },
      batch: { size: 48 },
      steps: 300,
      eval: { every: 0 },
      checkpoint: { every: 0 },
    },
    {
      runDir: `${folder}/run`,
      onEvent: (event) => {
        if (event.type === "step" && event.step % 100 === 0) note(`step ${event.step}: loss ${event.loss.toFixed(4)}`);
      },
      ...(signal === undefined ? {} : { signal }),
    },
  );
  const written = (await model.predict(
    unseen.map(({ source }) => source),
    { beams: 4 },
  )) as TextPrediction[];
  const [metric, lead] = [rouge("rougeL"), rouge("rougeL")];
  let invented = 0;
  written.forEach(({ text }, at) => {
    const { source, target } = unseen[at]!;
    metric.add(text, target);
    lead.add(source.slice(0, source.indexOf(".") + 1), target);
    const given = new Set(entities(source));
    invented += entities(text).filter((entity) => !given.has(entity)).length;
  });
  return [
    shown("paragraphs whose facts were not trained on", unseen.length),
    shown("one of them", unseen[0]!.source),
    shown("its summary", written[0]!.text),
    atLeast("ROUGE-L, 0 to 1", metric.value() / 100, 0.9),
    shown("ROUGE-L of a paragraph's first sentence", lead.value() / 100),
    equal("names, places, things and numbers that stand in no paragraph", invented, 0),
  ];
}

export const summarizeProofs: readonly Proof[] = [
  {
    id: "nlp.summarize",
    isLong: true,
    doc: "an encoder–decoder tells the facts of unseen paragraphs, and invents none",
    run: summarize,
  },
];
