// Where the batches of GRPO come from: the model in training writes a group of completions for each prompt, and a reward judges them.
// Which prompts and which random numbers are functions of how many completions were drawn: a run goes on exactly where it stopped.
import { fail, fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { type Tensor, trace } from "../core/index.ts";
import { makeSampler, type Sampler, type Tokenizer } from "../data/index.ts";
import type { Program } from "../engine/index.ts";
import { isCachedLanguageModel, TokenGenerator } from "../generate/index.ts";
import { functionalCall, type Module, storedParameters } from "../nn/index.ts";
import type { Batch, BatchSource, StepPrograms } from "../train/index.ts";
import { type Completion, completionRows, tokenLogProbs } from "./completions.ts";
import { askReference } from "./frozen-copy.ts";
import { type GrpoSettings, groupAdvantages, type Reward } from "./grpo-task.ts";

/** A prompt, its tokens, and all that its row says. */
export interface Prompt {
  readonly text: string;
  readonly ids: readonly number[];
  readonly row: { readonly [column: string]: unknown };
}

export interface GrpoSourceOptions {
  readonly train: readonly Prompt[];
  readonly heldOut: readonly Prompt[];
  readonly settings: GrpoSettings;
  readonly reward: Reward;
  readonly tokenizer: Tokenizer;
  /** Token that ends a completion. */
  readonly endToken: number;
  /** Positions of a row. */
  readonly width: number;
  readonly seed: number;
}

/** Completions with what they are worth, and what was thought of each token. Plain JSON. */
interface Rollout {
  readonly prompts: readonly number[];
  readonly completions: readonly (readonly number[])[];
  readonly rewards: readonly number[];
  readonly old?: string;
  readonly reference?: string;
}

interface GrpoState {
  /** Completions drawn so far, those of `rollout` among them. */
  readonly drawn: number;
  /** Steps that `rollout` was used for. */
  readonly used: number;
  readonly rollout?: Rollout;
}

const mostAtOnce = 64;

export class GrpoSource implements BatchSource {
  readonly samplesPerEpoch: number;
  private readonly options: GrpoSourceOptions;
  private readonly sampler: Sampler;
  private programs: StepPrograms | undefined;
  private generator: TokenGenerator | undefined;
  private readonly opinions = new Map<string, Program>();
  private drawn = 0;
  private used = 0;
  private rollout: Rollout | undefined;

  constructor(options: GrpoSourceOptions) {
    this.options = options;
    this.samplesPerEpoch = options.train.length * options.settings.group;
    this.sampler = makeSampler("shuffled", options.train.length, options.seed);
  }

  /** The programs whose store holds the model. */
  begin(programs: StepPrograms): void {
    this.programs = programs;
  }

  async next(rows: number): Promise<Batch> {
    const { settings, train } = this.options;
    const { updates, group } = settings;
    if (this.rollout === undefined || this.used >= updates || this.rollout.completions.length !== rows) {
      const positions = this.sampler.range(this.drawn / group, rows / group);
      const prompts = positions.flatMap((at) => new Array<number>(group).fill(at));
      const completions = await this.write(prompts.map((at) => train[at]!));
      this.drawn += rows;
      this.used = 0;
      this.rollout = await this.judge(train, prompts, completions);
    }
    this.used++;
    const ids = Int32Array.from({ length: rows }, (_, at) => this.drawn - rows + at);
    return { ...this.feeds(train, this.rollout), rows: { dtype: "i32", shape: [rows], data: ids } };
  }

  state(): GrpoState {
    const { drawn, used, rollout } = this;
    const isDone = rollout === undefined || used >= this.options.settings.updates;
    return { drawn, used, ...(isDone ? {} : { rollout }) };
  }

  restore(state: unknown): void {
    const { drawn, used, rollout } = state as GrpoState;
    [this.drawn, this.used, this.rollout] = [drawn, used, rollout];
  }

  /** The likeliest completion of every held-out prompt, in batches of `rows`; those that fill up the last have no tokens. */
  async *heldOutBatches(rows: number): AsyncGenerator<Batch> {
    const { heldOut } = this.options;
    for (let start = 0; start < heldOut.length; start += rows) {
      const positions = Array.from({ length: Math.min(rows, heldOut.length - start) }, (_, at) => start + at);
      const written = await this.write(
        positions.map((at) => heldOut[at]!),
        { greedy: true },
      );
      const judged = await this.judge(heldOut, positions, written, rows);
      yield this.feeds(heldOut, judged, rows);
    }
  }

  /** A completion for each prompt, its ending token included. */
  private async write(prompts: readonly Prompt[], { greedy = false } = {}): Promise<number[][]> {
    const { settings, endToken, seed, width } = this.options;
    const { model } = this.ready.graphs.description;
    if (!isCachedLanguageModel(model))
      return fail("model/task", "this model does not write text", { where: "loss.grpo", expected: "a language model" });
    const { engine, store } = this.ready;
    this.generator ??= new TokenGenerator({ engine, store, model, batch: mostAtOnce, chunk: 16, context: width + 1 });
    const { generator } = this;
    const sequences = prompts.flatMap(({ ids }, at) =>
      generator.sequences([ids], {
        maxTokens: Math.min(settings.maxTokens, width + 1 - ids.length),
        temperature: greedy ? 0 : settings.temperature,
        stopTokens: [endToken],
        ...{ seed, sample: this.drawn + at },
      }),
    );
    for await (const _ of generator.grow(sequences));
    return sequences.map(({ tokens, ending }) => (ending === "stopToken" ? [...tokens, endToken] : [...tokens]));
  }

  /** Rewards, and what the model and its reference think of the tokens. Errors with `align/reward`. */
  private async judge(
    from: readonly Prompt[],
    prompts: readonly number[],
    completions: readonly number[][],
    rows = prompts.length,
  ): Promise<Rollout> {
    const { reward, tokenizer, endToken, settings } = this.options;
    const rewards: number[] = [];
    for (const [at, prompt] of prompts.entries()) {
      const ids = completions[at]!;
      const { text, row } = from[prompt]!;
      const completion = tokenizer.decode(ids.at(-1) === endToken ? ids.slice(0, -1) : ids);
      const value = await reward(text, completion, row);
      if (typeof value !== "number" || !Number.isFinite(value))
        fail("align/reward", "the reward is no finite number", {
          where: `reward(${JSON.stringify(text.slice(-40))}, ${JSON.stringify(completion.slice(0, 40))})`,
          expected: "a number",
          got: String(value),
          fix: "return 0 for what is worth nothing",
        });
      rewards.push(value);
    }
    const rollout = { prompts, completions, rewards };
    const { tokens, targets } = this.rowsOf(from, rollout, rows);
    const opinion = async (who: "policy" | "reference") => {
      const [result] = await this.ready.engine.run([{ program: this.opinion(who, rows), feeds: { tokens, targets } }]);
      return Buffer.from(Float32Array.from(toNumbers(result!.outputs.result!)).buffer).toString("base64");
    };
    return {
      ...rollout,
      ...(settings.updates > 1 ? { old: await opinion("policy") } : {}),
      ...(settings.beta > 0 ? { reference: await opinion("reference") } : {}),
    };
  }

  private rowsOf(from: readonly Prompt[], { prompts, completions }: Rollout, rows: number) {
    const nothing: Completion[] = new Array(rows - prompts.length).fill({ prompt: [], completion: [] });
    const written = prompts.map((at, row): Completion => ({ prompt: from[at]!.ids, completion: completions[row]! }));
    return completionRows([...written, ...nothing], this.options.width);
  }

  private feeds(from: readonly Prompt[], rollout: Rollout, rows = rollout.prompts.length): Batch {
    const { settings, width } = this.options;
    const { dtype } = this.ready.graphs.description;
    const { rewards, old, reference } = rollout;
    const perRow = (values: readonly number[]) =>
      fromNumbers(dtype, [rows], [...values, ...new Array<number>(rows - values.length).fill(0)]);
    const perToken = (text: string): HostArray => {
      const values = new Float32Array(new Uint8Array(Buffer.from(text, "base64")).buffer);
      return fromNumbers(dtype, [rows, width], values);
    };
    const advantages = rewards.flatMap((_, at) =>
      at % settings.group === 0 ? groupAdvantages(rewards.slice(at, at + settings.group), settings.scale) : [],
    );
    return {
      ...this.rowsOf(from, rollout, rows),
      ...(old === undefined ? {} : { old: perToken(old) }),
      ...(reference === undefined ? {} : { reference: perToken(reference) }),
      rewards: perRow(rewards),
      advantages: perRow(advantages),
    };
  }

  /** The program that gives log-probabilities (rows, width) of tokens, by the model or by its reference. */
  private opinion(who: "policy" | "reference", rows: number): Program {
    const key = `${who} ${rows}`;
    const known = this.opinions.get(key);
    if (known !== undefined) return known;
    const { graphs, engine, store } = this.ready;
    const { model, dtype } = graphs.description;
    const { width, settings } = this.options;
    const type = { dtype: "i32", shape: [rows, width] } as const;
    const graph = trace(
      { tokens: type, targets: type },
      ({ tokens, targets }: { [name: string]: Tensor }) => {
        const stored = storedParameters(graphs.parameterTypes);
        const think = (one: Module) => tokenLogProbs(one, tokens!, targets!, settings.temperature);
        if (who === "reference") return askReference(model, stored, think);
        return functionalCall(model, stored, () => think(model));
      },
      { mode: "eval", floatDType: dtype },
    );
    const program = engine.load(compile(graph, engine.target, graphs.compileOptions("evaluate")), store);
    this.opinions.set(key, program);
    return program;
  }

  private get ready(): StepPrograms {
    return (
      this.programs ??
      fail("internal:grpo", "completions were asked for before there was a model", { where: "GrpoSource.begin" })
    );
  }
}
