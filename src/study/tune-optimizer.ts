// Which optimizer suits a recipe: each at a rate of its own, found by the same rule, on the same samples and from the same starts.
// The rates are chosen on a seed that the ranking does not have. Saves nothing, prints nothing.
import { fail, parseConfig } from "../base/index.ts";
import { createSchedule, type OptimizerInput, optimizerSchema, type ScheduleConfig } from "../optim/index.ts";
import type { Recipe } from "../recipe/index.ts";
import { ShortTraining } from "./short-training.ts";
import { type MeanInterval, meanInterval } from "./student.ts";

export interface OptimizerTuneOptions {
  /** What is compared, by the name it shall have; default SGD without and with momentum, Adam, AdamW. */
  readonly optimizers?: { readonly [label: string]: OptimizerInput };
  /** Seeds of the ranking, those after the recipe's; default 5. */
  readonly seeds?: number;
  /** Rates that an optimizer is tried at, spaced by √10 about its default; default 5. */
  readonly rates?: number;
  readonly onNote?: (text: string) => void;
}

export interface TriedRate {
  readonly rate: number;
  /** Held-out loss at the end; infinite where a step or the loss was not finite. */
  readonly loss: number;
}

export interface RankedOptimizer {
  readonly name: string;
  /** The largest that its schedule names, and what was tried to find it, rising. */
  readonly rate: number;
  readonly tried: readonly TriedRate[];
  /** No rate beyond it was tried: there may be better ones. */
  readonly atEdge: boolean;
  /** Held-out losses, one per seed, and their mean. */
  readonly losses: readonly number[];
  readonly loss: MeanInterval;
  /** By how much the loss is above that of the first, seed by seed; the first has none. */
  readonly behind?: MeanInterval;
  /** The change of the recipe that takes it, as `--set` reads it. */
  readonly change: string;
}

export interface OptimizerRanking {
  /** The lowest mean loss first. */
  readonly ranking: readonly RankedOptimizer[];
  /** Of every training. */
  readonly steps: number;
  readonly samples: number;
  /** The seeds that are ranked by, and the one that the rates were chosen on. */
  readonly seeds: readonly number[];
  readonly tuningSeed: number;
}

/** Optimizers by the names of a command: those of a recipe, and `momentum` for SGD with 0.9 of it. */
export function namedOptimizers(names: readonly string[]): { [name: string]: OptimizerInput } {
  return Object.fromEntries(names.map((name) => [name, name === "momentum" ? momentum : { [name]: {} }]));
}
const momentum: OptimizerInput = { sgd: { momentum: 0.9 } };

/**
 * Ranks optimizers by the held-out loss of whole trainings of the recipe. Its schedule, and what any optimizer can be told (clipping,
 * penalty, averages, …), all of them have. Errors with `config/optimizers`, and as `prepare`.
 */
export async function tuneOptimizer(recipe: Recipe, options: OptimizerTuneOptions = {}): Promise<OptimizerRanking> {
  const { optimizers = namedOptimizers(["sgd", "momentum", "adam", "adamw"]), onNote } = options;
  const { seeds: numSeeds = 5, rates: numRates = 5 } = options;
  const { steps, seed: tuningSeed } = recipe;
  const candidates = Object.entries(optimizers).map(([name, input]) => candidateOf(recipe, name, input));
  requireRanking(recipe, candidates.length, numSeeds, numRates);
  const seeds = Array.from({ length: numSeeds }, (_, at) => tuningSeed + 1 + at);
  onNote?.(`${candidates.length * (numRates + numSeeds)} trainings of ${steps} steps, or a few more`);
  const ranked: RankedOptimizer[] = [];
  let samples = 0;
  for (const candidate of candidates) {
    const { name, optimizerAt } = candidate;
    const { rate, ...tuned } = await withTraining(recipe, candidate, tuningSeed, (lossAt, seen) => {
      samples = seen;
      return tuneRate(lossAt, candidate.defaultRate, numRates);
    });
    onNote?.(`${name}: rate ${rate}`);
    const losses: number[] = [];
    for (const seed of seeds) losses.push(await withTraining(recipe, candidate, seed, (lossAt) => lossAt(rate)));
    const change = `optimizer=${JSON.stringify(optimizerAt(rate))}`;
    ranked.push({ name, rate, ...tuned, losses, loss: intervalOf(losses), change });
  }
  ranked.sort((a, b) => a.loss.mean - b.loss.mean);
  const ranking = ranked.map((one, place) => {
    if (place === 0) return one;
    return { ...one, behind: intervalOf(one.losses.map((loss, at) => loss - ranked[0]!.losses[at]!)) };
  });
  return { ranking, steps, samples, seeds, tuningSeed };
}

function requireRanking({ steps, optimizer }: Recipe, optimizers: number, seeds: number, rates: number): void {
  if (optimizers < 1 || seeds < 2 || rates < 3 || steps < 1)
    fail("config/optimizers", "these trainings rank no optimizers", {
      where: "optimizers, seeds, rates, steps",
      expected: "an optimizer or more, 2 seeds or more, 3 rates or more, a step or more",
      got: `${optimizers} optimizers, ${seeds} seeds, ${rates} rates, ${steps} steps`,
      fix: "give more",
    });
  const [name, { lr }] = chosen(optimizer);
  if (JSON.stringify(lr).includes('"plateau"'))
    fail("config/optimizers", "a plateau's rates follow evaluations, which these trainings do not have", {
      where: `optimizer.${name}.lr`,
      expected: "a number, or a schedule that is known before the run",
      got: JSON.stringify(lr),
      fix: `--set optimizer.${name}.lr=1e-3`,
    });
}

