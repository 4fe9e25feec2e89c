// T5's folders, of the first version and of 1.1. Linear layers are [out, in] there; tables of tokens may stand there once more for each half.
import { z } from "zod";
import type { T5Config } from "../models/index.ts";
import type { ActivationName } from "../nn/index.ts";
import type { HubLayout } from "./layout.ts";

const size = z.number().int().positive().max(2_147_483_648);
const id = z.number().int().nonnegative();

const feedForwards = { relu: ["relu", false], "gated-gelu": ["geluTanh", true], "gated-silu": ["silu", true] } as const;
type FeedForward = keyof typeof feedForwards;
const names = Object.keys(feedForwards) as [FeedForward, ...FeedForward[]];

const settings = z.looseObject({
  vocab_size: size.default(32128),
  n_positions: size.default(512),
  d_model: size.default(512),
  d_kv: size.default(64),
  d_ff: size.default(2048),
  num_layers: size.max(2000).default(6),
  num_decoder_layers: size.max(2000).nullish(),
  num_heads: size.default(8),
  relative_attention_num_buckets: size.default(32),
  relative_attention_max_distance: size.default(128),
  dropout_rate: z.number().min(0).lt(1).default(0.1),
  layer_norm_epsilon: z.number().positive().default(1e-6),
  feed_forward_proj: z.enum(names).default("relu"),
  dense_act_fn: z.string().optional(),
  tie_word_embeddings: z.boolean().default(true),
  scale_decoder_outputs: z.boolean().optional(),
  decoder_start_token_id: id.default(0),
  eos_token_id: id.default(1),
});
const activations: { readonly [name in FeedForward]: string } = {
  relu: "relu",
  "gated-gelu": "gelu_new",
  "gated-silu": "silu",
};
const schema = settings.refine(
  ({ feed_forward_proj: name, dense_act_fn: given = activations[name] }) => given === activations[name],
  { path: ["dense_act_fn"], message: "another function than that of feed_forward_proj is not known here" },
);
type Theirs = z.output<typeof schema>;

const feedForwardOf = ({ activation, gated }: { activation: ActivationName; gated: boolean }) =>
  names.find((name) => feedForwards[name][0] === activation && feedForwards[name][1] === gated);

export const t5Layout: HubLayout<T5Config, Theirs> = {
  modelType: "t5",
  architecture: "T5ForConditionalGeneration",
  task: "sequence-to-sequence",
  family: "t5",
  schema,
  read: (config) => {
    const [activation, gated] = feedForwards[config.feed_forward_proj];
    return {
      vocab: config.vocab_size,
      context: config.n_positions,
      targetContext: config.n_positions,
      start: config.decoder_start_token_id,
      end: config.eos_token_id,
      width: config.d_model,
      heads: config.num_heads,
      headWidth: config.d_kv,
      hidden: config.d_ff,
      encoderLayers: config.num_layers,
      decoderLayers: config.num_decoder_layers ?? config.num_layers,
      buckets: config.relative_attention_num_buckets,
      maxDistance: config.relative_attention_max_distance,
      activation,
      gated,
      dropout: config.dropout_rate,
      // Transformers 5 writes that a head of its own were tied; one that is tied has scaled inputs in every published model
      tiedHead: config.tie_word_embeddings && config.scale_decoder_outputs !== false,
      scaledHead: config.scale_decoder_outputs ?? config.tie_word_embeddings,
      eps: config.layer_norm_epsilon,
    };
  },
  write: (config) => ({
    vocab_size: config.vocab,
    n_positions: config.context,
    d_model: config.width,
    d_kv: config.headWidth,
    d_ff: config.hidden,
    num_layers: config.encoderLayers,
    num_decoder_layers: config.decoderLayers,
    num_heads: config.heads,
    relative_attention_num_buckets: config.buckets,
    relative_attention_max_distance: config.maxDistance,
    dropout_rate: config.dropout,
    layer_norm_epsilon: config.eps,
    feed_forward_proj: feedForwardOf(config),
    is_encoder_decoder: true,
    tie_word_embeddings: config.tiedHead,
    scale_decoder_outputs: config.scaledHead,
    decoder_start_token_id: config.start,
    eos_token_id: config.end,
    pad_token_id: config.start,
  }),
  // Transformers takes the scale from whether the head is tied
  holds: (config) => feedForwardOf(config) !== undefined && config.scaledHead === config.tiedHead,
  fileName: (name) => name,
  isTransposed: (name, { length }) => length === 2 && !/^shared\.|^lm_head\.|relative_attention_bias/.test(name),
  isIgnored: (name) => name.includes("EncDecAttention.relative_attention_bias"),
  copyOf: (name, { tiedHead }) =>
    /^(en|de)coder\.embed_tokens\.weight$/.test(name) || (tiedHead && name === "lm_head.weight")
      ? "shared.weight"
      : undefined,
};
