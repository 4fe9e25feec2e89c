// A source of texts on topics, each of which prefers some words: the best classifier of its texts is known. No model.
import { RandomStream } from "../base/index.ts";

/** Words of two syllables, consonant, vowel, consonant, vowel: no two alike, up to 3,600. */
function wordAt(at: number): string {
  const syllable = (id: number) => "bdfgklmnprst"[id % 12]! + "aeiou"[Math.floor(id / 12) % 5]!;
  return syllable(at) + syllable(at + 1 + Math.floor(at / 60));
}

export interface TopicOptions {
  readonly topics: number;
  readonly words: number;
  readonly seed: number;
  /** Chances of words are softmaxes of this times normal numbers. */
  readonly sharpness: number;
}

export class Topics {
  private readonly options: TopicOptions;
  private readonly words: readonly string[];
  private readonly logChances: readonly (readonly number[])[];
  /** Chance of a word or one before it. */
  private readonly sums: readonly (readonly number[])[];

  constructor(options: TopicOptions) {
    const { topics, words, seed, sharpness } = options;
    const stream = new RandomStream(seed, "topics");
    this.options = options;
    this.words = Array.from({ length: words }, (_, at) => wordAt(at));
    this.logChances = Array.from({ length: topics }, (_, topic) => {
      const scores = this.words.map((__, word) => sharpness * stream.normal(word, topic));
      const logSum = Math.log(scores.reduce((sum, score) => sum + Math.exp(score), 0));
      return scores.map((score) => score - logSum);
    });
    this.sums = this.logChances.map((logChances) => {
      let sum = 0;
      return logChances.map((logChance) => {
        sum += Math.exp(logChance);
        return sum;
      });
    });
  }

  /** Texts of so many words, each on a topic of its own, with its label; a share of the labels names another topic. */
  draw(
    count: number,
    options: { name: string; length: number; wrongLabels?: number },
  ): { text: string; label: string }[] {
    const { name, length, wrongLabels = 0 } = options;
    const { topics, seed } = this.options;
    const [choice, words] = [new RandomStream(seed, `topics/${name}`), new RandomStream(seed, `topics/${name}/words`)];
    return Array.from({ length: count }, (_, row) => {
      const topic = choice.below(topics, 0, row);
      const text = Array.from({ length }, (__, at) => {
        const drawn = words.uniform(at, row);
        return this.words[this.sums[topic]!.findIndex((sum) => drawn < sum)] ?? this.words.at(-1)!;
      });
      const isWrong = choice.uniform(8, row) < wrongLabels;
      const told = isWrong ? (topic + 1 + choice.below(topics - 1, 6, row)) % topics : topic;
      return { text: text.join(" "), label: `topic ${told}` };
    });
  }

  /** The topic under which a text is likeliest; nobody can tell better. All are equally likely before it. */
  best(text: string): string {
    const ids = text.split(" ").map((word) => this.words.indexOf(word));
    const scores = this.logChances.map((logChances) => ids.reduce((sum, id) => sum + logChances[id]!, 0));
    return `topic ${scores.indexOf(Math.max(...scores))}`;
  }
}
