// train(): what a program calls. Starts a run and gives its events while it works and its model at the end.
import { parseRecipe, type RecipeInput, readRecipe } from "../recipe/index.ts";
import type { RunEvent } from "../track/index.ts";
import { load, type PredictInput, type TrainedModel } from "./model.ts";
import { runTraining } from "./training.ts";
import type { TrainOptions, TrainOutcome } from "./training-run.ts";

/** A record without its target: what a model of it predicts from. */
type RowWithout<R, K extends PropertyKey> = Omit<R, K> & { readonly [column in K]?: never };

/** Class names as the target column's type tells them: `"ham" | "spam"` stays so. */
type LabelOf<T> = T extends string | number | boolean ? `${T}` : string;

/** A recipe whose data is given as records, so that the types of predictions follow from the records. */
export type RecordRecipe<R extends object, K extends keyof R & string> = Omit<RecipeInput, "data"> & {
  readonly data: Omit<RecipeInput["data"], "rows" | "target" | "path"> & {
    readonly rows: Iterable<R> | AsyncIterable<R>;
    readonly target: K;
  };
};

/** A run under way: iterate over its events, await its model, or both. */
export class Training<Label extends string = string, Row extends PredictInput = PredictInput>
  implements AsyncIterable<RunEvent>, PromiseLike<TrainedModel<Label, Row>>
{
  /** Folder, final step, losses and hash, once the run has ended. */
  readonly outcome: Promise<TrainOutcome>;
  private readonly model: Promise<TrainedModel<Label, Row>>;
  /** Called when something has happened: one for each reader. */
  private readonly readers = new Set<(event?: RunEvent) => void>();
  private done = false;

  constructor(start: (onEvent: (event: RunEvent) => void) => Promise<TrainOutcome>) {
    const tell = (event?: RunEvent) => {
      for (const reader of this.readers) reader(event);
    };
    this.outcome = start(tell).finally(() => {
      this.done = true;
      tell();
    });
    this.model = this.outcome.then(({ folder }) => load<Label, Row>(folder));
    this.model.catch(() => undefined); // reported where the training is awaited or iterated
  }

  // biome-ignore lint/suspicious/noThenProperty: `await train(...)` gives the model
  then<A = TrainedModel<Label, Row>, B = never>(
    onModel?: ((model: TrainedModel<Label, Row>) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): PromiseLike<A | B> {
    return this.model.then(onModel, onError);
  }

  /** The events from now on; what nobody reads is not kept. Ends with the run, and fails when it fails. */
  [Symbol.asyncIterator](): AsyncIterator<RunEvent> {
    const queue: RunEvent[] = [];
    let wake: (() => void) | undefined;
    const reader = (event?: RunEvent) => {
      if (event !== undefined) queue.push(event);
      wake?.();
    };
    this.readers.add(reader); // here and not in the generator, which begins at the first `next`
    return this.read(
      queue,
      (resolve) => {
        wake = resolve;
      },
      () => this.readers.delete(reader),
    );
  }

  private async *read(
    queue: RunEvent[],
    onWake: (resolve: () => void) => void,
    leave: () => void,
  ): AsyncGenerator<RunEvent> {
    try {
      for (;;) {
        for (let event = queue.shift(); event !== undefined; event = queue.shift()) yield event;
        if (this.done) break;
        await new Promise<void>(onWake);
      }
      await this.outcome;
    } finally {
      leave();
    }
  }
}

/**
 * Trains a model from a recipe: an object, or the path of a recipe file. Nothing is started when the recipe has a fault.
 *
 * @param recipe data (`path` or `rows`), model, optimizer, batch, steps
 * @param options run folder, resume, signal, callbacks
 * @returns the run: `await` it for the model, `for await` it for its events
 */
export function train<R extends object, K extends keyof R & string>(
  recipe: RecordRecipe<R, K>,
  options?: TrainOptions,
): Training<LabelOf<R[K]>, RowWithout<R, K> | string>;
export function train(recipe: RecipeInput | string, options?: TrainOptions): Training;
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
