// The key `data.chat`: conversations to learn from, and how they are written.

import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { fail } from "../base/index.ts";
import {
  type ChatTemplate,
  type ChatTemplateName,
  chatLayouts,
  chatLosses,
  chatTemplateNames,
  chatTemplates,
  longPolicies,
  readChatTemplate,
  templateFileName,
  templateOf,
  tokenizerConfigName,
} from "../data/index.ts";
import type { PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";

export const chatSchema = z.strictObject({
  rows: z.enum(chatLayouts).optional().describe("layout of the rows, see below; left out, by their columns"),
  prompt: z
    .string()
    .min(1)
    .optional()
    .describe("rows of prompt and completion: column of the prompt; left out, prompt"),
  completion: z.string().min(1).optional().describe("and of the completion; left out, completion"),
  system: z
    .string()
    .min(1)
    .optional()
    .describe("said before conversations that have no system message; left out, nothing"),
  template: z
    .union([
      z.enum(chatTemplateNames),
      z.string().regex(/\.jinja$/, `expected ${chatTemplateNames.join(", ")}, or a .jinja file`),
    ])
    .optional()
    .describe(
      `how a conversation is written: ${chatTemplateNames.join(", ")}, or a .jinja file; left out, as it says beside tokenizer.json, else chatml`,
    ),
  loss: z
    .enum(chatLosses)
    .default("assistant")
    .describe("what is learnt: the assistant's messages, the last of them alone, or every token"),
  onLong: z
    .enum(longPolicies)
    .default("error")
    .describe("a conversation longer than the context: refuse it, cut its end off, or leave it out"),
});

/**
 * The template of a recipe: a trained model's own, the one it names, or the one that lies beside its tokenizer. Errors with
 * `data/chat-template`.
 */
export async function chatTemplate(recipe: Recipe, { files }: Pick<PrepareOptions, "files">): Promise<ChatTemplate> {
  const saved = templateOf(files?.get(tokenizerConfigName), files?.get(templateFileName), tokenizerConfigName);
  if (saved !== undefined) return saved;
  const { tokenizer, data } = recipe;
  const beside =
    typeof tokenizer === "string" && tokenizer.endsWith(".json")
      ? await readChatTemplate(dirname(tokenizer))
      : undefined;
  const named = data.chat?.template;
  if (named === undefined) return beside ?? chatTemplates.chatml;
  if (named in chatTemplates) return chatTemplates[named as ChatTemplateName];
  const source = await readFile(named, "utf8").catch((cause: NodeJS.ErrnoException) =>
    fail("data/chat-template", "the chat template cannot be read", {
      where: "data.chat.template",
      expected: `a file, or one of ${chatTemplateNames.join(", ")}`,
      got: `${named}: ${cause.code}`,
      fix: "check the path; it counts from the recipe's folder",
      cause,
    }),
  );
  return { source, bos: beside?.bos, eos: beside?.eos, tokens: [] };
}
