// What to change in a run: read from its record, and made sure by short trainings of its recipe with one thing changed. The questions
// are asked in an order in which each takes for granted that those before are settled: do the weights learn at all, is the rate right,
// does the model learn by heart, is it large enough. Saves nothing, prints nothing.
import { join } from "node:path";
import { findRun } from "../api/index.ts";
import { fail } from "../base/index.ts";
import { findCheckpoints } from "../checkpoint/index.ts";
import { parseRecipe, type Recipe, type RecipeInput, recipeSettings } from "../recipe/index.ts";
import { type LoggedEvent, readMetrics, readRun } from "../track/index.ts";
import { ShortTraining } from "./short-training.ts";
import { rateKey } from "./tune.ts";

export interface AdviseOptions {
  /** Steps of each short training; 0 for none: then the record alone is judged. Default 200, and never more than the run made. */
  readonly trialSteps?: number;
  readonly onNote?: (text: string) => void;
}

export type Problem = "dead weights" | "rate too high" | "rate too low" | "overfitting" | "model too small";

export interface Advice {
  readonly problem: Problem;
  /** 0 to 1. */
  readonly confidence: number;
  /** Figures that it follows from. */
  readonly evidence: readonly string[];
  /** Changes of the recipe, as `--set` reads them; the first is what to try first. */
  readonly changes: readonly (readonly string[])[];
}

export interface Advised {
  readonly folder: string;
  /** Surest first; none where nothing needs a change. */
  readonly advice: readonly Advice[];
  /** A recipe of the run on disk, for `train`; left out where its data was in memory. */
  readonly recipePath?: string;
  /** Names of the warnings and errors that the run was told. */
  readonly told: readonly string[];
}

/** Reads a run's record and tries what it suggests. Errors with `advise/no-steps`, and as `findRun`, `readRun`, `prepare`. */
export async function adviseRun(path: string, options: AdviseOptions = {}): Promise<Advised> {
  const folder = await findRun(path);
  const { record } = await readRun(folder);
  const recipe = parseRecipe(record.recipe as RecipeInput);
  const log = await readLog(folder);
  const canTry = recipe.data.path !== undefined && record.origin === undefined;
  if (!canTry)
    options.onNote?.(
      `judged by its record alone: ${record.origin === undefined ? "its data was in memory" : "it began with the weights of another run"}`,
    );
  const { trialSteps = 200 } = options;
  const steps = canTry ? Math.min(trialSteps, log.losses.length) : 0;
  const advice = await adviceOf(recipe, log, steps, options);
  const newest = (await findCheckpoints(folder)).at(-1);
  return {
    folder,
    advice: advice.toSorted((a, b) => b.confidence - a.confidence),
    ...(newest === undefined || recipe.data.path === undefined ? {} : { recipePath: join(newest.path, "recipe.json") }),
    told: [...new Set(log.told.map(({ code }) => code))],
  };
}

interface Log {
  /** Of the steps from the first on. */
  readonly losses: readonly number[];
  readonly heldOut: readonly { readonly step: number; readonly loss: number }[];
  readonly told: readonly { readonly code: string; readonly message: string }[];
}

async function readLog(folder: string): Promise<Log> {
  const losses: number[] = [];
  const heldOut: { step: number; loss: number }[] = [];
  const told: { code: string; message: string }[] = [];
  const read = (event: LoggedEvent) => {
    if (event.type === "step") losses[event.step - 1] = event.loss;
    if (event.type === "eval") heldOut.push({ step: event.step, loss: event.loss });
    if ("code" in event) told.push({ code: event.code, message: event.message });
    if (event.type !== "rollback") return;
    losses.length = Math.min(losses.length, event.step);
    while ((heldOut.at(-1)?.step ?? 0) > event.step) heldOut.pop();
  };
  for await (const event of readMetrics(folder)) read(event);
  if (losses.length === 0 && told.length === 0)
    fail("advise/no-steps", "the record of the run tells no step", {
      where: folder,
      expected: "a run that has made some steps",
      got: "none",
      fix: "train it first: npx athanor train",
    });
  return { losses, heldOut, told };
}

async function adviceOf(recipe: Recipe, log: Log, steps: number, options: AdviseOptions): Promise<Advice[]> {
  const dead = deadWeights(recipe, log);
  // what a step that was far too large has killed is no fault of the start
  const isKilled = log.told.some(({ code }) => code === "train/update-too-large");
  if (dead !== undefined && !isKilled) return [dead];
  const overfitting = async () => [await overfittingAdvice(recipe, log, steps, options)];
  if (!isKilled && overfits(log)) return await overfitting();
  const training = steps >= fewestSteps ? await ShortTraining.open(recipe, options) : undefined;
  try {
    const rate = training === undefined ? unstable(recipe, log) : await rateAdvice(recipe, log, steps, training);
    if (rate !== undefined || dead !== undefined) return [rate ?? dead!];
    if (overfits(log)) return await overfitting();
    const size = training === undefined ? undefined : await sizeAdvice(log, steps, training, recipe, options);
    return size === undefined ? [] : [size];
  } finally {
    await training?.close();
  }
}

