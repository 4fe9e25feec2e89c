// The folders of Llama and of what is shaped like it: Mistral, Mixtral, Qwen2, Qwen3 and its mixtures. Linear layers are [out, in] there.
import { z } from "zod";
import type { LlamaConfig } from "../models/index.ts";
import type { ExpertsConfig, RotaryConfig, RotaryScaling } from "../nn/index.ts";
import type { HubConfig, HubLayout } from "./layout.ts";

const size = z.number().int().positive().max(2_147_483_648);
const layers = z.number().int().positive().max(2000);
const number = z.number().positive();

const types = ["default", "linear", "llama3", "yarn"] as const;
const whole = z.literal(1, { error: "heads that turn in part are not known here" }).nullish();
const plainValue = z.union([z.number(), z.string(), z.boolean(), z.null()], { error: "is not known here" });

/** `rope_parameters` of today, `rope_scaling` with `rope_theta` beside it of yesterday. */
const ropeSchema = z
  .object({
    rope_type: z.enum(types).optional(),
    type: z.enum(types).optional(),
    rope_theta: number.optional(),
    factor: number.optional(),
    low_freq_factor: number.optional(),
    high_freq_factor: number.optional(),
    original_max_position_embeddings: size.optional(),
    beta_fast: number.nullish(),
    beta_slow: number.nullish(),
    attention_factor: number.nullish(),
    partial_rotary_factor: whole,
    mscale: z.undefined({ error: "is not known here" }).optional(),
    truncate: z.literal(true, { error: "only true is known here" }).optional(),
  })
  .catchall(plainValue)
  .superRefine((rope, { addIssue }) => {
    const scaled = ["factor"] as const;
    const needed = {
      linear: scaled,
      yarn: scaled,
      llama3: [...scaled, "low_freq_factor", "high_freq_factor"],
    } as const;
    for (const name of needed[typeOf(rope) as keyof typeof needed] ?? [])
      if (rope[name] === undefined) addIssue({ code: "custom", path: [name], message: "missing" });
  });

type RopeType = (typeof types)[number];
const typeOf = ({ rope_type, type }: { rope_type?: RopeType | undefined; type?: RopeType | undefined }) =>
  rope_type ?? type ?? "default";

const schema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: layers,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  max_position_embeddings: size,
  original_max_position_embeddings: size.optional(),
  rms_norm_eps: number.optional(),
  rope_theta: number.optional(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  partial_rotary_factor: whole,
  tie_word_embeddings: z.boolean().default(false),
  hidden_act: z.literal("silu", { error: "only silu is known here" }).default("silu"),
  attention_bias: z.literal(false, { error: "biases of all projections are not known here" }).default(false),
  mlp_bias: z.literal(false, { error: "biases in the feed-forward part are not known here" }).default(false),
  use_sliding_window: z.literal(false, { error: "windows in some layers alone are not known here" }).default(false),
  sliding_window: size.nullish(),
  layer_types: z
    .array(z.literal("full_attention", { error: "windows in some layers alone are not known here" }))
    .nullish(),
  num_local_experts: size.optional(),
  num_experts: size.optional(),
  num_experts_per_tok: size.optional(),
  moe_intermediate_size: size.default(768),
  norm_topk_prob: z.boolean().default(false),
  decoder_sparse_step: z.literal(1, { error: "experts in some layers alone are not known here" }).default(1),
  mlp_only_layers: z.array(z.never({ error: "experts in some layers alone are not known here" })).nullish(),
  router_aux_loss_coef: z.number().nonnegative().default(0.001),
});
type Theirs = z.output<typeof schema>;

