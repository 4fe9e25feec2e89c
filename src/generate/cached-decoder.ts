// The two programs of generation over one cache of keys and values: `prefill` reads up to a chunk of tokens in every row, `decode`
// one. Rows stand at positions of their own, so texts of different lengths go together. What a program writes behind a row's
// tokens is written over before it is ever seen: the cache is a chunk longer than the context for it.
import { fromNumbers, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { type Tensor, trace } from "../core/index.ts";
import type { Engine, Program, Store } from "../engine/index.ts";
import { functionalCall, KeyValueCache, type Module, storedParameters } from "../nn/index.ts";

/** A model that can be asked for the logits (B, V) at one of each row's tokens given, the earlier ones being in a cache. */
export interface CachedLanguageModel extends Module {
  readonly config: { readonly context: number; readonly vocab: number };
  decodeAt(tokens: Tensor, cache: KeyValueCache, at: Tensor): Tensor;
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
  private readonly prefill: Program;
  private readonly decode: Program;

  constructor(
    options: DecoderOptions,
    { rows, context, chunk }: { readonly rows: number; readonly context: number; readonly chunk: number },
  ) {
    const { engine, store } = options;
    this.engine = engine;
    this.rows = rows;
    this.chunk = chunk;
    const length = context + chunk;
    const load = (numTokens: number) => engine.load(decodePlan(options, { rows, numTokens, length }), store);
    this.prefill = load(chunk);
    this.decode = load(1);
  }

  /** Reads tokens in every row at once; the logits after the last of each. */
  async read(parts: readonly RowTokens[]): Promise<Float64Array[]> {
    const { rows, chunk } = this;
    const isStep = parts.every(({ tokens }) => tokens.length <= 1);
    const width = isStep ? 1 : chunk;
    const tokens = new Int32Array(rows * width);
    parts.forEach((part, row) => {
      tokens.set(part.tokens, row * width);
    });
    const perRow = (of: (part: RowTokens) => number) => fromNumbers("i32", [rows], parts.map(of));
    const feeds = {
      tokens: fromNumbers("i32", [rows, width], tokens),
      position: perRow(({ position }) => position),
      at: perRow(({ tokens }) => Math.max(0, tokens.length - 1)),
    };
    const [result] = await this.engine.run([{ program: isStep ? this.decode : this.prefill, feeds }]);
    const logits = toNumbers(result!.outputs.logits!);
    const vocab = logits.length / rows;
    return parts.map((_, row) => logits.subarray(row * vocab, (row + 1) * vocab));
  }
}

function decodePlan(
  { engine, store, model, weights }: DecoderOptions,
  { rows, numTokens, length }: { rows: number; numTokens: number; length: number },
) {
  const types = [...model.parameters().keys()].map((name) => store.typeOf(name));
  const graph = trace(
    {
      tokens: { dtype: "i32", shape: [rows, numTokens] },
      position: { dtype: "i32", shape: [rows] },
      at: { dtype: "i32", shape: [rows] },
    },
    ({ tokens, position, at }) => {
      const cache = new KeyValueCache({ position, length, prefix: `cache.${rows}x${length}` });
      const parameters = weights?.() ?? storedParameters(types);
      return { logits: functionalCall(model, parameters, () => model.decodeAt(tokens, cache, at)) };
    },
    { mode: "eval", floatDType: types[0]!.dtype === "f64" ? "f64" : "f32" },
  );
  return compile(graph, engine.target);
}
