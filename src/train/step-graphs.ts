// The graphs of a step, traced, and their plans: `accumulate` per kind of sum, `update`, `evaluate`. Nothing is loaded here.
import { type FloatDType, fail, isFloat } from "../base/index.ts";
import { type CompileOptions, compile, type Plan, type PlanType, type Recompute } from "../compiler/index.ts";
import {
  assign,
  constant,
  feed,
  type Graph,
  gradients,
  iota,
  markOutput,
  type RandomInputs,
  roundStochastic,
  sumSquares,
  type Tensor,
  trace,
  variable,
  where,
} from "../core/index.ts";
import type { BatchShape } from "../data/index.ts";
import type { Engine } from "../engine/index.ts";
import { functionalCall, type Module, storedParameters, withAddedLosses } from "../nn/index.ts";
import { ascent, mapTensors, type Optimizer, type Sharpness } from "../optim/index.ts";
import { type RecomputeMode, type RecomputeOption, StepLadder } from "./fit-memory.ts";
import { forecast, requireMemory } from "./forecast.ts";
import { kindsOfSum, levelsHeld, type MicrobatchSum, microbatchesPerLane, placeOfLevel, rowsPerLane } from "./lanes.ts";
import type { LossSums, Task } from "./task.ts";

export interface StepDescription {
  readonly model: Module;
  readonly task: Task;
  readonly optimizer: Optimizer;
  /** Rows of one step; of the first, where `batchSizes` are given. */
  readonly batchSize: number;
  readonly lanes: number;
  /** Rows that one `accumulate` sees. Left out, those of a lane. */
  readonly microbatch?: number | undefined;
  /** Every number of rows that a step may have. Left out, `batchSize` alone. */
  readonly batchSizes?: readonly number[] | undefined;
  /** Shapes that a batch may have, in place of `batchSizes` and `microbatch`; the longest first. A lane of one is a microbatch. */
  readonly shapes?: readonly BatchShape[] | undefined;
  /** Each step measures what its gradient differs by from one microbatch to the next. */
  readonly measureNoise?: boolean | undefined;
  /** Rows of one evaluation batch. */
  readonly evalBatchSize: number;
  readonly dtype: FloatDType;
  /** Matrices are kept in bf16 and rounded by chance at each update, instead of `dtype`. Slots and sums stay `dtype`. */
  readonly weights?: "bf16" | undefined;
  /** Mixed precision: what matmuls and attention read and hand on is stored in bf16. Parameters and slots stay `dtype`. */
  readonly storage?: "bf16" | undefined;
  readonly seed: number;
  /** Budget of the planned peak. Left out, memory is not spared. */
  readonly memoryBytes?: number | undefined;
  /** What is computed again in the backward pass: what the budget asks for (default), nothing, all that helps. */
  readonly recompute?: RecomputeMode | undefined;
  /** An update whose loss or gradient norm is above a step's limits writes nothing either. Default false. */
  readonly limited?: boolean | undefined;
}
/** What one `accumulate` sees: so many rows, each cut into pieces, or padded to other lengths than the task's, by feed. */
export interface MicrobatchForm {
  readonly rows: number;
  readonly pieces: number;
  readonly lengths: { readonly [feed: string]: number };
}

export type StepProgram = "accumulate" | "update" | "evaluate";

/** Plans of a step, compiled but not loaded: what `athanor plan` and `inspect` look at. */
export interface StepPlans {
  /** For each form of a microbatch those of all sums. */
  readonly accumulate: readonly Plan[];
  readonly update: Plan;
  readonly evaluate: Plan;
  /** The step up the gradient, after which all microbatches come again; of optimizers that are sharpness-aware. */
  readonly perturb?: Plan | undefined;
  /** Looks at the slots after they were written from outside; left out where every update looks at them. */
  readonly checkSlots?: Plan | undefined;
  /** What the backward pass computes again. */
  readonly recompute?: Recompute | undefined;
  /** What each choice would cost, where that was asked for. */
  readonly choices?: readonly RecomputeOption[];
}

