// Models that virtual tokens may stand before.
import { fail } from "../base/index.ts";
import { type Module, VirtualTokens } from "../nn/index.ts";
import { Gpt } from "./gpt.ts";
import { Llama } from "./llama.ts";

/** Gives a model so many virtual tokens. Errors with `model/prompt`. */
export function addPrompt(model: Module, tokens: number): void {
  if (!(model instanceof Gpt || model instanceof Llama))
    fail("model/prompt", "virtual tokens cannot stand before this model", {
      where: "adapter.prompt",
      expected: "a language model of the families gpt and llama",
      got: model.constructor.name,
      fix: "adapter: { lora: … }",
    });
  const { context, width } = model.config;
  if (tokens >= context)
    fail("model/prompt", "the virtual tokens leave the text no room", {
      where: "adapter.prompt.tokens",
      expected: `fewer than the context of ${context}`,
      got: String(tokens),
      fix: "train fewer: 20 to 100 are usual",
    });
  model.prompt = new VirtualTokens(tokens, width);
}

/** Name of the table of a model's own tokens, whose rows virtual ones may begin as. */
export const tokenTableName = (model: Module): string =>
  model instanceof Gpt ? "wte.weight" : "model.embed_tokens.weight";