const fewestSteps = 8;

function deadWeights(recipe: Recipe, { told }: Log): Advice | undefined {
  const warning = told.find(({ code }) => code === "train/zero-gradient" || code === "train/dead-units");
  if (warning === undefined) return undefined;
  const [family] = Object.keys(recipe.model);
  return {
    problem: "dead weights",
    confidence: 0.95,
    evidence: [lineOf(warning.message, "got")],
    changes: [[`model.${family}.activation=gelu`], [`${rateKey(recipe)}=${round(0.1 * written(recipe))}`]],
  };
}

/** Held-out loss at its end well above its best, while that of training fell on. */
function overfits({ losses, heldOut }: Log): boolean {
  const best = lowest(heldOut);
  const last = heldOut.at(-1);
  if (best === undefined || last === undefined || heldOut.length < 3 || last.step === best.step) return false;
  const trained = (step: number) => mean(losses.slice(Math.max(0, step - window), step));
  return last.loss > 1.1 * best.loss && trained(last.step) < Math.min(trained(best.step), 0.8 * last.loss);
}

const window = 20;

async function overfittingAdvice(recipe: Recipe, log: Log, steps: number, options: AdviseOptions): Promise<Advice> {
  const [best, last] = [lowest(log.heldOut)!, log.heldOut.at(-1)!];
  const train = mean(log.losses.slice(-window));
  const evidence = [
    `held-out loss ${round(best.loss)} at step ${best.step}, ${round(last.loss)} at the end (step ${last.step})`,
    `training loss ${round(train)} at the end`,
  ];
  const [family, config] = Object.entries(recipe.model)[0]!;
  const [optimizer, settings] = Object.entries(recipe.optimizer).find(([, value]) => value !== undefined)!;
  const decay = (settings as { weightDecay?: number }).weightDecay ?? 0;
  const remedies = [
    [`model.${family}.dropout=${Math.max(0.3, (config as { dropout?: number }).dropout ?? 0)}`],
    [`optimizer.${optimizer}.weightDecay=${round(Math.max(0.1, 10 * decay))}`],
  ];
  const early = { change: ["eval.patience=3"], loss: best.loss };
  const tried = [early];
  // a remedy shows only where its lack does
  if (steps >= best.step && log.losses.length === steps)
    for (const change of remedies) tried.push({ change, loss: await heldOutAfter(recipe, change, steps, options) });
  else tried.push(...remedies.map((change) => ({ change, loss: Number.POSITIVE_INFINITY })));
  tried.sort((a, b) => a.loss - b.loss);
  for (const { change, loss } of tried)
    if (Number.isFinite(loss)) evidence.push(`with ${change.join(" ")}: held-out loss ${round(loss)}`);
  return { problem: "overfitting", confidence: 0.9, evidence, changes: tried.map(({ change }) => change) };
}

async function heldOutAfter(recipe: Recipe, change: readonly string[], steps: number, options: AdviseOptions) {
  const training = await ShortTraining.open(changed(recipe, change), options);
  try {
    await lossesOf(training, 1, steps);
    const loss = await training.heldOutLoss();
    return Number.isFinite(loss) ? loss : Number.POSITIVE_INFINITY;
  } finally {
    await training.close();
  }
}

/** Without trials, a run that broke is the one sign of a rate that is too high. */
function unstable(recipe: Recipe, { told }: Log): Advice | undefined {
  const sign = told.find(({ code }) =>
    ["train/non-finite", "train/loss-spike", "train/update-too-large"].includes(code),
  );
  if (sign === undefined) return undefined;
  return {
    problem: "rate too high",
    confidence: 0.6,
    evidence: [`the run was told ${sign.code}`],
    changes: [[`${rateKey(recipe)}=${round(0.1 * written(recipe))}`]],
  };
}

/** A tenth, or ten times, of the rate, and on in that direction until it is worse: a rate that is far away changes nothing at first. */
async function rateAdvice(
  recipe: Recipe,
  log: Log,
  steps: number,
  training: ShortTraining,
): Promise<Advice | undefined> {
  const unit = training.prepared.description.task.units?.loss ?? 1;
  const ending = async (factor: number) => {
    const losses = (await lossesOf(training, factor, steps)).map((loss) => loss * unit);
    return { start: mean(losses.slice(0, 3)), end: losses.length < steps ? Number.POSITIVE_INFINITY : endOf(losses) };
  };
  const own = log.losses.slice(0, steps).every(Number.isFinite)
    ? endOf(log.losses.slice(0, steps))
    : Number.POSITIVE_INFINITY;
  const tried: { factor: number; end: number; gain: number }[] = [];
  for (const step of [0.1, 10]) {
    let before = own;
    for (let factor = step; factor >= 1e-4 && factor <= 1e4; factor *= step) {
      const { start, end } = await ending(factor);
      tried.push({ factor, end, gain: gainOf(start, own, end) });
      if (end > worse * before) break;
      before = end;
    }
  }
  const best = tried.reduce((one, other) => (other.end < one.end ? other : one));
  if (!(best.gain > muchGain)) return undefined;
  const rate = (factor: number) => round(factor * written(recipe));
  return {
    problem: best.factor < 1 ? "rate too high" : "rate too low",
    confidence: Math.min(0.95, 0.6 + best.gain / 2),
    evidence: [
      `after ${steps} steps with a rate of ${rate(1)} the training loss is ${round(own)}`,
      ...tried.map(({ factor, end }) => `with ${rate(factor)} it is ${round(end)}`),
    ],
    changes: [[`${rateKey(recipe)}=${rate(best.factor)}`]],
  };
}

