// Recurrent encoder and decoder (Sutskever et al. 2014), with Bahdanau's attention (2014), Luong's (2015), or none: then all that the
// decoder knows of the source is the encoder's last state.
// N sources, R rows written, S source time, T target time, E width of embeddings and state, V vocabulary. Padding is token −1.
import { z } from "zod";
import { parseConfig } from "../base/index.ts";
import { concat, matmulOf, scan, softmax, type Tensor, tanh, where } from "../core/index.ts";
import {
  type CellName,
  call,
  cellNames,
  type DecodingState,
  Dropout,
  Embedding,
  Linear,
  Module,
  Recurrent,
  type RecurrentState,
  statesOf,
  within,
} from "../nn/index.ts";
import type { ModelFamily, SequenceConfig } from "./family.ts";
import { sequenceInputs, sequenceSettings, settleSequence } from "./sequence.ts";
import { checkTokens } from "./tokens.ts";

export const attentionNames = ["bahdanau", "luong", "none"] as const;

export interface Seq2seqConfig extends SequenceConfig {
  readonly cell: CellName;
  /** Layers of each half, one on top of the other. */
  readonly layers: number;
  readonly width: number;
  readonly attention: (typeof attentionNames)[number];
  readonly dropout: number;
}

/** What the decoder knows of the source: outputs (B, S, E), the same as keys, and where there are tokens, bool (B, S). */
interface Memory {
  readonly values: Tensor;
  readonly keys: Tensor;
  readonly present: Tensor;
}

/** Source i32 (B, S) and the target so far, i32 (B, T), which begins with `config.start` → logits of each next token (B, T, V). */
export class Seq2seq extends Module {
  readonly config: Seq2seqConfig;
  readonly shared: Embedding;
  readonly encoder: readonly Recurrent[];
  readonly decoder: readonly Recurrent[];
  /** One to a place, which draws masks of its own: behind the embeddings, then behind each layer. */
  readonly encoderDropouts: readonly Dropout[];
  readonly decoderDropouts: readonly Dropout[];
  /** Of the encoder's outputs, for scores. */
  readonly keys: Linear | undefined;
  /** Bahdanau's: of the decoder's state. */
  readonly queries: Linear | undefined;
  readonly scores: Linear | undefined;
  /** Luong's: of what was seen and the decoder's output. */
  readonly combine: Linear | undefined;
  readonly lm_head: Linear;

  constructor(config: Seq2seqConfig) {
    super();
    const { vocab, width, layers, cell, attention, dropout } = config;
    const isBahdanau = attention === "bahdanau";
    this.config = config;
    this.shared = new Embedding(vocab, width, { init: { name: "normal", std: 0.1 } });
    this.encoder = Array.from({ length: layers }, () => new Recurrent(cell, width, width));
    const inputs = (layer: number) => (layer === 0 && isBahdanau ? 2 * width : width);
    this.decoder = Array.from({ length: layers }, (_, layer) => new Recurrent(cell, inputs(layer), width));
    const dropouts = () => Array.from({ length: layers + 1 }, () => new Dropout(dropout));
    this.encoderDropouts = dropouts();
    this.decoderDropouts = dropouts();
    this.keys = attention === "none" ? undefined : new Linear(width, width, { bias: false });
    this.queries = isBahdanau ? new Linear(width, width) : undefined;
    this.scores = isBahdanau ? new Linear(width, 1, { bias: false }) : undefined;
    this.combine = attention === "luong" ? new Linear(2 * width, width) : undefined;
    this.lm_head = new Linear(width, vocab);
  }

  /** Errors with `model/context` when S or T is greater than what the model is made for. */
  forward(source: Tensor, tokens: Tensor): Tensor {
    const { memory, states } = this.encode(source);
    checkTokens(tokens, this.config.targetContext);
    return this.write(tokens, memory, states).logits;
  }

  /** Reads sources, i32 (N, S), into the state: the encoder's outputs, and its last state as the decoder's first. */
  begin(source: Tensor, state: DecodingState): void {
    const { memory, states } = this.encode(source);
    state.hold("source", source);
    state.hold("values", memory.values);
    state.hold("keys", memory.keys);
    for (const [name, value] of named(states)) state.hold(name, value);
  }

  /** The newest token of each row, i32 (R, 1) → logits of the next one (R, V). */
  decode(tokens: Tensor, state: DecodingState): Tensor {
    const rows = tokens.shape[0]!;
    const { context, width, cell, layers } = this.config;
    const dtype = this.shared.table.dtype;
    const [values, keys] = ["values", "keys"].map((name) => state.held(name, dtype, [rows, context, width]));
    const present = state.held("source", "i32", [rows, context]).greaterEqual(0);
    const before = Array.from({ length: layers }, (_, layer) =>
      Array.from({ length: statesOf[cell] }, (__, at) => state.read(`state.${layer}.${at}`, dtype, [rows, width])),
    );
    const { logits, states } = this.write(tokens, { values: values!, keys: keys!, present }, before);
    for (const [name, value] of named(states)) state.write(name, value);
    return logits.reshape(rows, -1);
  }

  private encode(source: Tensor): { memory: Memory; states: readonly RecurrentState[] } {
    checkTokens(source, this.config.context);
    const present = source.greaterEqual(0);
    const { outputs: values, states } = this.stack(this.encoder, this.encoderDropouts, source, () => ({ present }));
    return { states, memory: { values, present, keys: this.keys === undefined ? values : call(this.keys, values) } };
  }

