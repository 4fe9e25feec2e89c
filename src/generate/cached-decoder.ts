// The two programs of generation over one cache of keys and values: `prefill` reads up to a chunk of tokens in every row, `decode`
// one. Rows stand at positions of their own, so texts of different lengths go together. What a program writes behind a row's
// tokens is written over before it is ever seen: the cache is a chunk longer than the context for it.
import { fromNumbers, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { assign, type Tensor, take, trace, variable, zeros } from "../core/index.ts";
import type { Engine, Program, Store } from "../engine/index.ts";
import {
  type Embedding,
  functionalCall,
  KeyValueCache,
  type Linear,
  type Module,
  storedParameters,
} from "../nn/index.ts";

/** A model that can be asked for the logits (B, V) at one of each row's tokens given, the earlier ones being in a cache. */
export interface CachedLanguageModel extends Module {
  readonly config: { readonly context: number; readonly vocab: number };
  /** The layers with a row or an output per token. */
  readonly vocabulary: readonly (Embedding | Linear)[];
  decodeAt(tokens: Tensor, cache: KeyValueCache, at: Tensor): Tensor;
  /** The logits (B, n, V) at all of the tokens. */
  decode(tokens: Tensor, cache: KeyValueCache): Tensor;
  /** Places of the context that are taken before every text, and what puts them first into the cache. */
  readonly start?: number;
  decodeStart?(cache: KeyValueCache): void;
}

/** True for modules that can decode step by step. */
export function isCachedLanguageModel(model: object): model is CachedLanguageModel {
  return "decodeAt" in model && typeof model.decodeAt === "function";
}

export interface DecoderOptions {
  readonly engine: Engine;
  /** Holds the model's parameters under their names. */
  readonly store: Store;
  readonly model: CachedLanguageModel;
  /** Makes the weights, traced; left out, they are the parameters in the store. */
  readonly weights?: () => ReadonlyMap<string, Tensor>;
}

/** Rows of the cache, tokens of each, tokens read at once; and a name, where a model is read by more than one. */
interface CacheOptions {
  readonly rows: number;
  readonly context: number;
  readonly chunk: number;
  readonly name?: string;
}

/** Tokens for one row, and the position of the first. None: the row waits, and its logits mean nothing. */
export interface RowTokens {
  readonly tokens: readonly number[];
  readonly position: number;
}

export class CachedDecoder {
  readonly rows: number;
  /** Most tokens that a row can be given at once. */
  readonly chunk: number;
  private readonly engine: Engine;
  /** Loads a program that reads so many tokens, and gives the logits at one of them in each row, or at each. */
  private readonly load: (numTokens: number, each?: boolean) => Program;
  private readonly prefill: Program;
  private readonly decode: Program;
  private readonly begin: Program | undefined;
  private readonly start: number;
  private readonly store: Store;
  private readonly prefix: string;
  private moving: Program | undefined;
  private readonly reading = new Map<number, Program>();

  constructor(options: DecoderOptions, { rows, context, chunk, name = "cache" }: CacheOptions) {
    const { engine, store, model } = options;
    this.engine = engine;
    this.store = store;
    this.rows = rows;
    this.chunk = chunk;
    this.start = model.start ?? 0;
    const length = this.start + context + chunk;
    this.prefix = `${name}.${rows}x${length}`;
    const cache = { rows, length, prefix: this.prefix };
    this.load = (numTokens, each = false) => engine.load(decodePlan(options, { ...cache, numTokens, each }), store);
    this.prefill = this.load(chunk);
    this.decode = this.load(1);
    if (this.start > 0) this.begin = engine.load(startPlan(options, cache), store);
  }

  /** Reads tokens in every row at once; the logits after the last of each. */
  async read(parts: readonly RowTokens[]): Promise<Float64Array[]> {
    const { rows, chunk, start } = this;
    await this.beginTexts(parts);
    const isStep = parts.every(({ tokens }) => tokens.length <= 1);
    const width = isStep ? 1 : chunk;
    const tokens = new Int32Array(rows * width);
    parts.forEach((part, row) => {
      tokens.set(part.tokens, row * width);
    });
    const perRow = (of: (part: RowTokens) => number) => fromNumbers("i32", [rows], parts.map(of));
    const feeds = {
      tokens: fromNumbers("i32", [rows, width], tokens),
      position: perRow(({ position }) => start + position),
      at: perRow(({ tokens }) => Math.max(0, tokens.length - 1)),
    };
    const [result] = await this.engine.run([{ program: isStep ? this.decode : this.prefill, feeds }]);
    const logits = toNumbers(result!.outputs.logits!);
    const vocab = logits.length / rows;
    return parts.map((_, row) => logits.subarray(row * vocab, (row + 1) * vocab));
  }

  /** Reads tokens in the one row, at most `width`, for which a program is made; the logits after each of them. */
  async readEach({ tokens, position }: RowTokens, width: number): Promise<Float64Array[]> {
    await this.beginTexts([{ tokens, position }]);
    const program = this.reading.get(width) ?? this.load(width, true);
    this.reading.set(width, program);
    const filled = new Int32Array(width);
    filled.set(tokens);
    const feeds = {
      tokens: fromNumbers("i32", [1, width], filled),
      position: fromNumbers("i32", [1], [this.start + position]),
    };
    const [result] = await this.engine.run([{ program, feeds }]);
    const logits = toNumbers(result!.outputs.logits!);
    const vocab = logits.length / width;
    return tokens.map((_, at) => logits.subarray(at * vocab, (at + 1) * vocab));
  }

  /** Where a text begins, what stands before it is written anew in every row, as the weights may have changed since. */
  private async beginTexts(parts: readonly RowTokens[]): Promise<void> {
    if (this.begin !== undefined && parts.some(({ tokens, position }) => tokens.length > 0 && position === 0))
      await this.engine.run([{ program: this.begin, feeds: {} }]);
  }

  /** Row i of the cache becomes what row `parents[i]` was. */
  async reorder(parents: readonly number[]): Promise<void> {
    if (parents.every((parent, row) => parent === row)) return;
    const all = Array.from({ length: this.rows }, (_, row) => parents[row] ?? row);
    this.moving ??= this.engine.load(this.movingPlan(), this.store);
    await this.engine.run([{ program: this.moving, feeds: { order: fromNumbers("i32", [this.rows], all) } }]);
  }

  private movingPlan() {
    const types = this.store
      .names()
      .filter((name) => name.startsWith(`${this.prefix}.`))
      .map((name) => this.store.typeOf(name));
    const graph = trace({ order: { dtype: "i32", shape: [this.rows] } }, ({ order }) => {
      for (const { name, dtype, shape } of types) assign(name, take(variable(name, dtype, shape), order));
    });
    return compile(graph, this.engine.target);
  }
}

interface CacheShape {
  readonly rows: number;
  readonly length: number;
  readonly prefix: string;
}

function decodePlan(
  options: DecoderOptions,
  { rows, length, prefix, numTokens, each }: CacheShape & { readonly numTokens: number; readonly each: boolean },
) {
  const { engine, model } = options;
  const graph = trace(
    {
      tokens: { dtype: "i32", shape: [rows, numTokens] },
      position: { dtype: "i32", shape: [rows] },
      ...(each ? {} : { at: { dtype: "i32", shape: [rows] } as const }),
    },
    ({ tokens, position, at }) => {
      const cache = new KeyValueCache({ position, length, prefix });
      const logits = () => (at === undefined ? model.decode(tokens, cache) : model.decodeAt(tokens, cache, at));
      return { logits: withWeights(options, logits) };
    },
    traceOptions(options),
  );
  return compile(graph, engine.target);
}

/** What stands before every text, at the first positions of every row. */
function startPlan(options: DecoderOptions, { rows, length, prefix }: CacheShape) {
  const { engine, model } = options;
  const graph = trace(
    {},
    () => {
      const cache = new KeyValueCache({ position: zeros([rows], "i32"), length, prefix });
      withWeights(options, () => model.decodeStart?.(cache));
    },
    traceOptions(options),
  );
  return compile(graph, engine.target);
}

const typesOf = ({ model, store }: DecoderOptions) => [...model.parameters().keys()].map((name) => store.typeOf(name));

const withWeights = <T>(options: DecoderOptions, fn: () => T): T =>
  functionalCall(options.model, options.weights?.() ?? storedParameters(typesOf(options)), fn);

const traceOptions = (options: DecoderOptions) =>
  ({ mode: "eval", floatDType: typesOf(options)[0]!.dtype === "f64" ? "f64" : "f32" }) as const;
