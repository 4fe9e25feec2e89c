// GPT-3: its published size, which no small machine holds, and what it was published for: a small one of its kind, dense and banded layers
// in turn, learns to answer from the examples in its prompt, and from nothing else.
import { planRecipe, train } from "../../api/index.ts";
import { AthanorError, RandomStream, sizeOf } from "../../base/index.ts";
import { Gpt, gptPresets } from "../../models/index.ts";
import { parseRecipe, type RecipeInput } from "../../recipe/index.ts";
import { atLeast, equal, type Figure, type Proof, type ProofContext, shown, within } from "../proof.ts";

const keys = Array.from("abcdefgh");
const values = Array.from("01234567");
const pairsPerLine = 128;
const context = 33; // so few of a line's pairs are seen at once

/** Lines of key–value pairs; which value a key has is drawn anew for each line, so that only the line itself tells. */
class Lines {
  private readonly random: RandomStream;
  private drawn = 0;

  constructor(seed: number) {
    this.random = new RandomStream(seed, "gpt3/lines");
  }

  private below(count: number): number {
    return Math.floor(count * this.random.uniform(this.drawn++));
  }

  private shuffled(all: readonly string[]): string[] {
    return all
      .map((one) => ({ one, at: this.random.uniform(this.drawn++) }))
      .sort((a, b) => a.at - b.at)
      .map(({ one }) => one);
  }

  /** Pairs of 1 to 8 keys, again and again in another order. */
  line(): string {
    const value = new Map(keys.map((key) => [key, values[this.below(values.length)]!]));
    const own = this.shuffled(keys).slice(0, 1 + this.below(keys.length));
    let line = "\n";
    while (line.length <= 2 * pairsPerLine)
      line += this.shuffled(own)
        .map((key) => key + value.get(key)!)
        .join("");
    return line.slice(0, 2 * pairsPerLine + 1);
  }

  /** A prompt with so many examples, all of other keys, that ends in a key; and the value that the examples give it. */
  question(shots: number): { readonly prompt: string; readonly answer: string } {
    const value = new Map(keys.map((key) => [key, values[this.below(values.length)]!]));
    const own = this.shuffled(keys).slice(0, shots);
    const asked = shots === 0 ? keys[this.below(keys.length)]! : own[this.below(shots)]!;
    return { prompt: `\n${own.map((key) => key + value.get(key)!).join("")}${asked}`, answer: value.get(asked)! };
  }
}

const recipe = (text: string, steps: number): RecipeInput => ({
  data: { rows: [text], heldOut: 0.02 },
  tokenizer: "char",
  model: { gpt: { layers: 3, heads: 2, width: 64, context, bands: 2, bias: false, tiedHead: false } },
  optimizer: { adamw: { lr: { cosine: { peak: 6e-3, warmup: 50, floor: 1e-4 } }, betas: [0.9, 0.98], clip: 1 } },
  batch: { size: 64 },
  steps,
  seed: 1,
  eval: { every: 0, batch: 64 },
  checkpoint: { every: 0 },
});

const numQuestions = 400;

async function fewShot({ folder, signal, note }: ProofContext): Promise<Figure[]> {
  const lines = new Lines(5);
  const text = Array.from({ length: 2_300 }, () => lines.line()).join("");
  const losses: number[] = [];
  const model = await train(recipe(text, 2500), {
    runDir: `${folder}/run`,
    onEvent: (event) => {
      if (event.type !== "step") return;
      losses.push(event.loss);
      if (event.step % 250 === 0) note(`step ${event.step}: loss ${event.loss.toFixed(3)}`);
    },
    ...(signal === undefined ? {} : { signal }),
  });
  const shareRight = async (shots: number) => {
    const asked = Array.from({ length: numQuestions }, () => lines.question(shots));
    const prompts = asked.map(({ prompt }) => prompt);
    const told = await model.generateAll(prompts, { temperature: 0, maxTokens: 1 });
    return told.filter(({ text }, at) => text === asked[at]!.answer).length / numQuestions;
  };
  const chance = 1 / values.length;
  const error = Math.sqrt((chance * (1 - chance)) / numQuestions);
  return [
    shown("loss of the first step", losses[0]!),
    shown("loss of the last step", losses.at(-1)!),
    within("share right without an example: chance, to three standard errors", await shareRight(0), chance, 3 * error),
    shown("with 1 example", await shareRight(1)),
    shown("with 4 examples", await shareRight(4)),
    atLeast("with 8 examples", await shareRight(8), 0.9),
  ];
}

/** What is said of the published size on a machine that does not hold it: the error's code, and the bytes it names. */
async function refusal(): Promise<{ readonly code: string; readonly got: string }> {
  const input: RecipeInput = {
    data: { rows: ["text ".repeat(2000)] },
    model: { gpt: { preset: "gpt3-175b", vocab: gptPresets["gpt3-175b"].vocab } },
    batch: { size: 1 },
  };
  try {
    await planRecipe(parseRecipe(input));
    return { code: "accepted", got: "nothing" };
  } catch (error) {
    if (!(error instanceof AthanorError)) throw error;
    return { code: error.code, got: (error.got ?? "").replaceAll(/\s*\n\s*/g, ", ").replaceAll(/ +/g, " ") };
  }
}

async function gpt3(context: ProofContext): Promise<Figure[]> {
  const parameters = [...new Gpt(gptPresets["gpt3-175b"]).parameters().values()];
  const { code, got } = await refusal();
  return [
    equal(
      "parameters of gpt3-175b",
      parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
      174_604_259_328,
    ),
    equal("to train it here", code, "plan/memory"),
    shown("what it would need", got),
    ...(await fewShot(context)),
  ];
}

export const gpt3Proofs: readonly Proof[] = [
  {
    id: "arch.gpt3",
    isLong: true,
    doc: "layers that are dense and banded in turn learn to answer from the examples in a prompt; 175 G parameters are refused with their bytes",
    run: gpt3,
  },
];
