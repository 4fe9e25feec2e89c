// The programs of a step, loaded once, and what they are run with. All share one store.
import { type Clock, fail, fromNumbers, type HostArray } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import type { Engine, Feeds, Program, ProgramCall, Store } from "../engine/index.ts";
import { initialTensors } from "../nn/index.ts";
import type { NormPair } from "../optim/index.ts";
import { sumsOf } from "./lanes.ts";
import { feedsOf, rowsOf } from "./step-feeds.ts";
import {
  gradName,
  type MicrobatchForm,
  perturbed,
  type StepDescription,
  StepGraphs,
  type StepPlans,
} from "./step-graphs.ts";
/** What a step's loss (of the model's own targets) and gradient norm may be at most. */
export interface StepLimits {
  readonly loss: number;
  readonly gradNorm: number;
}

/** What one step needs beside the data. */
export interface StepInputs {
  readonly step: number;
  /** Steps before this one whose update was left out: what corrects for few updates counts without them. Default 0. */
  readonly skipped?: number;
  readonly learningRate: number;
  /** How far the run has come; needed where a setting is a course. */
  readonly clock?: Clock | undefined;
  /** Feeds of the whole batch, first dimension = rows. */
  readonly batch: Feeds;
  /** Global sample id of each row. */
  readonly sampleIds: Int32Array;
  /** For a description that is `limited`. Default: none. */
  readonly limits?: StepLimits | undefined;
}

export interface StepResult {
  /** False when the gradients were not finite, or above the limits: nothing was written. */
  readonly committed: boolean;
  readonly loss: number;
  readonly gradNorm: number;
  readonly count: number;
  /** Squared norms of the step's mean gradient and, on average, of its microbatches', where that is measured. */
  readonly noise?: NormPair;
}
/** The programs of a step on an engine, with their store. */
export class StepPrograms {
  readonly graphs: StepGraphs;
  readonly engine: Engine;
  readonly store: Store;
  /** By the form of a microbatch and the sum that each makes, as JSON. */
  private readonly accumulatePrograms: ReadonlyMap<string, Program>;
  private readonly updateProgram: Program;
  private readonly evaluateProgram: Program;
  private readonly checkSlotsProgram: Program | undefined;
  private readonly perturbProgram: Program | undefined;
  private gradientProgram: Program | undefined;
  /** Writes to the store when the slots were looked at last. */
  private checkedWrites = -1;

  /** `compiled` saves tracing and compiling again where that was done for a forecast. */
  constructor(
    description: StepDescription,
    engine: Engine,
    compiled?: { readonly graphs: StepGraphs; readonly plans: StepPlans },
  ) {
    this.engine = engine;
    this.graphs = compiled?.graphs ?? new StepGraphs(description);
    const plans = compiled?.plans ?? this.graphs.compile(engine);
    this.store = engine.createStore();
    this.store.declare([...this.graphs.parameterTypes, ...this.graphs.slotTypes]);
    this.accumulatePrograms = new Map(
      plans.accumulate.map((plan, at) => {
        const { sums, forms } = this.graphs;
        const key = JSON.stringify([forms[Math.floor(at / sums.length)], sums[at % sums.length]]);
        return [key, engine.load(plan, this.store)];
      }),
    );
    this.updateProgram = engine.load(plans.update, this.store);
    this.evaluateProgram = engine.load(plans.evaluate, this.store);
    this.perturbProgram = plans.perturb && engine.load(plans.perturb, this.store);
    this.checkSlotsProgram = plans.checkSlots && engine.load(plans.checkSlots, this.store);
  }

  /** Writes the initial value of every parameter. Slots are zero from their declaration on. */
  initialize(): void {
    const { model, seed } = this.graphs.description;
    for (const [name, value] of initialTensors(model, (name) => this.store.typeOf(name).dtype, seed))
      this.store.write(name, value);
  }

  /** Names of what a checkpoint holds: parameters and slots. */
  stateNames(): string[] {
    return [...this.graphs.parameterTypes, ...this.graphs.slotTypes].map(({ name }) => name);
  }

  /** One optimizer update: every lane, then the update, as one job of the engine. */
  async step(inputs: StepInputs): Promise<StepResult> {
    const { writes } = this.store;
    const program = writes === this.checkedWrites ? undefined : this.checkSlotsProgram;
    const check = program === undefined ? [] : [{ program, feeds: {} }];
    const sums = this.accumulateCalls(inputs);
    const ascents = this.perturbProgram === undefined ? [] : [{ program: this.perturbProgram, feeds: {} }];
    const again = ascents.length === 0 ? [] : this.accumulateCalls(inputs, { perturbed: 1 });
    const results = await this.engine.run([...sums, ...ascents, ...again, ...check, this.updateCall(inputs)]);
    this.checkedWrites = writes;
    const { committed, outputs } = results.at(-1)!;
    const value = (name: string) => Number(outputs[name]!.data[0]);
    const loss = ascents.length === 0 ? value("loss") : Number(results[sums.length]!.outputs.loss!.data[0]);
    const result = { committed, loss, gradNorm: value("gradNorm"), count: value("count") };
    if (!this.graphs.description.measureNoise) return result;
    const all = results.slice(0, sums.length).map(({ outputs }) => Number(outputs.gradSquares!.data[0]));
    const squares = all.filter((one) => !Number.isNaN(one)); // 0/0: of a microbatch that is masked whole
    const small = squares.reduce((sum, one) => sum + one, 0) / squares.length;
    return { ...result, noise: { large: result.gradNorm ** 2, small } };
  }

