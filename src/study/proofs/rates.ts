// Learning rates over a run: what was fed at each step against closed forms, and what it leads to against figures of another program.
import { train } from "../../api/index.ts";
import { toNumbers } from "../../base/index.ts";
import { dense, meanSquaredError, sequential } from "../../nn/index.ts";
import { type EvaluatedLoss, parseSchedule, type ScheduleInput, sgd, validateSchedule } from "../../optim/index.ts";
import type { RecipeInput } from "../../recipe/index.ts";
import { type FitOptions, fit } from "../../train/index.ts";
import {
  equal,
  type Figure,
  holds,
  largestDifference,
  type Proof,
  type ProofContext,
  refused,
  within,
} from "../proof.ts";

interface Descent {
  /** What each step was made with. */
  readonly rates: readonly number[];
  readonly weight: number;
  readonly bias: number;
}

/** 1000 steps of gradient descent on four rows of y = 2x, in f64, from one start. */
async function descend(lr: ScheduleInput): Promise<Descent> {
  const data = { x: [[1], [2], [3], [4]], y: [[2], [4], [6], [8]] };
  const parameters = { "layers.0.weight": [[1.764052345967664]], "layers.0.bias": [0.400157208367223] };
  const options: FitOptions = {
    loss: meanSquaredError,
    optimizer: sgd({ lr }),
    epochs: 1000,
    precision: "f64",
    parameters,
  };
  const fitting = fit(sequential([dense(1)]), data, options);
  const rates: number[] = [];
  for await (const { learningRate } of fitting) rates.push(learningRate);
  const { parameters: found } = await fitting;
  const value = (name: string) => toNumbers(found.get(name)!)[0]!;
  return { rates, weight: value("layers.0.weight"), bias: value("layers.0.bias") };
}

/** The rates of all steps against a closed form, bit by bit, and the first step that has another rate than step 0. */
function table(rates: readonly number[], closed: (step: number) => number, firstChange: number): Figure[] {
  const expected = rates.map((_, step) => closed(step));
  return [
    equal("steps", rates.length, 1000),
    equal("largest difference from the closed form", largestDifference(rates, expected), 0),
    equal(
      "first step with another rate",
      rates.findIndex((rate) => rate !== rates[0]),
      firstChange,
    ),
  ];
}

// The weights: the recurrence θ ← θ − η(t)·(2/n)·Xᵀ(ŷ − y) run out in f64 with NumPy.

async function fixed(): Promise<Figure[]> {
  const { rates, weight, bias } = await descend(0.01);
  return [
    ...table(rates, () => 0.01, -1),
    within("weight", weight, 1.9926967095706, 1e-11),
    within("bias", bias, 0.0214725644745, 1e-11),
  ];
}

async function exponential(): Promise<Figure[]> {
  const { rates } = await descend({ exponential: { peak: 0.1, factor: 0.9, every: 100 } });
  return [
    ...table(rates, (step) => 0.1 * 0.9 ** (step / 100), 1),
    within("rate at step 100 ÷ rate at step 0", rates[100]! / rates[0]!, 0.9, 1e-15),
  ];
}

async function step(): Promise<Figure[]> {
  const { rates, weight } = await descend({ step: { peak: 0.1, factor: 0.9, every: 100 } });
  return [
    ...table(rates, (at) => 0.1 * 0.9 ** Math.floor(at / 100), 100),
    // a decay that changes after the first step ends at 1.9999999971072
    within("weight", weight, 1.9999999995967, 1e-11),
  ];
}

async function staircase(): Promise<Figure[]> {
  const { rates, weight, bias } = await descend({
    exponential: { peak: 0.1, factor: 0.5, every: 100, staircase: true },
  });
  return [
    ...table(rates, (at) => 0.1 * 0.5 ** Math.floor(at / 100), 100),
    within("weight", weight, 1.9996521695259, 1e-11),
    within("bias", bias, 0.0010226640105, 1e-11),
  ];
}

async function subtract(): Promise<Figure[]> {
  const sinking = { peak: 0.1, amount: 0.03, every: 100 };
  const { rates } = await descend({ subtract: { ...sinking, floor: 0.01 } });
  const check = (amount: number) => () => validateSchedule(parseSchedule({ subtract: { ...sinking, amount } }), 1000);
  return [
    ...table(rates, (at) => Math.max(0.01, 0.1 - 0.03 * Math.floor(at / 100)), 100),
    within("rate at step 300", rates[300]!, 0.01, 1e-15),
    holds(
      "every rate is above 0",
      rates.every((rate) => rate > 0),
    ),
    refused("the same without a floor", "optim/learning-rate", check(0.03)),
    refused("0.1 − 0.1 per 100, which reaches 0", "optim/learning-rate", check(0.1)),
  ];
}

