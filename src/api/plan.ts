// planRecipe(): what a run will need and do, before any step. Nothing is trained and no memory is taken for the model.
import { optimize, type Pass, type Plan } from "../compiler/index.ts";
import { type Graph, quantizedFormats } from "../core/index.ts";
import { describeEngine, type Engine } from "../engine/index.ts";
import { type Quantity, quantityOf, type ScheduleCurve, scheduleCurve } from "../optim/index.ts";
import {
  type AdapterConfig,
  coursesOf,
  type Prepared,
  prepare,
  type Recipe,
  requireFrom,
  variantOf,
} from "../recipe/index.ts";
import {
  availableMemory,
  type Forecast,
  forecast,
  type MemoryForecast,
  requireMemory,
  StepGraphs,
} from "../train/index.ts";
import { chooseEngine } from "./engine.ts";

export interface RunPlan extends Forecast {
  readonly engine: string;
  readonly steps: number;
  readonly items: number;
  /** The learning rate over the run, and where its schedule changes course. */
  readonly learningRate: ScheduleCurve;
  /** What else changes over it: rows of a batch with the samples they add up to, momentum, decay, dropout, label smoothing. */
  readonly changing: readonly ScheduleCurve[];
  readonly totalFlops: number;
  readonly availableBytes: number;
  /** Of a recipe with an adapter: what ways to train the same model take, where nothing is recomputed. */
  readonly methods: readonly {
    readonly method: string;
    readonly memory: MemoryForecast;
    readonly numTrained: number;
  }[];
}

/**
 * The forecast of a recipe. Errors with `plan/memory` when it cannot fit, with `optim/learning-rate` when the schedule has a rate that no step may have.
 */
export async function planRecipe(recipe: Recipe, options: { onNote?: (text: string) => void } = {}): Promise<RunPlan> {
  const { prepared, graphs, plans, engine } = await compileRecipe(recipe, { weigh: true, ...options });
  const planned = forecast(graphs, plans, engine);
  const available = availableMemory();
  requireMemory(planned, available);
  const { description, clockAt } = prepared;
  const { samples, tokens } = clockAt(recipe.steps);
  const { flopsPerStep, flopsPerUpdate } = planned;
  const flopsPerSample = (flopsPerStep - flopsPerUpdate) / description.batchSize;
  const totalFlops =
    description.shapes === undefined
      ? samples * flopsPerSample + recipe.steps * flopsPerUpdate
      : recipe.steps * flopsPerStep;
  const [learningRate, ...changing] = quantitiesOf(prepared).map((one) => scheduleCurve(one, recipe.steps, clockAt));
  return {
    ...planned,
    learningRate: learningRate!,
    changing,
    engine: describeEngine(engine),
    steps: recipe.steps,
    items: tokens,
    totalFlops,
    availableBytes: available.bytes,
    methods: methodsOf(prepared, engine),
  };
}

/** What the whole model and adapters would take. */
function methodsOf(prepared: Prepared, engine: Engine): RunPlan["methods"] {
  const { adapter: chosen } = prepared.recipe;
  if (chosen === undefined) return [];
  return [["full", undefined] as const, ...alike(chosen)].map(([method, adapter]) => {
    const graphs = new StepGraphs({ ...variantOf(prepared, adapter), memoryBytes: undefined, recompute: "none" });
    const { memory, numTrained } = forecast(graphs, graphs.compile(engine), engine);
    return { method, memory, numTrained };
  });
}

/** An adapter, and others of its kind: beside weights in few bits, before a text as tokens or as keys and values. */
function alike({ lora, prompt, prefix }: AdapterConfig): (readonly [method: string, adapter: AdapterConfig])[] {
  const tokens = (prompt ?? prefix)?.tokens;
  if (tokens !== undefined) {
    const made = prefix?.projection === undefined ? [] : [["prefix, projection", { prefix }] as const];
    return [["prompt", { prompt: { tokens } }], ["prefix", { prefix: { tokens } }], ...made];
  }
  if (lora === undefined) return [];
  const { base: _, ...plain } = lora;
  const kept = lora.magnitude
    ? []
    : quantizedFormats.map((base) => [`lora, ${base}`, { lora: { ...lora, base } }] as const);
  return [["lora", { lora: plain }], ...kept];
}

/** The learning rate, and what else is not the same at every step. */
function quantitiesOf({ recipe, description, learningRate, batchSizes }: Prepared): Quantity[] {
  const { learningRate: schedule } = description.optimizer;
  const unforeseen = batchSizes.measure === undefined ? "" : ": drawn as if they stayed the fewest";
  const rows: Quantity = {
    ...batchSizes,
    name: "rows of a step",
    at: (clock) => batchSizes.at(clock),
    describe: () => `${batchSizes.describe()}${unforeseen}`,
  };
  const samples: Quantity = {
    name: "samples",
    unit: "steps",
    at: ({ samples }) => samples,
    describe: () => "seen so far",
  };
  return [
    { ...schedule, name: "learning rate", at: (clock) => learningRate(clock, [], batchSizes.at(clock)) },
    ...(batchSizes.sizes.length > 1 ? [rows, samples] : []),
    ...coursesOf(recipe).map(([name, course]) => quantityOf(name, course)),
  ];
}

/** The step's programs as graphs and plans, pass by pass, for `athanor inspect`. */
export interface Inspection {
  readonly program: string;
  readonly traced: Graph;
  readonly passes: readonly { readonly pass: Pass; readonly graph: Graph }[];
  readonly plan: Plan;
}

export async function inspectRecipe(recipe: Recipe, programs: readonly string[]): Promise<Inspection[]> {
  const { graphs, plans, engine } = await compileRecipe(recipe);
  const made = [
    ["accumulate", graphs.accumulate(graphs.sums[0]!), plans.accumulate[0]!],
    ["update", graphs.update(), plans.update],
    ["evaluate", graphs.evaluate(), plans.evaluate],
  ] as const;
  return made
    .filter(([program]) => programs.includes(program))
    .map(([program, traced, plan]) => {
      const passes: { pass: Pass; graph: Graph }[] = [];
      const onPass = (pass: Pass, graph: Graph) => void passes.push({ pass, graph });
      optimize(traced, engine.target, { ...graphs.compileOptions(program, plans.recompute), onPass });
      return { program, traced, passes, plan };
    });
}

/** Above it, compiling takes two seconds and more. */
const manyTensors = 700;

/** Says what is being waited for, where a model is deep. */
export function tellCompiling({ parameterTypes: { length } }: StepGraphs, onNote?: (text: string) => void): void {
  if (length > manyTensors) onNote?.(`compiling the step of ${length.toLocaleString("en")} parameter tensors`);
}

async function compileRecipe(recipe: Recipe, options: { weigh?: boolean; onNote?: (text: string) => void } = {}) {
  const { engine, note } = chooseEngine(recipe);
  if (note !== undefined) options.onNote?.(note);
  requireFrom(recipe);
  const prepared = await prepare(recipe, options);
  await prepared.close?.(); // nothing is read from here on
  const graphs = new StepGraphs(prepared.description);
  tellCompiling(graphs, options.onNote);
  return { prepared, graphs, plans: graphs.compile(engine, options), engine };
}
