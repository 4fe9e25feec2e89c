// Models that trained places may stand before: virtual tokens, or keys and values of every layer.
import { fail } from "../base/index.ts";
import { KeyValuePrefix, type Module, VirtualTokens } from "../nn/index.ts";
import { Gpt } from "./gpt.ts";
import { Llama } from "./llama.ts";

/** Gives a model so many virtual tokens. Errors with `model/prompt`. */
export function addPrompt(model: Module, tokens: number): void {
  const able = requireRoom(model, tokens, "prompt");
  able.prompt = new VirtualTokens(tokens, able.config.width);
}

/** Gives every layer of a model so many keys and values; made by a layer of `projection` channels within, if given. Errors with `model/prompt`. */
export function addPrefix(
  model: Module,
  { tokens, projection: hidden }: { readonly tokens: number; readonly projection?: number | undefined },
): void {
  const able = requireRoom(model, tokens, "prefix");
  const { layers, width } = able.config;
  const [heads, headWidth] = keyValueSizes(able.config);
  const projection = hidden === undefined ? undefined : { width, hidden };
  able.prefix = new KeyValuePrefix({ tokens, channels: 2 * layers * heads * headWidth, projection });
}

/** Heads of a model's keys and values, and channels of each. */
export const keyValueSizes = (config: (Gpt | Llama)["config"]): [heads: number, width: number] =>
  "keyValueHeads" in config ? [config.keyValueHeads, config.headWidth] : [config.heads, config.width / config.heads];

function requireRoom(model: Module, tokens: number, key: "prompt" | "prefix"): Gpt | Llama {
  if (!(model instanceof Gpt || model instanceof Llama))
    return fail("model/prompt", "nothing can be trained before the texts of this model", {
      where: `adapter.${key}`,
      expected: "a language model of the families gpt and llama",
      got: model.constructor.name,
      fix: "adapter: { lora: … }",
    });
  roomBehind(tokens, model.config.context, `adapter.${key}.tokens`);
  return model;
}

/** Tokens of a text behind so many trained places. Errors with `model/prompt` where there are none. */
export function roomBehind(tokens: number, context: number, where: string): number {
  if (tokens < context) return context - tokens;
  return fail("model/prompt", "what is trained before a text leaves it no room", {
    where,
    expected: `fewer than the context of ${context}`,
    got: String(tokens),
    fix: "train fewer: 20 to 100 are usual",
  });
}

/** Name of the table of a model's own tokens, whose rows virtual ones may begin as. */
export const tokenTableName = (model: Module): string =>
  model instanceof Gpt ? "wte.weight" : "model.embed_tokens.weight";
