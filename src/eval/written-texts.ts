// What an encoder–decoder makes of texts, against what people made of them: translations, summaries. The scores are those of `metrics`.
import { type BleuTokenization, bleu, bleuTokenizationOf, chrf, rouge, rougeKinds } from "../metrics/index.ts";

export interface WantedText {
  readonly source: string;
  /** One text that would be right, or several of which any counts. */
  readonly target: string | readonly string[];
}

export interface WrittenTextOptions {
  /** How BLEU splits texts into words; left out, `zh` where most letters of the targets are Chinese, else `13a`. */
  readonly tokenization?: BleuTokenization;
}

/** All from 0 to 100. */
export interface WrittenTextScore {
  readonly bleu: number;
  readonly chrf: number;
  readonly rouge1: number;
  readonly rouge2: number;
  readonly rougeL: number;
  readonly count: number;
}

/** Scores what `write` makes of all sources, which it is given together. */
export async function scoreWrittenTexts(
  write: (sources: readonly string[]) => Promise<readonly string[]>,
  wanted: readonly WantedText[],
  { tokenization = bleuTokenizationOf(wanted.flatMap(({ target }) => target)) }: WrittenTextOptions = {},
): Promise<WrittenTextScore> {
  const written = await write(wanted.map(({ source }) => source));
  const metrics = [bleu({ tokenization }), chrf(), ...rougeKinds.map(rouge)];
  const values = metrics.map((metric) => {
    for (const [at, { target }] of wanted.entries()) metric.add(written[at]!, target);
    return metric.value();
  });
  const [bleuScore, chrfScore, rouge1, rouge2, rougeL] = values as [number, number, number, number, number];
  return { bleu: bleuScore, chrf: chrfScore, rouge1, rouge2, rougeL, count: wanted.length };
}