/** What comes first where several say the same is Transformers' order. */
function rotaryOf(config: Theirs, defaultBase: number): RotaryConfig {
  const rope = config.rope_scaling ?? config.rope_parameters ?? {};
  const base = rope.rope_theta ?? config.rope_theta ?? defaultBase;
  const type = typeOf(rope);
  if (type === "default") return { base };
  const { factor = 1, original_max_position_embeddings: inside = config.max_position_embeddings } = rope;
  const originalContext = config.original_max_position_embeddings ?? inside;
  if (type === "linear") return { base, scaling: { type, factor } };
  if (type === "llama3") {
    const { low_freq_factor: lowFrequency = 1, high_freq_factor: highFrequency = 4 } = rope;
    return { base, scaling: { type, factor, lowFrequency, highFrequency, originalContext } };
  }
  const { beta_fast, beta_slow, attention_factor } = rope;
  const given = { fast: beta_fast, slow: beta_slow, magnitude: attention_factor };
  const numbers = Object.fromEntries(Object.entries(given).filter(([, value]) => value != null));
  return { base, scaling: { type, factor, originalContext, ...numbers } };
}

function ropeOf({ base, scaling }: RotaryConfig): HubConfig {
  return {
    rope_type: scaling?.type ?? "default",
    rope_theta: base,
    ...(scaling === undefined ? {} : scalingOf(scaling)),
  };
}

