// Translation from a small language of subject, verb and object into one of subject, object and verb, in which words agree.
import { type TextPrediction, train } from "../../api/index.ts";
import { RandomStream } from "../../base/index.ts";
import { bleu } from "../../metrics/index.ts";
import { atLeast, type Figure, type Proof, type ProofContext, shown } from "../proof.ts";

/** Nouns with their gender in the other language, which the first does not show. */
const nouns = [
  ["dog", "tavo", "m"],
  ["cat", "miru", "f"],
  ["farmer", "selk", "m"],
  ["queen", "onda", "f"],
  ["child", "pilo", "m"],
  ["river", "asha", "f"],
  ["horse", "gorn", "m"],
  ["teacher", "luma", "f"],
  ["bird", "kesi", "f"],
  ["baker", "brod", "m"],
  ["house", "veda", "f"],
  ["ship", "norl", "m"],
] as const;
const adjectives = [
  ["small", "tik"],
  ["red", "rash"],
  ["old", "vem"],
  ["young", "jul"],
  ["quiet", "shen"],
  ["happy", "fal"],
  ["tall", "dor"],
  ["strange", "zuk"],
] as const;
const verbs = [
  ["see", "saw", "vid"],
  ["find", "found", "trov"],
  ["follow", "followed", "sek"],
  ["know", "knew", "kon"],
  ["help", "helped", "jud"],
  ["carry", "carried", "port"],
  ["paint", "painted", "pent"],
  ["love", "loved", "amar"],
] as const;

interface Sentence {
  readonly source: string;
  readonly target: string;
}

/**
 * Sentences of both languages. In the other one adjectives follow their noun and take its gender and number, an object is marked, and the
 * verb stands at the end with the subject's number and, in the past, its gender.
 */
function sentences(count: number, name: string): Sentence[] {
  const stream = new RandomStream(5, name);
  return Array.from({ length: count }, (_, row) => {
    let at = 0;
    const below = (n: number) => Math.floor(stream.uniform(at++, row) * n);
    const phrase = (isObject: boolean) => {
      const [noun, stem, gender] = nouns[below(nouns.length)]!;
      const isMany = below(2) === 1;
      const described = Array.from({ length: below(3) }, () => adjectives[below(adjectives.length)]!);
      const ending = `${gender === "m" ? "o" : "a"}${isMany ? "n" : ""}`;
      const marked = `${stem}${isMany ? "et" : ""}${isObject ? "um" : ""}`;
      return {
        isMany,
        gender,
        source: ["the", ...described.map(([word]) => word), isMany ? `${noun}s`.replace("childs", "children") : noun],
        target: [marked, ...described.map(([, word]) => word + ending)],
      };
    };
    const [subject, object] = [phrase(false), phrase(true)];
    const [present, past, stem] = verbs[below(verbs.length)]!;
    const isPast = below(2) === 1;
    const third = present.endsWith("y") ? `${present.slice(0, -1)}ies` : `${present}s`;
    const verb = isPast ? past : subject.isMany ? present : third;
    const verbEnding = `${isPast ? (subject.gender === "m" ? "lo" : "la") : "e"}${subject.isMany ? "mi" : ""}`;
    return {
      source: `${[...subject.source, verb, ...object.source].join(" ")}.`,
      target: `${[...subject.target, ...object.target, stem + verbEnding].join(" ")}.`,
    };
  });
}

async function translate({ folder, signal, note }: ProofContext): Promise<Figure[]> {
  const rows = sentences(8000, "train");
  const seen = new Set(rows.map(({ source }) => source));
  const unseen = sentences(700, "test").filter(({ source }) => !seen.has(source));
  const model = await train(
    {
      data: { rows, heldOut: 0.02 },
      tokenizer: { bpe: 420 },
      model: { transformer: { layers: 2, heads: 4, width: 64, hidden: 128, context: 28, preNorm: true } },
      optimizer: { adamw: { lr: { cosine: { peak: 3e-3, warmup: 100, floor: 1e-5 } }, betas: [0.9, 0.98], clip: 1 } },
      batch: { size: 64 },
      steps: 400,
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
  const score = async (beams: number) => {
    const options = { beams, lengthPenalty: 0 };
    const written = (await model.predict(
      unseen.map(({ source }) => source),
      options,
    )) as TextPrediction[];
    const metric = bleu();
    written.forEach(({ text }, at) => {
      metric.add(text, unseen[at]!.target);
    });
    const logProbability = written.reduce((sum, text) => sum + text.score, 0) / written.length;
    const exact = written.filter(({ text }, at) => text === unseen[at]!.target).length / written.length;
    return { bleu: metric.value(), exact, logProbability };
  };
  const [greedy, beam] = [await score(1), await score(4)];
  return [
    shown("sentences that were not trained on", unseen.length),
    shown(`one of them`, unseen[0]!.source),
    shown("in the other language", unseen[0]!.target),
    atLeast("BLEU, greedy", greedy.bleu, 95),
    atLeast("BLEU, 4 beams, against greedy", beam.bleu - greedy.bleu, 0),
    shown("sentences without a fault, 4 beams", beam.exact),
    atLeast(
      "mean log-probability of a translation, 4 beams, against greedy",
      beam.logProbability - greedy.logProbability,
      0,
    ),
  ];
}

export const translateProofs: readonly Proof[] = [
  {
    id: "nlp.translate",
    isLong: true,
    doc: "an encoder–decoder translates unseen sentences into a language of another order, in which words agree",
    run: translate,
  },
];
