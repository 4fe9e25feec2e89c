// Whole training steps, timed: the step of a model of a given shape on random data, its arithmetic, and where its time goes.
import { performance } from "node:perf_hooks";
import { chooseEngine } from "../api/index.ts";
import { fail, type HostArray, RandomStream, sizeOf } from "../base/index.ts";
import { constant, crossEntropy, take } from "../core/index.ts";
import { type Engine, type Feeds, Profiler } from "../engine/index.ts";
import { BertForMaskedLM, Gpt, Rnn } from "../models/index.ts";
import { call, Mlp, type Module } from "../nn/index.ts";
import { adam, adamw, type Optimizer, sgd } from "../optim/index.ts";
import {
  classificationTask,
  forecast,
  languageModelTask,
  StepGraphs,
  type StepPlans,
  StepPrograms,
  type Task,
} from "../train/index.ts";
import { profileSteps, type StepProfile } from "./profile.ts";
import { requireRoom } from "./room.ts";

const sizes = ["layers", "heads", "width", "context", "batch", "vocab"] as const;

/** What decides the shape of each model. */
export const stepSizes = {
  gpt: sizes,
  bert: sizes,
  lstm: ["layers", "width", "context", "batch", "vocab"],
  mlp: ["layers", "width", "context", "batch", "vocab"],
  logreg: ["context", "batch", "vocab"],
} as const satisfies { readonly [model: string]: readonly (typeof sizes)[number][] };

export interface StepShape {
  readonly model: keyof typeof stepSizes;
  /** Blocks or recurrent layers; hidden layers of a perceptron, of which logistic regression has none. */
  readonly layers: number;
  /** Of attention; the others have none. */
  readonly heads: number;
  /** Of a perceptron's first hidden layer; each further one is half as wide. */
  readonly width: number;
  /** Tokens of a row; numbers per row for a perceptron. */
  readonly context: number;
  readonly batch: number;
  /** Tokens known; classes of a perceptron. */
  readonly vocab: number;
}

/** The shapes that are timed against other systems. */
export const stepShapes = {
  c1: { model: "gpt", layers: 6, heads: 6, width: 384, context: 256, batch: 8, vocab: 65 },
  c2: { model: "gpt", layers: 4, heads: 4, width: 128, context: 64, batch: 12, vocab: 65 },
  c3: { model: "gpt", layers: 4, heads: 4, width: 256, context: 256, batch: 4, vocab: 50304 },
  bert: { model: "bert", layers: 12, heads: 12, width: 768, context: 128, batch: 8, vocab: 30522 },
  lstm: { model: "lstm", layers: 1, heads: 1, width: 512, context: 128, batch: 16, vocab: 65 },
  mlp: { model: "mlp", layers: 2, heads: 1, width: 512, context: 784, batch: 128, vocab: 10 },
  logreg: { model: "logreg", layers: 0, heads: 1, width: 1, context: 100, batch: 256, vocab: 2 },
} as const satisfies { readonly [name: string]: StepShape };

export interface StepBenchOptions {
  /** Default: one per processor. */
  readonly threads?: number;
  /** Default f32; bf16 is mixed precision. */
  readonly precision?: "f32" | "bf16";
}

export class StepBench {
  readonly shape: StepShape;
  readonly engine: Engine;
  readonly precision: "f32" | "bf16";
  readonly numParameters: number;
  /** Tokens, or rows of a perceptron. */
  readonly itemsPerStep: number;
  /** By the usual count: 6 per parameter in a product and item, and 12·L·d·T per token for attention. */
  readonly flopsPerStep: number;
  /** Of parameters, gradients, slots, activations and workspace; the JavaScript side apart. */
  readonly plannedBytes: number;
  private readonly plans: StepPlans;
  private readonly programs: StepPrograms;
  private readonly feeds: Feeds;
  private readonly sampleIds: Int32Array;
  private readonly profiler: Profiler;
  private steps = 0;

  /**
   * As the peers train. GPT: no biases in linear layers, exact GELU, tied head, AdamW, global norm clipped at 1. BERT: as published
   * but without dropout, guessing 15 % of the positions, AdamW, clipped. LSTM: a head of its own, Adam, clipped. The others have
   * biases, and Adam or, for logistic regression, SGD.
   * Errors with `plan/memory` before it makes any data, and `engine/missing`.
   */
  constructor(shape: StepShape, { threads, precision = "f32" }: StepBenchOptions = {}) {
    this.shape = shape;
    this.precision = precision;
    this.engine = chooseEngine({
      precision,
      engine: { name: "auto", threads: threads ?? "auto", isa: "auto" },
    }).engine;
    this.profiler = new Profiler(this.engine);
    const { model, task, feeds, optimizer } = workload(shape);
    const count = (share: (name: string) => number) =>
      [...model.parameters()].reduce((sum, [name, { shape }]) => sum + share(name) * sizeOf(shape), 0);
    this.numParameters = count(() => 1);
    this.itemsPerStep = shape.batch * task.itemsPerRow;
    // Tables of positions, types and an LSTM's tokens are only looked up; BERT's head is for the masked positions alone.
    const headShare = numMasked(shape.context) / shape.context;
    const share = (name: string) =>
      /wpe|position_|type_|^embedding/.test(name) ? 0 : /^cls|word_/.test(name) ? headShare : 1;
    const attention = (stepSizes[shape.model] as readonly string[]).includes("heads")
      ? 12 * shape.layers * shape.width * shape.context
      : 0;
    this.flopsPerStep = this.itemsPerStep * (6 * count(share) + attention);
    if (this.engine.name === "reference" && this.flopsPerStep > 1e9) {
      fail("engine/missing", "the reference engine would need minutes for each of these steps", {
        expected: "at most 1 GFLOP per step on the reference engine",
        got: `${(this.flopsPerStep / 1e9).toFixed(1)} GFLOP`,
        fix: "build the native engine: npx athanor engine build (or make the shape smaller)",
      });
    }
    const description = {
      ...{ model, task, optimizer, batchSize: shape.batch, lanes: 1, evalBatchSize: shape.batch },
      ...({ dtype: "f32", seed: 1 } as const),
      storage: precision === "bf16" ? precision : undefined,
    };
    const graphs = new StepGraphs(description);
    this.plans = graphs.compile(this.engine);
    const { memory } = forecast(graphs, this.plans, this.engine);
    requireRoom(memory.total);
    this.plannedBytes = memory.total - memory.host;
    this.feeds = feeds();
    this.sampleIds = Int32Array.from({ length: shape.batch }, (_, row) => row);
    this.programs = new StepPrograms(description, this.profiler, { graphs, plans: this.plans });
    this.programs.initialize();
  }