function scalingOf(scaling: RotaryScaling): HubConfig {
  const { factor } = scaling;
  if (scaling.type === "linear") return { factor };
  const both = { factor, original_max_position_embeddings: scaling.originalContext };
  if (scaling.type === "llama3")
    return { ...both, low_freq_factor: scaling.lowFrequency, high_freq_factor: scaling.highFrequency };
  const { fast, slow, magnitude } = scaling;
  const given = { beta_fast: fast, beta_slow: slow, attention_factor: magnitude };
  return { ...both, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}

/** How a file tells of a mixture of experts. */
interface Mixture {
  /** Defaults of its files: of the norms, and of the rotary positions. */
  readonly eps: number;
  readonly base: number;
  readonly schema: z.ZodType<Theirs>;
  /** Channels within an expert. */
  hidden(config: Theirs): number;
  read(config: Theirs): ExpertsConfig;
  write(experts: ExpertsConfig, hidden: number): HubConfig;
  readonly fileName: HubLayout["fileName"];
}

const mixtral: Mixture = {
  ...{ eps: 1e-5, base: 1e6, schema },
  hidden: (config) => config.intermediate_size,
  read: ({ num_local_experts: count = 8, num_experts_per_tok: chosen = 2, router_aux_loss_coef: balance }) => ({
    ...{ count, chosen, balance },
    z: 0,
  }),
  write: ({ count, chosen, balance }, hidden) => ({
    intermediate_size: hidden,
    num_local_experts: count,
    num_experts_per_tok: chosen,
    router_aux_loss_coef: balance,
  }),
  fileName: (name) => name,
};

const qwenNames: { readonly [ours: string]: string } = { w1: "gate_proj", w2: "down_proj", w3: "up_proj" };
const qwen3Mixture: Mixture = {
  ...{ eps: 1e-6, base: 1e4 },
  schema: schema.extend({ intermediate_size: size.default(6144) }), // of layers without experts: there are none
  hidden: (config) => config.moe_intermediate_size,
  // some files call the experts local, as Mixtral's do
  read: ({ num_local_experts = 128, num_experts: count = num_local_experts, ...config }) => ({
    count,
    chosen: config.num_experts_per_tok ?? 8,
    normalized: config.norm_topk_prob,
    balance: config.router_aux_loss_coef,
    z: 0,
  }),
  write: ({ count, chosen, balance, normalized = true }, hidden) => ({
    num_experts: count,
    num_experts_per_tok: chosen,
    moe_intermediate_size: hidden,
    norm_topk_prob: normalized,
    router_aux_loss_coef: balance,
  }),
  fileName: (name) =>
    name
      .replace(".block_sparse_moe.", ".mlp.")
      .replace(/\.(w[123])\.weight$/, (_, ours) => `.${qwenNames[ours]}.weight`),
};

/** What sets one of the published models apart from the others. */
interface Kind extends Pick<HubLayout<LlamaConfig>, "modelType" | "architecture" | "holds"> {
  /** Settings that the file need not name. */
  readonly settings: Pick<LlamaConfig, "attentionBias" | "headNorm">;
  /** The sliding window where the file does not name it; left out, the model has none whatever the file says. */
  readonly window?: number;
  readonly mixture?: Mixture;
  /** Channels of a head where the file says nothing; left out, width / heads. */
  readonly headWidth?: number;
}

const layoutOf = ({ settings, window, mixture, headWidth, ...kind }: Kind): HubLayout<LlamaConfig, Theirs> => ({
  ...kind,
  family: "llama",
  schema: mixture?.schema ?? schema,
  read: (config) => ({
    vocab: config.vocab_size,
    context: config.max_position_embeddings,
    width: config.hidden_size,
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    keyValueHeads: config.num_key_value_heads ?? config.num_attention_heads,
    headWidth: config.head_dim ?? headWidth ?? config.hidden_size / config.num_attention_heads,
    hidden: mixture?.hidden(config) ?? config.intermediate_size,
    // null is none; a file that does not name it has Transformers' default
    window: window === undefined ? 0 : ((config.sliding_window === undefined ? window : config.sliding_window) ?? 0),
    ...settings,
    tiedHead: config.tie_word_embeddings,
    eps: config.rms_norm_eps ?? mixture?.eps ?? 1e-6,
    rotary: rotaryOf(config, mixture?.base ?? 1e4),
    ...(mixture && { experts: mixture.read(config) }),
  }),
  write: (config) => ({
    vocab_size: config.vocab,
    max_position_embeddings: config.context,
    hidden_size: config.width,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.keyValueHeads,
    head_dim: config.headWidth,
    ...(window !== undefined ? { sliding_window: config.window === 0 ? null : config.window } : {}),
    hidden_act: "silu",
    rms_norm_eps: config.eps,
    tie_word_embeddings: config.tiedHead,
    rope_theta: config.rotary.base,
    rope_parameters: ropeOf(config.rotary),
    ...(config.experts && mixture
      ? mixture.write(config.experts, config.hidden)
      : { intermediate_size: config.hidden }),
  }),
  fileName: mixture?.fileName ?? ((name) => name),
  isTransposed: (name, { length }) => length === 2 && !name.includes("embed_tokens"),
  isIgnored: (name) => name.endsWith(".rotary_emb.inv_freq"),
  copyOf: (name, { tiedHead }) => (tiedHead && name === "lm_head.weight" ? "model.embed_tokens.weight" : undefined),
});

const plain = { attentionBias: false, headNorm: false };

/** The plainest first. */
export const llamaLayouts = [
  layoutOf({
    ...{ modelType: "llama", architecture: "LlamaForCausalLM", settings: plain },
    holds: ({ attentionBias, headNorm, window, experts }) => !(attentionBias || headNorm || window > 0 || experts),
  }),
  layoutOf({
    ...{ modelType: "mistral", architecture: "MistralForCausalLM", settings: plain, window: 4096 },
    holds: ({ attentionBias, headNorm, experts }) => !(attentionBias || headNorm || experts),
  }),
  layoutOf({
    ...{ modelType: "mixtral", architecture: "MixtralForCausalLM", settings: plain, window: 0, mixture: mixtral },
    holds: ({ attentionBias, headNorm, experts }) =>
      experts !== undefined && experts.normalized !== false && !(attentionBias || headNorm),
  }),
  layoutOf({
    ...{ modelType: "qwen2", architecture: "Qwen2ForCausalLM" },
    settings: { attentionBias: true, headNorm: false },
    holds: ({ attentionBias, headNorm, window, experts }) => attentionBias && !(headNorm || window > 0 || experts),
  }),
  layoutOf({
    ...{ modelType: "qwen3", architecture: "Qwen3ForCausalLM", headWidth: 128 },
    settings: { attentionBias: false, headNorm: true },
    holds: ({ attentionBias, headNorm, window, experts }) => headNorm && !(attentionBias || window > 0 || experts),
  }),
  layoutOf({
    ...{ modelType: "qwen3_moe", architecture: "Qwen3MoeForCausalLM", mixture: qwen3Mixture },
    settings: { attentionBias: false, headNorm: true },
    holds: ({ attentionBias, headNorm, window, experts }) =>
      headNorm && experts !== undefined && !(attentionBias || window > 0),
  }),
];