  /** Mean loss and mean gradients of a batch at the parameters; nothing is updated. */
  async gradient(
    inputs: Omit<StepInputs, "learningRate">,
  ): Promise<{ readonly loss: number; readonly gradients: ReadonlyMap<string, HostArray> }> {
    const { graphs, engine } = this;
    const plan = () => compile(graphs.gradient(), engine.target, graphs.compileOptions("update"));
    const program = this.gradientProgram ?? engine.load(plan(), this.store);
    this.gradientProgram = program;
    const calls = [...this.accumulateCalls({ ...inputs, learningRate: 0 }), { program, feeds: {} }];
    const { outputs } = (await engine.run(calls)).at(-1)!;
    const gradients = graphs.trainedTypes.map(({ name }) => [name, outputs[gradName(0, name)]!] as const);
    return { loss: Number(outputs.loss!.data[0]), gradients: new Map(gradients) };
  }

  /**
   * The calls that sum a batch's gradients, lane by lane; with `only`, the same feeds for another program. `perturbed: 1` takes them a step
   * up the gradient.
   */
  accumulateCalls(
    { step, batch, sampleIds, clock }: StepInputs,
    { only, perturbed: away = 0 }: { readonly only?: Program; readonly perturbed?: 0 | 1 } = {},
  ): ProgramCall[] {
    const { description } = this.graphs;
    const { lanes } = description;
    const form = this.formOf({ batch, sampleIds, clock });
    const { rows, pieces } = form;
    const key = this.randomKey(step);
    const isAway = fromNumbers(description.dtype, [], [away]);
    return sumsOf(lanes, sampleIds.length / lanes / rows).map((sum, at) => {
      const own = sampleIds.subarray(at * rows, (at + 1) * rows);
      const ids: HostArray = { dtype: "i32", shape: [rows * pieces], data: idsOfPieces(own, pieces) };
      const feeds: Record<string, HostArray> = { "random.key": key, "random.rows": ids, [perturbed]: isAway };
      for (const [name, array] of Object.entries(batch)) feeds[name] = rowsOf(array, at * rows, rows);
      const program = only ?? this.accumulatePrograms.get(JSON.stringify([form, sum]))!;
      return { program, feeds: feedsOf(program, feeds, clock) };
    });
  }

  /**
   * What the microbatches of a step are. Errors with `run/batch` for a batch of no shape that there are programs for, and with `run/clock`
   * where rows are cut by how far the run has come and no clock is given.
   */
  formOf({ batch, sampleIds: { length }, clock }: Pick<StepInputs, "batch" | "sampleIds" | "clock">): MicrobatchForm {
    const { description, forms } = this.graphs;
    const { batchSize, shapes, batchSizes = [batchSize], task } = description;
    if (shapes !== undefined) {
      const at = shapes.findIndex(({ rows, lengths }) => rows === length && hasLengths(batch, lengths));
      return (
        forms[at] ??
        refuseBatch(
          shapes.map(({ rows, lengths }) => `${rows} rows of ${JSON.stringify(lengths)}`),
          length,
        )
      );
    }
    if (!batchSizes.includes(length)) refuseBatch(batchSizes, length);
    const { pieces } = task;
    if (pieces === undefined) return forms[0]!;
    const count = pieces.at(
      clock ?? fail("run/clock", "rows are cut by how far the run has come, and the step does not say it"),
    );
    return forms.find((form) => form.pieces === count)!;
  }

  private updateCall({ step, skipped = 0, learningRate, clock, limits }: StepInputs): ProgramCall {
    const { optimizer, dtype } = this.graphs.description;
    const { loss = Number.POSITIVE_INFINITY, gradNorm = Number.POSITIVE_INFINITY } = limits ?? {};
    const scalars = {
      ...optimizer.scalarsAt(step - skipped, learningRate, clock),
      "limit.loss": loss,
      "limit.gradNorm": gradNorm,
    };
    const feeds = Object.fromEntries(
      Object.entries(scalars).map(([name, value]) => [name, fromNumbers(dtype, [], [value])]),
    );
    feeds["random.key"] = this.randomKey(step);
    return { program: this.updateProgram, feeds: feedsOf(this.updateProgram, feeds, clock) };
  }

  /** The key of a step's random numbers, i32 [3]. */
  private randomKey(step: number): HostArray {
    const { seed } = this.graphs.description;
    return fromNumbers("i32", [3], [seed | 0, Math.floor(seed / 2 ** 32) | 0, step | 0]);
  }

  /** Sums over one evaluation batch: `sum`, `count` and the task's extra sums. */
  async evaluate(batch: Feeds): Promise<{ [name: string]: number }> {
    const [result] = await this.engine.run([
      { program: this.evaluateProgram, feeds: feedsOf(this.evaluateProgram, batch) },
    ]);
    return Object.fromEntries(Object.entries(result!.outputs).map(([name, array]) => [name, Number(array.data[0])]));
  }
}

const hasLengths = (batch: Feeds, lengths: MicrobatchForm["lengths"]): boolean =>
  Object.entries(lengths).every(([feed, length]) => batch[feed]?.shape[1] === length);

function refuseBatch(expected: readonly (string | number)[], rows: number): never {
  return fail("run/batch", "the batch has another number of rows, or of tokens in them", {
    expected: expected.join(" or "),
    got: `${rows} rows`,
    fix: "give the step a batch of its source",
  });
}

/** An id for each piece of each row, by which its random numbers are drawn. */
function idsOfPieces(ids: Int32Array, pieces: number): Int32Array {
  if (pieces === 1) return ids;
  return Int32Array.from(
    { length: ids.length * pieces },
    (_, at) => Math.imul(ids[Math.floor(at / pieces)]!, pieces) + (at % pieces),
  );
}
