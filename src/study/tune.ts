// Choosing settings of a recipe by short trainings of its own: nothing is saved.
import { chooseEngine } from "../api/index.ts";
import { allocate, sizeOf } from "../base/index.ts";
import { prepare, type Recipe } from "../recipe/index.ts";
import { forecast, requireMemory, StepGraphs, StepPrograms } from "../train/index.ts";
import { type RangeTest, type RangeTestOptions, rangeTest } from "./range-test.ts";

export interface TuneOptions extends RangeTestOptions {
  readonly onNote?: (text: string) => void;
}

export interface TunedRate extends RangeTest {
  /** The change of the recipe that takes the suggestion, as `--set` reads it. */
  readonly change: string;
}

/** The range test on a recipe's model, data and optimizer; its schedule is left out. Errors as `prepare` and `rangeTest`. */
export async function tuneLearningRate(recipe: Recipe, options: TuneOptions = {}): Promise<TunedRate> {
  const { engine, note } = chooseEngine(recipe);
  if (note !== undefined) options.onNote?.(note);
  const { description, source, close } = await prepare(recipe, options);
  try {
    const graphs = new StepGraphs(description);
    const plans = graphs.compile(engine);
    requireMemory(forecast(graphs, plans, engine));
    const programs = new StepPrograms(description, engine, { graphs, plans });
    const start = source.state();
    let done = 0;
    const found = await rangeTest(
      {
        restart: () => {
          programs.initialize();
          for (const { name, dtype, shape } of graphs.slotTypes)
            programs.store.write(name, { dtype, shape, data: allocate(dtype, sizeOf(shape)) });
          source.restore(start);
          done = 0;
        },
        step: async (learningRate) => {
          const { rows, ...batch } = await source.next();
          const inputs = { step: done++, learningRate, batch, sampleIds: rows!.data as Int32Array };
          const { committed, loss } = await programs.step(inputs);
          return committed ? loss : Number.NaN;
        },
      },
      options,
    );
    return { ...found, change: `${rateKey(recipe)}=${Number(found.suggestion.toPrecision(2))}` };
  } finally {
    await close?.();
  }
}

/** Where a recipe's rate stands: a number, or a schedule's peak. A schedule without one gives way to a number. */
function rateKey({ optimizer }: Recipe): string {
  const [name, settings] = Object.entries(optimizer).find(([, value]) => value !== undefined)!;
  const { lr } = settings!;
  const path = `optimizer.${name}.lr`;
  if (typeof lr === "number") return path;
  const peaked = Object.entries(lr).find(
    ([, schedule]) => typeof schedule === "object" && schedule !== null && "peak" in schedule,
  );
  return peaked === undefined ? path : `${path}.${peaked[0]}.peak`;
}
