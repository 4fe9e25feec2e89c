// Exact match: what a model writes after a prompt, up to the end of the line, is one of the answers.
import type { TextGenerator } from "../generate/index.ts";

export interface OpenQuestion {
  readonly prompt: string;
  /** One answer, or several of which any counts. */
  readonly answer: string | readonly string[];
}

export interface ExactMatchOptions {
  readonly maxTokens?: number;
  /** Where an answer ends; default the end of the line. */
  readonly stop?: string | readonly string[];
}

/** Share of prompts after which the likeliest text, without the spaces around it, is an answer. */
export async function scoreExactMatch(
  generator: TextGenerator,
  questions: readonly OpenQuestion[],
  { maxTokens = 64, stop = "\n" }: ExactMatchOptions = {},
): Promise<{ readonly exactMatch: number; readonly count: number }> {
  const prompts = questions.map(({ prompt }) => prompt);
  const written = await generator.generateAll(prompts, { temperature: 0, maxTokens, stop });
  const isRight = ({ answer }: OpenQuestion, at: number) => [answer].flat().includes(written[at]!.text.trim());
  return { exactMatch: questions.filter(isRight).length / questions.length, count: questions.length };
}
