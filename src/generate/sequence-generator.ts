// Texts from texts: an encoder–decoder reads a batch of sources once, and beams of each are written side by side over its state. Knows
// ids, no text.
//
// Two programs share the store with whatever trained the weights: `begin` reads the sources, `decode` one token of every row. Row
// s · beams + b is beam b of source s.
import { fail, fromNumbers, type HostArray, parseConfig } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { constant, type Tensor, trace } from "../core/index.ts";
import type { Engine, Program, Store } from "../engine/index.ts";
import { DecodingState, functionalCall, type Module, storedParameters } from "../nn/index.ts";
import { type BeamOptions, BeamSearch, type BeamSettings, beamSchema, type Hypothesis } from "./beam-search.ts";

/** A model that reads a source into a state and writes over it token by token. */
export interface SequenceModel extends Module {
  readonly config: {
    readonly vocab: number;
    /** Tokens of a source, `end` included; what is shorter is filled up with −1. */
    readonly context: number;
    /** Tokens that can be written. */
    readonly targetContext: number;
    readonly start: number;
    readonly end: number;
  };
  /** Sources i32 (N, context), −1 behind their ends. */
  begin(source: Tensor, state: DecodingState): void;
  /** The newest token of each row, i32 (R, 1) → logits (R, V). */
  decode(tokens: Tensor, state: DecodingState): Tensor;
}

/** True for modules that write a text from a text. */
export function isSequenceModel(model: object): model is SequenceModel {
  return "begin" in model && typeof model.begin === "function";
}

export interface SequenceGeneratorOptions {
  readonly engine: Engine;
  /** Holds the model's parameters under their names. */
  readonly store: Store;
  readonly model: SequenceModel;
  /** Ids below this may be written, and the model's end; default all. */
  readonly vocabSize?: number;
  /** Rows of a program, all beams together; default 64. */
  readonly rows?: number;
}

interface Programs {
  readonly sources: number;
  readonly begin: Program;
  readonly decode: Program;
}

export class SequenceGenerator {
  private readonly options: SequenceGeneratorOptions;
  private readonly programs = new Map<string, Programs>();
  /** There is one state, so generations wait for each other. */
  private free: Promise<unknown> = Promise.resolve();

  constructor(options: SequenceGeneratorOptions) {
    this.options = options;
  }

  /**
   * The best targets of each source (ids without the end, which is added), at most `beams` of them, the likeliest first. A source longer
   * than the context is refused. Errors with `generate/source`, `generate/not-finite`, `config/invalid`.
   */
  async generate(sources: readonly ArrayLike<number>[], options: BeamOptions = {}): Promise<(readonly Hypothesis[])[]> {
    const { context, targetContext, vocab } = this.options.model.config;
    const given = parseConfig(beamSchema, options, "generate");
    const settings = { ...given, maxTokens: Math.min(given.maxTokens, targetContext) };
    for (const [at, source] of sources.entries()) {
      const wrong = Array.from(source).find((id) => !(Number.isInteger(id) && id >= 0 && id < vocab));
      if (source.length < context && wrong === undefined) continue;
      fail("generate/source", "the model cannot read this source", {
        where: `source ${at + 1}`,
        expected: `at most ${context - 1} tokens, each from 0 to ${vocab - 1}`,
        got: wrong === undefined ? `${source.length} tokens` : `token ${wrong}`,
        fix: wrong === undefined ? "shorten it" : "use the tokenizer that the model was trained with",
      });
    }
    const run = this.free.then(async () => {
      const found = new Array<readonly Hypothesis[]>(sources.length);
      // sources of one length together: what is written of them ends at about the same time
      const order = [...sources.keys()].sort((a, b) => sources[a]!.length - sources[b]!.length);
      while (order.length > 0) {
        const programs = this.programsFor(order.length, settings.beams);
        const batch = order.splice(0, programs.sources);
        const written = await this.search(
          batch.map((at) => sources[at]!),
          programs,
          settings,
        );
        batch.forEach((at, i) => {
          found[at] = written[i]!;
        });
      }
      return found;
    });
    this.free = run.catch(() => undefined);
    return await run;
  }