/** A run on a table and the rates of its steps; `stopAt` ends it after some steps, and a second run goes on. */
async function ratesOf(recipe: RecipeInput & { steps: number }, context: ProofContext, name: string, stopAt?: number) {
  const rates: number[] = [];
  const losses: (EvaluatedLoss & { readonly loss: number })[] = [];
  const run = async (steps: number, resume: boolean) => {
    const { signal } = context;
    const options = { runDir: `${context.folder}/${name}`, resume, ...(signal && { signal }) };
    const training = train({ ...recipe, steps }, options);
    for await (const event of training) {
      if (event.type === "step") rates.push(event.lr);
      if (event.type === "eval") losses.push({ step: event.step, loss: event.loss });
    }
    return (await training.outcome).hash;
  };
  if (stopAt !== undefined) await run(stopAt, false);
  return { hash: await run(recipe.steps, stopAt !== undefined), rates, losses };
}

/** y = x and noise that nothing predicts: the loss falls to the noise and is flat from there on. */
const noisy: RecipeInput = {
  data: { rows: Array.from({ length: 40 }, (_, x) => ({ x, y: x + 20 * Math.sin(x * x) })), target: "y" },
  model: { mlp: { hidden: [] } },
  batch: { size: 8 },
};

async function upAndDown(context: ProofContext): Promise<Figure[]> {
  const lr = { piecewise: { values: [0.01, 0.1, 0.001], boundaries: [100, 500] } };
  const recipe = { ...noisy, optimizer: { sgd: { lr } }, steps: 600, eval: { every: 0 } };
  const whole = await ratesOf(recipe, context, "whole");
  const resumed = await ratesOf(recipe, context, "resumed", 300);
  const closed = Array.from({ length: 600 }, (_, at) => (at < 100 ? 0.01 : at < 500 ? 0.1 : 0.001));
  return [
    equal(
      "largest difference from 0.01, 0.1 from 100 on, 0.001 from 500 on",
      largestDifference(whole.rates, closed),
      0,
    ),
    equal("of a run that was stopped at 300 and resumed", largestDifference(resumed.rates, closed), 0),
    equal("its final state", resumed.hash, whole.hash),
  ];
}

async function plateau(context: ProofContext): Promise<Figure[]> {
  const settings = { peak: 0.05, factor: 0.5, patience: 3, cooldown: 4, threshold: 0.01 };
  const schedule = parseSchedule({ plateau: settings });
  const clock = { step: 0, samples: 0, tokens: 0, epoch: 0 };
  // a loss that falls twice and is flat from the third evaluation on
  const flat = [3, 2, ...Array<number>(9).fill(2)].map((loss, at) => ({ step: at, loss }));
  const course = flat.map((_, count) => schedule.at(clock, flat.slice(0, count + 1)));
  // halved with the third flat one; the four after it cool down; three more and it is halved again
  const expected = [...Array<number>(4).fill(0.05), ...Array<number>(7).fill(0.025)];
  const again = schedule.at(clock, [...flat, { step: 11, loss: 2 }]);

  const recipe = { ...noisy, optimizer: { sgd: { lr: { plateau: settings } } }, steps: 120, eval: { every: 4 } };
  const whole = await ratesOf(recipe, context, "whole");
  const resumed = await ratesOf(recipe, context, "resumed", 61);
  return [
    equal("largest difference of a planted course", largestDifference(course, expected), 0),
    equal("rate after seven more flat evaluations", again, 0.0125),
    holds("a run's rate falls more than once", new Set(whole.rates).size > 2, "3 rates or more"),
    equal("rates of a run that was stopped at 61 of 120", largestDifference(resumed.rates, whole.rates), 0),
    equal("its final state", resumed.hash, whole.hash),
  ];
}

export const rateProofs: readonly Proof[] = [
  { id: "lr.fixed", doc: "a fixed rate is the same at every step, and leads where it should", run: fixed },
  { id: "lr.exp", doc: "an exponential rate is peak · factor^(t / every) at every step", run: exponential },
  { id: "lr.step", doc: "step decay changes at every, 2·every, …, not after the first step", run: step },
  { id: "lr.staircase", doc: "an exponential rate as a staircase is peak · factor^⌊t / every⌋", run: staircase },
  {
    id: "lr.updown",
    doc: "a rate in pieces goes up and down at its boundaries, also in a resumed run",
    run: upAndDown,
  },
  {
    id: "lr.subtract",
    doc: "a rate that is lowered by an amount stops at its floor; without one it is refused",
    run: subtract,
  },
  { id: "lr.dynamic", doc: "a plateau halves the rate once per patience, rests, and survives a resume", run: plateau },
];