export const gradName = (place: number, name: string): string => `grad.${place}.${name}`;
const sumName = (place: number): string => `loss.sum.${place}`;
const countName = (place: number): string => `loss.count.${place}`;
/** Where gradients are taken, as a difference from a parameter; and whether they are, or where the parameter is. */
const perturbationName = (name: string): string => `perturbation.${name}`;
export const perturbed = "perturbed";
/** A scalar that is finite only where the slots are. */
const slotsCheck = "slots.check";

/** The step's graphs, before any compilation. */
export class StepGraphs {
  readonly description: StepDescription;
  readonly parameterTypes: readonly PlanType[];
  /** All that are not constant, whatever the optimizer freezes. */
  private readonly trainableTypes: readonly PlanType[];
  /** Those of the parameters that the optimizer trains. */
  readonly trainedTypes: readonly PlanType[];
  readonly slotTypes: readonly PlanType[];
  /** Rows that one `accumulate` sees. */
  readonly microbatch: number;
  /** What each of the `accumulate` programs does with its sum; the last adds most. */
  readonly sums: readonly MicrobatchSum[];
  /** What a microbatch may be, the longest rows first; for each there are programs of all sums. */
  readonly forms: readonly MicrobatchForm[];

  constructor(description: StepDescription) {
    this.description = description;
    const { model, dtype, weights } = description;
    const parameters = model.parameters();
    const computed = [...parameters].map(([name, { dtype: own = dtype, shape }]) => ({ name, dtype: own, shape }));
    const trainable = <T extends { readonly name: string }>(types: readonly T[]): T[] =>
      types.filter(({ name }) => !parameters.get(name)!.isConstant);
    // vectors are a few thousandths of a model, and norms' are added to a stream of f32
    this.parameterTypes = computed.map((type) =>
      weights !== undefined && type.dtype === "f32" && type.shape.length > 1 ? { ...type, dtype: weights } : type,
    );
    if (this.parameterTypes.length === 0)
      fail("train/no-parameters", "the model has no parameters", { where: model.constructor.name });
    this.trainableTypes = trainable(this.parameterTypes);
    this.trainedTypes = description.optimizer.trained(this.trainableTypes);
    this.slotTypes = description.optimizer.slotTypes(trainable(computed));
    const { batchSize, batchSizes = [batchSize], lanes, shapes } = description;
    this.microbatch = description.microbatch ?? rowsPerLane(batchSize, lanes);
    const pieces = [...new Set(description.task.pieces?.counts ?? [1])].sort((a, b) => a - b);
    this.forms =
      shapes?.map(({ rows, lengths }) => ({ rows: rowsPerLane(rows, lanes), pieces: 1, lengths })) ??
      pieces.map((count) => ({ rows: this.microbatch, pieces: count, lengths: {} }));
    this.sums = kindsOfSum(
      lanes,
      shapes?.map(() => 1) ?? batchSizes.map((size) => microbatchesPerLane(size, lanes, this.microbatch)),
    );
  }

  /** Adds a microbatch's loss and gradients to those of the places named, and stores them. */
  accumulate({ adds, to }: MicrobatchSum, form = this.forms[0]!): Graph {
    return this.traced(form, "train", (sums, parameters, dtype) => {
      const names = this.trainedTypes.map(({ name }) => name);
      const grads = gradients(
        [sums.sum],
        names.map((name) => parameters.get(name)!),
      );
      const add = (total: Tensor, nameAt: (place: number) => string) =>
        assign(
          nameAt(to),
          adds.reduce((sum, place) => variable(nameAt(place), dtype, total.shape).add(sum), total),
        );
      names.forEach((name, at) => {
        const grad = grads[at];
        if (grad === undefined) this.unreachedParameter(name);
        else add(grad, (place) => gradName(place, name));
      });
      if (this.description.measureNoise) markOutput("gradSquares", meanSquares(grads, sums.count));
      add(sums.sum, sumName);
      add(sums.count, countName);
    });
  }

