// Questions about small stories: who did what, where and when. A quarter of them ask about somebody of whom the story does not tell.
import { load, train } from "../../api/index.ts";
import { RandomStream } from "../../base/index.ts";
import { answerScores } from "../../metrics/index.ts";
import { atLeast, type Figure, type Proof, type ProofContext, shown } from "../proof.ts";

const people = "anna ben carla david emma felix greta henry".split(" ");
const colours = "red blue green white black golden".split(" ");
const things = "lamp boat clock violin chair mirror kettle ladder".split(" ");
const kinds = "old new small large quiet busy".split(" ");
const places = "market harbour garden station castle library".split(" ");
const days = "monday tuesday wednesday thursday friday saturday sunday".split(" ");

interface Row {
  readonly context: string;
  readonly question: string;
  readonly answers: readonly { readonly text: string; readonly answer_start: number }[];
}

/** Stories of two sentences, about two people, with one question each. */
function drawStories(count: number, name: string): Row[] {
  const stream = new RandomStream(17, name);
  return Array.from({ length: count }, (_, row) => {
    let at = 0;
    const below = (bound: number) => stream.below(bound, at++, row);
    const pick = (list: readonly string[]) => list[below(list.length)]!;
    const who = [...people];
    const [other, ...facts] = Array.from({ length: 3 }, () => {
      const person = who.splice(below(who.length), 1)[0]!;
      const [what, where, when] = [`${pick(colours)} ${pick(things)}`, `${pick(kinds)} ${pick(places)}`, pick(days)];
      const questions = [
        `what did ${person} buy in the ${where} on ${when} ?`,
        `where did ${person} buy the ${what} on ${when} ?`,
        `when did ${person} buy the ${what} in the ${where} ?`,
      ];
      const answers = [what, where, when];
      return { questions, answers, text: `${person} bought the ${what} in the ${where} on ${when} .` };
    });
    const context = facts.map(({ text }) => text).join(" ");
    const [kind, fact, isStrange] = [below(3), facts[below(2)]!, below(4) === 0];
    const question = (isStrange ? other! : fact).questions[kind]!;
    const text = fact.answers[kind]!;
    const start = context.indexOf(fact.text) + fact.text.indexOf(text);
    return { context, question, answers: isStrange ? [] : [{ text, answer_start: start }] };
  });
}

async function questions({ folder, signal, note }: ProofContext): Promise<Figure[]> {
  const rows = drawStories(60_000, "train");
  const known = new Set(rows.map(({ context }) => context));
  const test = drawStories(2000, "test").filter(({ context }) => !known.has(context));
  const training = train(
    {
      data: { rows, heldOut: 0.02, task: "question-answering" },
      tokenizer: { bpe: 450 },
      model: { bert: { layers: 2, heads: 4, width: 64, context: 48, dropout: 0, initStd: 0.1 } },
      optimizer: { adamw: { lr: { cosine: { peak: 2e-3, warmup: 100 } }, betas: [0.9, 0.98], clip: 1 } },
      batch: { size: 32 },
      steps: 9000,
      eval: { every: 0 },
      checkpoint: { every: 0 },
    },
    {
      runDir: `${folder}/run`,
      onEvent: (event) => {
        if (event.type === "step" && event.step % 500 === 0) note(`step ${event.step}: loss ${event.loss.toFixed(4)}`);
      },
      ...(signal === undefined ? {} : { signal }),
    },
  );
  const model = await load<string, Row>((await training.outcome).folder);
  const answers = (await model.predict(test)) as readonly { answer: string }[];
  const pairs = test.map(({ answers: truths }, at) => ({
    answer: answers[at]!.answer,
    truths: truths.map(({ text }) => text),
  }));
  const { exactMatch, f1, unanswerableRecall } = answerScores(pairs);
  return [
    shown("questions about other stories", test.length),
    atLeast("exact match, %", 100 * exactMatch, 95),
    atLeast("F1 of words, %", 100 * f1, 97),
    atLeast("recall of questions without an answer, %", 100 * (unanswerableRecall ?? 0), 90),
  ];
}

export const questionProofs: readonly Proof[] = [
  {
    id: "nlp.qa",
    isLong: true,
    doc: "a BERT from scratch finds the answers to questions in stories, and says where there is none",
    run: questions,
  },
];
