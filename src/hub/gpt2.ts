// GPT-2's folder. Its linear layers are Conv1D, [in, out] as ours; old files leave the prefix `transformer.` out.
import { z } from "zod";
import type { GptConfig } from "../models/index.ts";
import type { HubLayout } from "./layout.ts";

const size = z.number().int().positive().max(2_147_483_648);
const layers = z.number().int().positive().max(2000);
const activations = {
  gelu_new: "geluTanh",
  gelu_pytorch_tanh: "geluTanh",
  gelu: "gelu",
  relu: "relu",
  silu: "silu",
} as const;
type TheirActivation = keyof typeof activations;

const schema = z
  .looseObject({
    vocab_size: size.default(50257),
    n_positions: size.default(1024),
    n_embd: size.default(768),
    n_layer: layers.default(12),
    n_head: size.default(12),
    num_attention_heads: size.optional(), // Transformers' name for it in all families, which comes first there
    n_inner: size.nullish(),
    activation_function: z
      .enum(Object.keys(activations) as [TheirActivation, ...TheirActivation[]])
      .default("gelu_new"),
    layer_norm_epsilon: z.number().positive().default(1e-5),
    resid_pdrop: z.number().min(0).lt(1).default(0.1),
    tie_word_embeddings: z.boolean().default(true),
    scale_attn_weights: z.literal(true).default(true),
    scale_attn_by_inverse_layer_idx: z.literal(false).default(false),
    add_cross_attention: z.literal(false).default(false),
  })
  .refine(({ n_inner, n_embd }) => n_inner == null || n_inner === 4 * n_embd, {
    path: ["n_inner"],
    message: "must be null or 4 · n_embd",
  });

export const gpt2Layout: HubLayout<GptConfig, z.output<typeof schema>> = {
  modelType: "gpt2",
  architecture: "GPT2LMHeadModel",
  family: "gpt",
  schema,
  read: (config) => ({
    vocab: config.vocab_size,
    context: config.n_positions,
    width: config.n_embd,
    layers: config.n_layer,
    heads: config.num_attention_heads ?? config.n_head,
    dropout: config.resid_pdrop,
    bias: true,
    normBias: true,
    activation: activations[config.activation_function],
    tiedHead: config.tie_word_embeddings,
    eps: config.layer_norm_epsilon,
  }),
  write: ({ vocab, context, width, layers, heads, dropout, activation, tiedHead, eps }) => ({
    vocab_size: vocab,
    n_positions: context,
    n_ctx: context,
    n_embd: width,
    n_layer: layers,
    n_head: heads,
    n_inner: null,
    activation_function: Object.entries(activations).find(([, ours]) => ours === activation)![0],
    layer_norm_epsilon: eps,
    resid_pdrop: dropout,
    embd_pdrop: dropout,
    attn_pdrop: dropout,
    tie_word_embeddings: tiedHead,
  }),
  holds: ({ bias, normBias, activation, bands = 0 }) =>
    bands === 0 && bias && normBias && Object.values<string>(activations).includes(activation),
  fileName: (name) => (name === "lm_head.weight" ? name : `transformer.${name}`),
  otherName: (name) => name,
  isTransposed: () => false,
  isIgnored: (name) => /\.attn\.(bias|masked_bias)$/.test(name),
  copyOf: (name, { tiedHead }) => (tiedHead && name === "lm_head.weight" ? "wte.weight" : undefined),
};