  /** Tokens i32 (B, T) from the states before them → logits (B, T, V) and the states after them. */
  private write(tokens: Tensor, memory: Memory, before: readonly RecurrentState[]) {
    const { outputs, states } =
      this.queries === undefined
        ? this.stack(this.decoder, this.decoderDropouts, tokens, (layer) => ({ initial: before[layer]! }))
        : this.lookAndStep(tokens, memory, before);
    const { combine } = this;
    const hidden =
      combine === undefined ? outputs : tanh(call(combine, concat([this.look(outputs, memory), outputs], 2)));
    return { states, logits: call(this.lm_head, hidden) };
  }

  /** Layers one on top of the other, each over all times: tokens (B, T) → (B, T, E), and the last state of each. */
  private stack(
    layers: readonly Recurrent[],
    dropouts: readonly Dropout[],
    tokens: Tensor,
    options: (layer: number) => { initial?: RecurrentState; present?: Tensor },
  ): { outputs: Tensor; states: readonly RecurrentState[] } {
    const states: RecurrentState[] = [];
    const outputs = layers.reduce(
      (inputs, layer, at) => {
        const made = within(layer, () => layer.run(inputs, options(at)));
        states.push(made.last);
        return call(dropouts[at + 1]!, made.states[0]!);
      },
      this.embed(tokens, dropouts),
    );
    return { outputs, states };
  }

  /** All layers of the decoder time by time, since the first looks at the source by what the last put out before. */
  private lookAndStep(tokens: Tensor, memory: Memory, before: readonly RecurrentState[]) {
    const [batch] = tokens.shape as [number];
    const parts = before[0]!.length;
    const ofLayers = (flat: readonly Tensor[]): RecurrentState[] =>
      before.map((_, layer) => flat.slice(layer * parts, (layer + 1) * parts));
    const { carry, outputs } = scan(
      (flat, [token]) => {
        const own = flat.at(-parts)!.reshape(batch, 1, -1);
        let x = concat([token!.reshape(batch, 1, -1), this.look(own, memory)], 2);
        const next = ofLayers(flat).map((state, at) => {
          const layer = this.decoder[at]!;
          const made = within(layer, () => layer.step(layer.project(x).reshape(batch, -1), state));
          x = call(this.decoderDropouts[at + 1]!, made[0]!.reshape(batch, 1, -1));
          return made;
        });
        return { carry: next.flat(), outputs: [x.reshape(batch, -1)] };
      },
      { carry: before.flat(), sequences: [this.embed(tokens, this.decoderDropouts).permute(1, 0, 2)] },
    );
    return { outputs: outputs[0]!.permute(1, 0, 2), states: ofLayers(carry) };
  }

  /** What queries (B, T, E) see of the source: (B, T, E) */
  private look(queries: Tensor, { values, keys, present }: Memory): Tensor {
    const [batch, time] = queries.shape as [number, number];
    const length = keys.shape[1]!;
    const { scores: layer, queries: projection } = this;
    const added = () => {
      const both = call(projection!, queries)
        .reshape(batch, time, 1, -1)
        .add(keys.reshape(batch, 1, length, -1));
      return call(layer!, tanh(both)).reshape(batch, time, length);
    };
    const scores = projection === undefined ? matmulOf(queries, keys, false, true) : added(); // (B, T, S)
    const seen = where(present.reshape(batch, 1, length), scores, -1e9); // finite, so that padding alone is no NaN
    return matmulOf(softmax(seen), values, false, false);
  }

  private embed(tokens: Tensor, [dropout]: readonly Dropout[]): Tensor {
    return call(dropout!, call(this.shared, where(tokens.greaterEqual(0), tokens, 0)));
  }
}

const named = (states: readonly RecurrentState[]): [name: string, value: Tensor][] =>
  states.flatMap((state, layer) => state.map((value, at): [string, Tensor] => [`state.${layer}.${at}`, value]));

const size = z.number().int().positive();

const seq2seqSchema = z.strictObject({
  ...sequenceSettings,
  context: size.describe("tokens that are read of a source, its end included"),
  cell: z.enum(cellNames).default("lstm").describe("what carries the state"),
  layers: size.default(1).describe("of each half"),
  width: size.describe("channels of embeddings and states"),
  attention: z
    .enum(attentionNames)
    .default("luong")
    .describe("how the source is looked at while writing; none: it is not"),
  dropout: z.number().min(0).lt(1).default(0).describe("of embeddings and between layers, in training"),
});

/** What a recipe may write under `model.seq2seq`. */
export type Seq2seqInput = z.input<typeof seq2seqSchema>;

export const seq2seqFamily: ModelFamily<Seq2seqConfig> = {
  name: "seq2seq",
  doc: "recurrent encoder and decoder with attention, for texts that are made from texts",
  tasks: ["sequence-to-sequence"],
  reads: "texts",
  schema: seq2seqSchema,
  build: (config, facts) => {
    const { targetContext, ...parsed } = parseConfig(seq2seqSchema, config, "model.seq2seq");
    const settled = settleSequence("model.seq2seq", parsed as Partial<SequenceConfig>, facts);
    const complete: Seq2seqConfig = { ...parsed, targetContext: targetContext ?? parsed.context, ...settled };
    return {
      module: new Seq2seq(complete),
      config: complete,
      inputs: sequenceInputs(complete),
    };
  },
};