  /** Gradients, losses and counts of the whole batch, traced. */
  private totals(): { gradients: Map<string, Tensor>; lossSum: Tensor; count: Tensor } {
    const { dtype } = this.description;
    const held = this.placesHeld;
    const total = (nameAt: (level: number) => string, shape: readonly number[]): Tensor =>
      held.map((level) => variable(nameAt(level), dtype, shape)).reduce((lower, higher) => higher.add(lower));
    const gradients = this.trainedTypes.map(
      ({ name, shape }) => [name, total((level) => gradName(level, name), shape)] as const,
    );
    return { gradients: new Map(gradients), lossSum: total(sumName, []), count: total(countName, []) };
  }

  /** Where the gradients that count are taken, from those summed at the parameters. */
  perturb(sharpness: Sharpness): Graph {
    return trace(
      {},
      () => {
        const { gradients, lossSum, count } = this.totals();
        const means = mapTensors(gradients, (grad) => grad.mul(count.reciprocal()));
        for (const [name, step] of ascent(sharpness, storedParameters(this.parameterTypes), means))
          assign(perturbationName(name), step);
        return { loss: lossSum.div(count) };
      },
      { floatDType: this.description.dtype, mode: "train" },
    );
  }

  /** The mean loss and mean gradients, as outputs: what an optimizer on the host reads. */
  gradient(): Graph {
    return trace(
      {},
      () => {
        const { gradients, lossSum, count } = this.totals();
        const scale = count.reciprocal();
        for (const [name, grad] of gradients) markOutput(gradName(0, name), grad.mul(scale));
        markOutput("loss", lossSum.mul(scale));
      },
      { floatDType: this.description.dtype, mode: "train" },
    );
  }

  /** The parameters that gradients are taken at, traced. */
  private trainingWeights(): Map<string, Tensor> {
    const stored = storedParameters(this.parameterTypes);
    const { optimizer, dtype } = this.description;
    if (optimizer.sharpness === undefined) return stored;
    const isAway = feed(perturbed, { dtype, shape: [] }).greater(0);
    const trained = new Set(this.trainedTypes.map(({ name }) => name));
    return mapTensors(stored, (parameter, name) =>
      trained.has(name)
        ? parameter.add(where(isAway, variable(perturbationName(name), dtype, parameter.shape), 0))
        : parameter,
    );
  }

  /** One optimizer step from the summed gradients. */
  update(): Graph {
    const { optimizer, dtype, limited = false } = this.description;
    return trace(
      {},
      () => {
        let key: Tensor | undefined;
        const randomKey = () => (key ??= feed("random.key", { dtype: "i32", shape: [3] }));
        const parameters = storedParameters(this.trainableTypes);
        const { gradients: summed, lossSum, count } = this.totals();
        const { values, slots, check, gradNorm } = optimizer.update({
          parameters,
          gradients: summed,
          gradientScale: count.reciprocal(),
          scalar: (name) => feed(name, { dtype, shape: [] }),
          slot: (name) => this.slot(name),
          key: randomKey,
        });
        const loss = lossSum.div(count);
        const { graph } = loss;
        // where the update tells of what it writes, the slots need not be read for it
        const slotSum = check === undefined ? this.slotSum() : variable(slotsCheck, dtype, []);
        const finite = gradNorm.isFinite().and(loss.isFinite()).and(slotSum.isFinite());
        const below = (x: Tensor, name: string) => x.lessEqual(feed(name, { dtype, shape: [] }));
        // a sharpness-aware step's loss is that of other weights, and higher
        const lossWithin = () => (optimizer.sharpness === undefined ? below(loss, "limit.loss") : finite);
        const isWithin = () => lossWithin().and(below(gradNorm, "limit.gradNorm"));
        graph.guard = (limited ? finite.and(isWithin()) : finite).id;
        for (const [name, value] of [...this.stored(values, randomKey), ...slots]) assign(name, value);
        if (check !== undefined) assign(slotsCheck, check);
        return { loss, gradNorm, count };
      },
      { floatDType: dtype, mode: "train" },
    );
  }