  private async search(
    sources: readonly ArrayLike<number>[],
    programs: Programs,
    settings: BeamSettings,
  ): Promise<(readonly Hypothesis[])[]> {
    const { engine, model } = this.options;
    const { context, start, end } = model.config;
    const { beams } = settings;
    const rows = programs.sources * beams;
    const padded = new Int32Array(programs.sources * context).fill(-1);
    sources.forEach((source, at) => {
      padded.set([...Array.from(source), end], at * context);
    });
    await engine.run([{ program: programs.begin, feeds: { source: ints([programs.sources, context], padded) } }]);
    const searches = sources.map(() => new BeamSearch(settings, [end]));
    const tokens = new Int32Array(rows).fill(start);
    const order = Int32Array.from({ length: rows }, (_, row) => row);
    for (let position = 0; searches.some(({ isDone }) => !isDone); position++) {
      const feeds = {
        tokens: ints([rows, 1], tokens),
        position: ints([rows], new Int32Array(rows).fill(position)),
        ...(beams === 1 ? {} : { order: ints([rows], order) }),
      };
      const [result] = await engine.run([{ program: programs.decode, feeds }]);
      const { data } = result!.outputs.logits! as HostArray & { readonly data: Float32Array | Float64Array };
      searches.forEach((search, at) => {
        if (search.isDone) return;
        const first = at * beams;
        search.advance(Array.from({ length: beams }, (_, beam) => this.allowed(data, first + beam)));
        search.tokens.forEach((token, beam) => {
          tokens[first + beam] = token;
          order[first + beam] = first + search.parents[beam]!;
        });
      });
    }
    return searches.map(({ best }) => best);
  }

  /** The logits of one row, −∞ written over those of ids that no text has. */
  private allowed(logits: Float32Array | Float64Array, row: number): Float32Array | Float64Array {
    const { model, vocabSize = model.config.vocab } = this.options;
    const { vocab, end } = model.config;
    const own = logits.subarray(row * vocab, (row + 1) * vocab);
    for (let id = vocabSize; id < vocab; id++) if (id !== end) own[id] = Number.NEGATIVE_INFINITY;
    return own;
  }

  /** Programs of few fixed sizes: one source, or as many as there is room for. */
  private programsFor(remaining: number, beams: number): Programs {
    const most = Math.max(1, Math.floor((this.options.rows ?? 64) / beams));
    const sources = remaining === 1 ? 1 : most;
    const name = `${sources}x${beams}`;
    const known = this.programs.get(name);
    if (known !== undefined) return known;
    const programs = loadPrograms(this.options, sources, beams);
    this.programs.set(name, programs);
    return programs;
  }
}

const ints = (shape: readonly number[], values: ArrayLike<number>): HostArray => fromNumbers("i32", shape, values);

function loadPrograms({ engine, store, model }: SequenceGeneratorOptions, sources: number, beams: number): Programs {
  const { context, targetContext } = model.config;
  const types = [...model.parameters().keys()].map((name) => store.typeOf(name));
  const prefix = `cache.${sources}x${beams}`;
  const rows = sources * beams;
  const settings = { mode: "eval", floatDType: types[0]!.dtype === "f64" ? "f64" : "f32" } as const;
  const bound = <T>(fn: () => T) => functionalCall(model, storedParameters(types), fn);
  const begin = trace(
    { source: { dtype: "i32", shape: [sources, context] } },
    ({ source }) => {
      const position = constant(ints([rows], new Int32Array(rows)));
      bound(() => model.begin(source, new DecodingState({ position, length: targetContext, prefix, beams })));
      return undefined;
    },
    settings,
  );
  const feeds = {
    tokens: { dtype: "i32", shape: [rows, 1] },
    position: { dtype: "i32", shape: [rows] },
    // one beam goes on from itself
    ...(beams === 1 ? {} : { order: { dtype: "i32", shape: [rows] } as const }),
  } as const;
  const decode = trace(
    feeds,
    ({ tokens, position, order }: { tokens: Tensor; position: Tensor; order?: Tensor }) => {
      const ordered = order === undefined ? {} : { order };
      const state = new DecodingState({ position, length: targetContext, prefix, beams, ...ordered });
      return { logits: bound(() => model.decode(tokens, state)) };
    },
    settings,
  );
  const load = (graph: Parameters<typeof compile>[0]) => engine.load(compile(graph, engine.target), store);
  return { sources, begin: load(begin), decode: load(decode) };
}