  /** One training step; its time in ms. */
  async step(): Promise<number> {
    const started = performance.now();
    const { feeds: batch, sampleIds } = this;
    await this.programs.step({ step: this.steps++, learningRate: 1e-3, batch, sampleIds });
    return performance.now() - started;
  }

  /** Where the time of a step goes. */
  async profile(): Promise<StepProfile> {
    const { profiler, plans, precision: dtype } = this;
    return await profileSteps({ profiler, plans, dtype, step: async () => ({ ms: await this.step(), dataMs: 0 }) }, {});
  }
}

/** Positions of a row that BERT guesses: 15 %. */
const numMasked = (context: number) => Math.max(1, Math.round(0.15 * context));

/** The model, what it learns, and random data to feed it, which is made when it is asked for. */
function workload(shape: StepShape): { model: Module; task: Task; feeds: () => Feeds; optimizer: Optimizer } {
  const { layers, heads, width, context, batch, vocab } = shape;
  const stream = new RandomStream(1, "bench");
  const whole = (shape: readonly number[], valueAt = (at: number) => stream.below(vocab, at)): HostArray => ({
    ...({ dtype: "i32", shape } as const),
    data: Int32Array.from({ length: sizeOf(shape) }, (_, at) => valueAt(at)),
  });
  if (shape.model === "mlp" || shape.model === "logreg") {
    const hidden = Array.from({ length: layers }, (_, at) => Math.ceil(width / 2 ** at));
    const normal = () => Float32Array.from({ length: batch * context }, (_, at) => stream.normal(at, 1));
    return {
      model: new Mlp([context, ...hidden, vocab], { activation: "relu" }),
      task: classificationTask({ features: { dtype: "f32", shape: [context] } }),
      feeds: () => ({ features: { dtype: "f32", shape: [batch, context], data: normal() }, targets: whole([batch]) }),
      optimizer: shape.model === "mlp" ? adam({ lr: 1e-3 }) : sgd({ lr: 0.1 }),
    };
  }
  const tokens = () => whole([batch, context]);
  const [task, optimizer] = [languageModelTask(context), adamw({ lr: 1e-3, clip: 1 })];
  const sizes = { vocab, context, width, layers, heads, dropout: 0 };
  if (shape.model === "bert") {
    const masked = numMasked(context);
    const guesses = { dtype: "i32", shape: [batch, masked] } as const;
    const longest = Math.max(context, 512);
    const model = new BertForMaskedLM({ ...sizes, context: longest, hidden: 4 * width, tokenTypes: 2, eps: 1e-12 });
    const loss: Task["loss"] = (_, { tokens, places, targets }) => {
      const encoded = take(call(model.bert, tokens!).reshape(-1, width), places!.reshape(-1)); // (batch · masked, C)
      const losses = crossEntropy(model.predict(encoded), targets!.reshape(-1));
      return { sum: losses.sum(), count: constant(batch * masked, losses.dtype) };
    };
    const types: Task["feeds"] = (rows) => ({
      tokens: task.feeds(rows).tokens!,
      ...{ places: guesses, targets: guesses },
    });
    // Which positions are masked makes no difference here: they are spread evenly over the rows, and counted through.
    const places = () => whole(guesses.shape, (at) => Math.floor((at * context) / masked));
    const feeds = () => ({ tokens: tokens(), places: places(), targets: whole(guesses.shape) });
    return { model, task: { ...task, feeds: types, loss }, feeds, optimizer };
  }
  const feeds = () => {
    const data = tokens();
    return { tokens: data, targets: data };
  };
  if (shape.model === "lstm")
    return {
      model: new Rnn({ ...sizes, cell: "lstm", tiedHead: false }),
      task,
      feeds,
      optimizer: adam({ lr: 1e-3, clip: 1 }),
    };
  const choices = { bias: false, normBias: true, activation: "gelu", tiedHead: true, eps: 1e-5 } as const;
  return { model: new Gpt({ ...sizes, ...choices }), task, feeds, optimizer };
}