  /** Parameters' new values as the store keeps them. */
  private stored(values: ReadonlyMap<string, Tensor>, randomKey: () => Tensor): ReadonlyMap<string, Tensor> {
    if (this.description.weights === undefined) return values;
    const key = randomKey();
    const narrow = new Set(this.parameterTypes.filter(({ dtype }) => dtype === "bf16").map(({ name }) => name));
    return mapTensors(values, (value, name) =>
      narrow.has(name) ? roundStochastic(value, key, iota([value.shape[0]!], 0), `weights.${name}`) : value,
    );
  }

  private slot(name: string): Tensor {
    const type = this.slotTypes.find((slot) => slot.name === name)!;
    return variable(name, type.dtype, type.shape);
  }

  /** A slot that something spoiled (a bad checkpoint) is found before it reaches a parameter: the sum is not finite then. */
  private slotSum(): Tensor {
    const floating = this.slotTypes.filter(({ dtype }) => isFloat(dtype)); // codes are finite where their scales are
    const sums = floating.map(({ name, dtype, shape }) => variable(name, dtype, shape).sum());
    return sums.length === 0 ? constant(0) : sums.reduce((total, sum) => total.add(sum));
  }

  /** Looks at all slots, for an update that does not. */
  checkSlots(): Graph {
    return trace({}, () => void assign(slotsCheck, this.slotSum()), { floatDType: this.description.dtype });
  }

  /** Loss sums of one evaluation batch; nothing is written. */
  evaluate(): Graph {
    return this.traced({ rows: this.description.evalBatchSize, pieces: 1, lengths: {} }, "eval", (sums) => {
      markOutput("sum", sums.sum);
      markOutput("count", sums.count);
      for (const [name, tensor] of Object.entries(sums.extra ?? {})) markOutput(name, tensor);
    });
  }

  /** Traces the loss over a microbatch and lets `finish` add gradients, assignments or outputs. */
  traced(
    { rows, pieces, lengths }: MicrobatchForm,
    mode: "train" | "eval",
    finish: (sums: LossSums, parameters: Map<string, Tensor>, dtype: FloatDType) => void,
  ): Graph {
    const { task, model, dtype } = this.description;
    const random = {
      "random.key": { dtype: "i32", shape: [3] },
      "random.rows": { dtype: "i32", shape: [rows * pieces] },
    } as const;
    const feeds = Object.fromEntries(
      Object.entries(task.feeds(rows)).map(([name, { dtype, shape }]) => {
        const length = lengths[name];
        return [name, { dtype, shape: length === undefined ? shape : [rows, length] }] as const;
      }),
    );
    const cut = (inputs: { [name: string]: Tensor }) =>
      Object.fromEntries(
        Object.keys(feeds).map((name) => [
          name,
          inputs[name]!.reshape(rows * pieces, inputs[name]!.shape[1]! / pieces),
        ]),
      );
    return trace(
      { ...feeds, ...(mode === "train" ? random : {}) },
      (inputs: { [name: string]: Tensor }) => {
        const parameters = mode === "train" ? this.trainingWeights() : this.evaluatedWeights();
        const lossSums = () =>
          functionalCall(model, parameters, () => task.loss(model, pieces === 1 ? inputs : cut(inputs)));
        finish(mode === "train" ? withOwnLosses(lossSums) : lossSums(), parameters, dtype);
        return undefined;
      },
      {
        mode,
        floatDType: dtype,
        ...(mode === "train"
          ? { random: (inputs): RandomInputs => ({ key: inputs["random.key"]!, rows: inputs["random.rows"]! }) }
          : {}),
      },
    );
  }

