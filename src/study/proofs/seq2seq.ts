// A recurrent encoder and decoder that turns strings round: with attention, and without, where one state has to hold the whole string.
import { type TextPrediction, train } from "../../api/index.ts";
import { RandomStream } from "../../base/index.ts";
import { atLeast, atMost, type Figure, type Proof, type ProofContext, shown } from "../proof.ts";

const letters = "abcdefghij";

function draw(count: number, length: number, name: string) {
  const stream = new RandomStream(7, `${name} of ${length}`);
  return Array.from({ length: count }, (_, row) => {
    const text = Array.from({ length }, (__, at) => letters[Math.floor(stream.uniform(at, row) * letters.length)]!);
    return { source: text.join(""), target: text.toReversed().join("") };
  });
}

interface Setting {
  readonly length: number;
  readonly attention: "bahdanau" | "luong" | "none";
  readonly steps: number;
}

/** Shares of unseen strings that are turned round without a fault, and of their letters that are right. */
async function turnRound({ folder, signal, note }: ProofContext, { length, attention, steps }: Setting) {
  const model = await train(
    {
      data: { rows: draw(20_000, length, "train"), heldOut: 0.01 },
      tokenizer: "char",
      model: { seq2seq: { cell: "lstm", width: 96, context: length + 1, attention } },
      optimizer: { adam: { lr: { cosine: { peak: 6e-3, warmup: 50, floor: 1e-4 } }, clip: 1 } },
      batch: { size: 64 },
      steps,
      eval: { every: 0 },
      checkpoint: { every: 0 },
    },
    {
      runDir: `${folder}/${attention}-${length}`,
      onEvent: (event) => {
        if (event.type === "step" && event.step % 100 === 0)
          note(`${attention}, ${length} letters, step ${event.step}: loss ${event.loss.toFixed(4)}`);
      },
      ...(signal === undefined ? {} : { signal }),
    },
  );
  const rows = draw(500, length, "test");
  const written = (await model.predict(rows.map(({ source }) => source))) as TextPrediction[];
  const right = written.map(
    ({ text }, row) => [...rows[row]!.target].filter((letter, at) => letter === text[at]).length,
  );
  return {
    exact: written.filter(({ text }, row) => text === rows[row]!.target).length / rows.length,
    letters: right.reduce((sum, count) => sum + count, 0) / (rows.length * length),
  };
}

async function attentionMatters(context: ProofContext): Promise<Figure[]> {
  const looking = await turnRound(context, { length: 20, attention: "luong", steps: 500 });
  const short = await turnRound(context, { length: 10, attention: "none", steps: 500 });
  const long = await turnRound(context, { length: 40, attention: "none", steps: 500 });
  return [
    atLeast("with attention: turned round exactly, of 500 unseen strings of 20", looking.exact, 0.99),
    shown("without: letters of strings of 10 that are right", short.letters),
    shown("without: letters of strings of 40 that are right", long.letters),
    shown("without: strings of 10 without a fault", short.exact),
    shown("without: strings of 40 without a fault", long.exact),
    atMost("without attention, 40 against 10: share of letters", long.letters - short.letters, -0.1),
  ];
}

export const seq2seqProofs: readonly Proof[] = [
  {
    id: "arch.seq2seq",
    isLong: true,
    doc: "a recurrent encoder and decoder turns strings of 20 round with attention; without, long strings are beyond it",
    run: attentionMatters,
  },
];