interface Candidate {
  readonly name: string;
  readonly defaultRate: number;
  /** As a recipe writes it, defaults left out; the recipe's schedule brought to this largest rate. */
  optimizerAt(rate: number): Settings;
}
type Settings = { readonly [key: string]: unknown };

/** Settings that any optimizer can be told, whatever its rule. */
const shared = ["l2", "decay", "clip", "centralize", "noise", "rates", "layerDecay", "lookahead", "average", "freeze"];

function candidateOf(recipe: Recipe, label: string, input: OptimizerInput): Candidate {
  const parse = (value: unknown) => chosen(parseConfig(optimizerSchema, value, `optimizers.${label}`));
  const [ownName, own] = chosen(recipe.optimizer);
  const [name, given] = parse(input);
  const [, defaults] = parse({ [name]: {} });
  const told = (settings: Settings, isMeant = (_: string) => true) =>
    Object.entries(settings).filter(([key, value]) => key !== "lr" && isMeant(key) && !same(value, defaults[key]));
  const settings = Object.fromEntries([
    ...told(own, (key) => ownName === name || shared.includes(key)),
    ...told(given),
  ]);
  const named: number[] = [];
  mapRates(own.lr, (rate) => named.push(rate));
  const peak = Math.max(...named);
  return {
    name: label,
    defaultRate: defaults.lr as number,
    optimizerAt: (rate) => ({
      [name]: { lr: mapRates(own.lr, (one) => Number(((one / peak) * rate).toPrecision(6))), ...settings },
    }),
  };
}

type LossAt = (rate: number) => Promise<number>;

/** Whole trainings of a recipe with an optimizer and a seed, all in the memory of one; what each ends with on held-out rows. */
async function withTraining<T>(
  recipe: Recipe,
  { defaultRate, optimizerAt }: Candidate,
  seed: number,
  body: (lossAt: LossAt, samples: number) => Promise<T>,
): Promise<T> {
  const optimizer = (rate: number) => parseConfig(optimizerSchema, optimizerAt(rate), "optimizer");
  const training = await ShortTraining.open({ ...recipe, seed, optimizer: optimizer(defaultRate) });
  const { clockAt } = training.prepared;
  try {
    return await body(async (rate) => {
      const schedule = createSchedule(chosen(optimizer(rate))[1].lr as ScheduleConfig, recipe.steps);
      training.restart();
      for (let step = 0; step < recipe.steps; step++)
        if (!Number.isFinite(await training.step(schedule.at(clockAt(step))))) return Number.POSITIVE_INFINITY;
      const loss = await training.heldOutLoss();
      return Number.isFinite(loss) ? loss : Number.POSITIVE_INFINITY;
    }, clockAt(recipe.steps).samples);
  } finally {
    await training.close();
  }
}

/** The best of `count` rates about the default, spaced by √10; while it is the first or the last, up to so many more beyond it. */
async function tuneRate(lossAt: LossAt, defaultRate: number, count: number) {
  const tryAt = async (place: number): Promise<TriedRate> => {
    const rate = Number((defaultRate * 10 ** (place / 2)).toPrecision(2));
    return { rate, loss: await lossAt(rate) };
  };
  const tried: TriedRate[] = [];
  const lowest = -Math.floor(count / 2);
  for (let at = 0; at < count; at++) tried.push(await tryAt(lowest + at));
  const best = () => tried.reduce((least, { loss }, at) => (loss < tried[least]!.loss ? at : least), 0);
  const isAtEdge = () => best() === 0 || best() === tried.length - 1;
  for (let [low, high] = [lowest - 1, lowest + count]; isAtEdge() && tried.length < 2 * count; )
    if (best() === 0) tried.unshift(await tryAt(low--));
    else tried.push(await tryAt(high++));
  return { rate: tried[best()]!.rate, tried, atEdge: isAtEdge() };
}

/** Student's interval; of trainings of which one diverged there is none. */
function intervalOf(losses: readonly number[]): MeanInterval {
  if (losses.every(Number.isFinite)) return meanInterval(losses);
  return { mean: Number.POSITIVE_INFINITY, count: losses.length };
}

/** The one choice that a configuration makes. */
function chosen(choice: object): [name: string, settings: Settings] {
  return Object.entries(choice).find(([, settings]) => settings !== undefined) as [string, Settings];
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Keys of schedules whose numbers are rates, or that hold schedules. */
const rateKeys = ["peak", "floor", "value", "values", "from", "amount", "min", "max", "of", "parts"];

/** A schedule's configuration with other rates in it. */
function mapRates(part: unknown, change: (rate: number) => number, isRate = true): unknown {
  if (typeof part === "number") return isRate ? change(part) : part;
  if (Array.isArray(part)) return part.map((one) => mapRates(one, change, isRate));
  if (typeof part !== "object" || part === null) return part;
  const entries = Object.entries(part).map(([key, value]) => [key, mapRates(value, change, rateKeys.includes(key))]);
  return Object.fromEntries(entries);
}