  /** The weights to evaluate with, traced: averages where the optimizer keeps some, else the parameters. */
  evaluatedWeights(): Map<string, Tensor> {
    const trainable = storedParameters(this.trainableTypes);
    const constant = this.parameterTypes.filter((type) => !this.trainableTypes.includes(type));
    const evaluated = this.description.optimizer.evaluated(trainable, (name) => this.slot(name));
    return new Map([...evaluated, ...storedParameters(constant)]);
  }

  /** Makes every gradient an output, for diagnosis. */
  markGradients(sums: LossSums, parameters: Map<string, Tensor>): void {
    gradients([sums.sum], [...parameters.values()]).forEach((grad, at) => {
      if (grad !== undefined) markOutput(`grad:${at}`, grad.sum());
    });
  }

  private unreachedParameter(name: string): never {
    return fail("train/unreached-parameter", `parameter ${name} has no influence on the loss`, {
      where: this.description.model.constructor.name,
      expected: "every parameter takes part in the loss",
      got: `no path from ${name} to it`,
      fix: "use it in forward, remove it, or freeze it by a parameter selector",
    });
  }

  /** Where the partial sums lie once all lanes are added. */
  private get placesHeld(): number[] {
    const { lanes } = this.description;
    return levelsHeld(lanes).map((level) => placeOfLevel(level, lanes));
  }

  /** Variables whose sum is a parameter's gradient, after a step. */
  gradientNames(parameter: string): string[] {
    return this.placesHeld.map((place) => gradName(place, parameter));
  }

  /** How a program is compiled: `update` works on parameters and slots, which mixed precision leaves as they are. */
  compileOptions(program: StepProgram, recompute?: Recompute): CompileOptions {
    const { storage } = this.description;
    return program === "update" ? {} : { storage, recompute: program === "accumulate" ? recompute : undefined };
  }

  /**
   * The plans of a step, within the description's budget; with `weigh`, also what each way of keeping one would cost. Errors with
   * `plan/memory` where nothing brings the run into its budget.
   */
  compile(engine: Engine, { weigh = false } = {}): StepPlans {
    const { memoryBytes, recompute: mode = "auto" } = this.description;
    const { sharpness } = this.description.optimizer;
    const made = (program: StepProgram, graph: Graph, recompute?: Recompute) =>
      compile(graph, engine.target, this.compileOptions(program, recompute));
    const update = made("update", this.update());
    const others = {
      update,
      evaluate: made("evaluate", this.evaluate()),
      perturb: sharpness && made("update", this.perturb(sharpness)),
      checkSlots: update.variables.some(({ name }) => name === slotsCheck)
        ? made("update", this.checkSlots())
        : undefined,
    };
    const spares = mode === "full" || (mode === "auto" && memoryBytes !== undefined);
    const ladder = spares || weigh ? new StepLadder(this, engine, others) : undefined;
    const taken = ladder?.choose();
    const recompute = taken?.recompute;
    const accumulate = this.forms.flatMap((form) =>
      this.sums.map((sum) =>
        taken !== undefined && form === this.forms[0] && sum === this.sums.at(-1)
          ? taken.plan
          : made("accumulate", this.accumulate(sum, form), recompute),
      ),
    );
    const plans = { ...others, accumulate, recompute };
    if (memoryBytes !== undefined)
      requireMemory(forecast(this, plans, engine), { bytes: memoryBytes, by: "the recipe's memory" }, mode);
    return weigh ? { ...plans, choices: ladder!.choices(taken!) } : plans;
  }
}

/** The squared norm of the mean gradient whose sum this is. */
function meanSquares(grads: readonly (Tensor | undefined)[], count: Tensor): Tensor {
  const squares = grads.map((grad) => sumSquares(grad!)).reduce((sum, one) => sum.add(one));
  return squares.div(count.square());
}

/** Loss sums with what the model itself adds to the mean. */
function withOwnLosses(lossSums: () => LossSums): LossSums {
  const { result, added } = withAddedLosses(lossSums);
  return added === undefined ? result : { ...result, sum: result.sum.add(added.mul(result.count)) };
}
