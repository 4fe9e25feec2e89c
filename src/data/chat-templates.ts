// Chat templates: those known by name, and those that travel with a model, in tokenizer_config.json or chat_template.jinja. Renders nothing.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../base/index.ts";

/** A template in Jinja, and the tokens that it calls by name. */
export interface ChatTemplate {
  readonly source: string;
  readonly bos?: string | undefined;
  readonly eos?: string | undefined;
  /** Special tokens that its text holds: a tokenizer trained with it has them. */
  readonly tokens: readonly string[];
}

/** `<mark>role\ncontent<end>\n` for each message. */
function marked(mark: string, end: string, { assistant = "assistant", content = "message.content" } = {}): string {
  const role =
    assistant === "assistant" ? "message.role" : `('${assistant}' if message.role == 'assistant' else message.role)`;
  return `{% for message in messages %}{{ '${mark}' + ${role} + '\\n' + ${content} + '${end}\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '${mark}${assistant}\\n' }}{% endif %}`;
}

export const chatTemplateNames = ["chatml", "llama3", "gemma", "mistral", "alpaca"] as const;
export type ChatTemplateName = (typeof chatTemplateNames)[number];

/** As their models publish them, for plain conversations: without tools, dates and default system messages. */
export const chatTemplates: { readonly [name in ChatTemplateName]: ChatTemplate } = {
  /** Of Qwen and many others. */
  chatml: { source: marked("<|im_start|>", "<|im_end|>"), eos: "<|im_end|>", tokens: ["<|im_start|>", "<|im_end|>"] },
  llama3: {
    source:
      "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    bos: "<|begin_of_text|>",
    eos: "<|eot_id|>",
    tokens: ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
  },
  gemma: {
    source: `{{ bos_token }}${marked("<start_of_turn>", "<end_of_turn>", { assistant: "model", content: "message.content | trim" })}`,
    bos: "<bos>",
    eos: "<end_of_turn>",
    tokens: ["<bos>", "<start_of_turn>", "<end_of_turn>"],
  },
  mistral: {
    source:
      "{{ bos_token }}{% for message in messages %}{% if message.role == 'assistant' %}{{ message.content + eos_token + ' ' }}{% elif message.role == 'user' %}{{ '[INST] ' + message.content + ' [/INST]' }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
    bos: "<s>",
    eos: "</s>",
    tokens: ["<s>", "</s>"],
  },
  /** Headings in plain text (Taori et al. 2023): for a model whose only special token is the end of a text, such as GPT-2. */
  alpaca: {
    source:
      "{% for message in messages %}{% if message.role == 'assistant' %}{{ '### Response:\\n' + message.content + eos_token + '\\n\\n' }}{% elif message.role == 'user' %}{{ '### Instruction:\\n' + message.content + '\\n\\n' }}{% else %}{{ message.content + '\\n\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}",
    eos: "<|endoftext|>",
    tokens: ["<|endoftext|>"],
  },
};

export const tokenizerConfigName = "tokenizer_config.json";
export const templateFileName = "chat_template.jinja";

type TokenizerConfig = { readonly [key: string]: unknown };

/**
 * The template of a `tokenizer_config.json`, or of the `chat_template.jinja` beside it; `undefined` where neither has one. Errors with
 * `data/chat-template`.
 */
export function templateOf(
  config: string | undefined,
  jinja: string | undefined,
  where: string,
): ChatTemplate | undefined {
  const parsed = config === undefined ? {} : parseConfigText(config, where);
  const source = jinja ?? defaultTemplate(parsed.chat_template);
  if (source === undefined) return undefined;
  return { source, bos: tokenOf(parsed.bos_token), eos: tokenOf(parsed.eos_token), tokens: [] };
}

/** The template that lies in a folder, beside a tokenizer. */
export async function readChatTemplate(folder: string): Promise<ChatTemplate | undefined> {
  const text = (name: string) => readFile(join(folder, name), "utf8").catch(() => undefined);
  return templateOf(await text(tokenizerConfigName), await text(templateFileName), join(folder, tokenizerConfigName));
}

/** `tokenizer_config.json` as Transformers reads it. */
export function tokenizerConfig({ source, bos, eos }: ChatTemplate): string {
  const config = { tokenizer_class: "PreTrainedTokenizerFast", bos_token: bos, eos_token: eos, chat_template: source };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

function parseConfigText(text: string, where: string): TokenizerConfig {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as TokenizerConfig;
  } catch {
    // told below
  }
  return fail("data/chat-template", "the tokenizer's settings cannot be read", {
    where,
    expected: "a JSON object",
    got: text.slice(0, 80),
    fix: "download the folder again",
  });
}

/** A template alone, or of several the one called default. */
function defaultTemplate(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const chosen = value.find((one) => one?.name === "default") ?? value[0];
  return typeof chosen?.template === "string" ? chosen.template : undefined;
}

/** A token by its text, or as an object with its content. */
function tokenOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  const content = (value as { content?: unknown } | null | undefined)?.content;
  return typeof content === "string" ? content : undefined;
}
