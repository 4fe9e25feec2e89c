// Samples of text while a language model trains: before the first step, every so often, and at the end.
import { AthanorError } from "../base/index.ts";
import { createGenerator, isCachedLanguageModel, type TextGenerator } from "../generate/index.ts";
import type { Prepared } from "../recipe/index.ts";
import type { SampleEvent } from "../track/index.ts";
import type { Callback, StepPrograms, Trainer } from "../train/index.ts";

/** Encodes the prompt of the samples, so that one that cannot be written is refused before the run. */
export function requirePrompt({ recipe: { samples }, tokenizer }: Prepared): void {
  if (samples === undefined || tokenizer === undefined) return;
  try {
    tokenizer.encode(samples.prompt);
  } catch (error) {
    throw error instanceof AthanorError ? error.at("samples.prompt") : error;
  }
}

/** The callback that writes samples, if the recipe asks for them and the model writes text. */
export function sampling(
  { recipe, tokenizer, description, chat }: Prepared,
  programs: StepPrograms,
  emit: (event: SampleEvent) => Promise<void>,
): readonly Callback[] {
  const { samples } = recipe;
  const { model } = description;
  if (samples === undefined || tokenizer === undefined || !isCachedLanguageModel(model)) return [];
  let generator: TextGenerator | undefined;
  let writtenAt = -1;
  const write = async ({ clock: { step }, options: { signal } }: Trainer) => {
    if (writtenAt === step || signal?.aborted) return;
    writtenAt = step;
    const { engine, store, graphs } = programs;
    generator ??= createGenerator({ engine, store, model, tokenizer, weights: () => graphs.evaluatedWeights() });
    const { prompt, tokens, temperature } = samples;
    const settings = { maxTokens: tokens, temperature, seed: recipe.seed, ...(signal === undefined ? {} : { signal }) };
    // a model of conversations is asked, and answers
    const begun = chat?.prompt([{ role: "user", content: prompt }]) ?? prompt;
    const { text } = await generator.generate(begun, { ...settings, stopTokens: [...(chat?.endTokens ?? [])] });
    await emit({ type: "sample", step, prompt, text });
  };
  return [
    {
      start: write,
      step: (report, trainer) =>
        samples.every > 0 && report.clock.step % samples.every === 0 ? write(trainer) : undefined,
      end: (_, trainer) => write(trainer),
    },
  ];
}