/** A loss that has stopped to fall, that held-out rows have too, and that a larger model gets below. */
async function sizeAdvice(
  log: Log,
  steps: number,
  training: ShortTraining,
  recipe: Recipe,
  options: AdviseOptions,
): Promise<Advice | undefined> {
  const { losses, heldOut } = log;
  const third = Math.floor(losses.length / 3);
  const [start, middle, end] = [
    mean(losses.slice(0, 3)),
    mean(losses.slice(third, -third)),
    mean(losses.slice(-third)),
  ];
  const hasStopped = middle - end < 0.1 * (start - end);
  const isSolved = end < 0.05 * start;
  const gap = (heldOut.at(-1)?.loss ?? end) / end;
  const change = largerModel(training.prepared.files["model.json"]!);
  if (!hasStopped || isSolved || gap > 1.5 || change === undefined) return undefined;
  const larger = await ShortTraining.open(changed(recipe, change), options);
  try {
    const unit = larger.prepared.description.task.units?.loss ?? 1;
    const own = endOf(losses.slice(0, steps));
    const tried = (await lossesOf(larger, 1, steps)).map((loss) => loss * unit);
    const reached = tried.length < steps ? Number.POSITIVE_INFINITY : endOf(tried);
    const gain = gainOf(start, own, reached);
    if (!(gain > someGain)) return undefined;
    const sizes = [training, larger].map(({ prepared }) =>
      [...prepared.description.model.parameters().values()].reduce(
        (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
        0,
      ),
    );
    return {
      problem: "model too small",
      confidence: Math.min(0.9, 0.5 + gain / 2),
      evidence: [
        `training loss ${round(end)}, hardly falling any more; held-out loss ${round(gap)} times that`,
        `${sizes[0]} parameters for ${Math.round(training.prepared.source.samplesPerEpoch)} rows; with ${sizes[1]} the loss after ${steps} steps is ${round(reached)} instead of ${round(own)}`,
      ],
      changes: [change],
    };
  } finally {
    await larger.close();
  }
}

/** Settings of a model with about four times the weights, or more; `undefined` for a family that is not known here. */
function largerModel(modelFile: string): string[] | undefined {
  const { family, config } = JSON.parse(modelFile) as {
    family: string;
    config: { hidden?: readonly number[]; width?: number; layers?: number };
  };
  const { hidden, width, layers } = config;
  const widths = hidden?.length === 0 ? [32] : hidden?.map((one) => Math.max(16, 4 * one));
  const changes = [
    ...(widths === undefined ? [] : [`model.${family}.hidden=[${widths}]`]),
    ...(width === undefined ? [] : [`model.${family}.width=${2 * width}`]),
    ...(layers === undefined ? [] : [`model.${family}.layers=${2 * layers}`]),
  ];
  return changes.length === 0 ? undefined : changes;
}

/** Losses of the recipe's first steps at its rates times a factor, up to the first that is not finite. */
async function lossesOf(training: ShortTraining, factor: number, steps: number): Promise<number[]> {
  const { description, clockAt } = training.prepared;
  training.restart();
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const loss = await training.step(factor * description.optimizer.learningRate.at(clockAt(step), []));
    if (!Number.isFinite(loss)) break;
    losses.push(loss);
  }
  return losses;
}

/** How much more of the way from the start a trial has come: 1 where the run made none of it. */
const gainOf = (start: number, own: number, tried: number): number =>
  tried < own && tried < start ? (Math.min(own, start) - tried) / (start - tried) : 0;
const someGain = 0.1;
const muchGain = 0.25;
const worse = 1.05;

const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;
const endOf = (losses: readonly number[]): number => mean(losses.slice(-Math.ceil(losses.length / 4)));
const round = (value: number): number => Number(value.toPrecision(3));
const lowest = (points: Log["heldOut"]) =>
  points.reduce<Log["heldOut"][number] | undefined>(
    (best, one) => (best === undefined || one.loss < best.loss ? one : best),
    undefined,
  );

const changed = (recipe: Recipe, set: readonly string[]): Recipe => parseRecipe(recipe as RecipeInput, { set });

/** The rate as the recipe has it at `rateKey`. */
function written(recipe: Recipe): number {
  return Number(recipeSettings(recipe).get(rateKey(recipe)) ?? Number.NaN);
}

/** One field of a rendered error. */
function lineOf(message: string, field: string): string {
  return new RegExp(`^ {2}${field} +(.*)$`, "m").exec(message)?.[1] ?? message;
}
