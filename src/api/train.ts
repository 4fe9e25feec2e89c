// train(): what a program calls. Starts a run and gives its events while it works and its model at the end.

import { parseRecipe, type RecipeInput, readRecipe } from "../recipe/index.ts";
import type { RunEvent } from "../track/index.ts";
import { load, type TrainedModel } from "./model.ts";
import { runTraining, type TrainOptions, type TrainOutcome } from "./training.ts";

/** A run under way: iterate over its events, await its model, or both. */
export class Training implements AsyncIterable<RunEvent>, PromiseLike<TrainedModel> {
  /** Folder, final step, losses and hash, once the run has ended. */
  readonly outcome: Promise<TrainOutcome>;
  private readonly model: Promise<TrainedModel>;
  private readonly events: RunEvent[] = [];
  private wake: (() => void) | undefined;
  private done = false;

  constructor(start: (onEvent: (event: RunEvent) => void) => Promise<TrainOutcome>) {
    this.outcome = start((event) => {
      this.events.push(event);
      this.wake?.();
    }).finally(() => {
      this.done = true;
      this.wake?.();
    });
    this.model = this.outcome.then(({ folder }) => load(folder));
    this.model.catch(() => undefined); // reported where the training is awaited or iterated
  }

  // biome-ignore lint/suspicious/noThenProperty: `await train(...)` gives the model
  then<A = TrainedModel, B = never>(
    onModel?: ((model: TrainedModel) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): PromiseLike<A | B> {
    return this.model.then(onModel, onError);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<RunEvent> {
    for (let at = 0; ; ) {
      while (at < this.events.length) yield this.events[at++]!;
      if (this.done) break;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    await this.outcome; // a failed run fails its reader
  }
}

/**
 * Trains a model from a recipe: an object, or the path of a recipe file. Nothing is started when the recipe has a fault.
 *
 * @param recipe data (`path` or `rows`), model, optimizer, batch, steps
 * @param options run folder, resume, signal, callbacks
 * @returns the run: `await` it for the model, `for await` it for its events
 */
export function train(recipe: RecipeInput | string, options: TrainOptions = {}): Training {
  return new Training(async (onEvent) => {
    const parsed = typeof recipe === "string" ? await readRecipe(recipe) : parseRecipe(recipe);
    return await runTraining(parsed, {
      ...options,
      onEvent: async (event) => {
        onEvent(event);
        await options.onEvent?.(event);
      },
    });
  });
}
