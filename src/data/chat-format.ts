// Conversations as tokens: a chat template, rendered, cut where turns begin, and encoded; and which of the tokens a model shall learn to
// write. Whoever trains and whoever generates goes through here, so that a prompt has the same tokens for both.
import type { Template } from "@huggingface/jinja";
import { AthanorError, fail } from "../base/index.ts";
import type { ChatMessage, Conversation } from "./chat-rows.ts";
import type { ChatTemplate } from "./chat-templates.ts";
import { IdBuffer, type Tokenizer } from "./tokenizer.ts";

/** Which messages the loss counts: all of the assistant, its last one alone, or every token there is. */
export const chatLosses = ["assistant", "last", "all"] as const;
export type ChatLoss = (typeof chatLosses)[number];

/** Token ids, and 1 where the loss counts them. */
export interface TokenSequence {
  readonly ids: Int32Array;
  readonly trained: Uint8Array;
}

/** A piece of a rendered conversation. */
interface Segment {
  readonly text: string;
  /** It is a message of the assistant, from where generation would begin. */
  readonly isTurn: boolean;
}

const maxTemplateLength = 2 ** 18;
/** What templates that ask for today are told: the same rows give the same tokens on any day. */
const today = "26 Jul 2024";

/**
 * A tokenizer's way of writing conversations.
 *
 * @example
 * ```ts run
 * import { byteTokenizer, ChatFormat, chatTemplates } from "athanor";
 * const tokenizer = byteTokenizer(chatTemplates.chatml.tokens);
 * const format = await ChatFormat.create(chatTemplates.chatml, tokenizer);
 * const { ids, trained } = format.encode([
 *   { role: "user", content: "2 + 2?" },
 *   { role: "assistant", content: "4" },
 * ]);
 * console.log(tokenizer.decode(ids.filter((_, at) => trained[at]))); // 4<|im_end|>
 * ```
 */
export class ChatFormat {
  readonly template: ChatTemplate;
  /** Ids that end an answer. */
  readonly endTokens: readonly number[];
  /** The text of the token that ends a turn. */
  readonly end: string;
  private readonly tokenizer: Tokenizer;
  private readonly parsed: Template;
  private readonly special: RegExp | undefined;

  private constructor(template: ChatTemplate, tokenizer: Tokenizer, parsed: Template) {
    this.template = template;
    this.tokenizer = tokenizer;
    this.parsed = parsed;
    const names = [...tokenizer.specialTokens.keys()].toSorted((a, b) => b.length - a.length);
    const added = new Map((tokenizer.toJSON().added_tokens ?? []).map((token) => [token.content, token]));
    const pattern = (name: string) => {
      const { lstrip = false, rstrip = false } = added.get(name) ?? {};
      return `${lstrip ? "\\s*" : ""}${escapeText(name)}${rstrip ? "\\s*" : ""}`;
    };
    this.special = names.length === 0 ? undefined : new RegExp(`(${names.map(pattern).join("|")})`, "u");
    this.end = this.findEnd();
    const ends = [this.end, ...(template.eos === undefined ? [] : [template.eos])];
    this.endTokens = [...new Set(ends.flatMap((name) => tokenizer.specialTokens.get(name) ?? []))];
  }

  /** Errors with `data/chat-template`, and `data/chat-tokens` where the tokenizer lacks a token that the template needs. */
  static async create(template: ChatTemplate, tokenizer: Tokenizer): Promise<ChatFormat> {
    const missing = template.tokens.filter((name) => !tokenizer.specialTokens.has(name));
    if (missing.length > 0)
      fail("data/chat-tokens", "the tokenizer lacks special tokens of the chat template", {
        where: "data.chat.template",
        expected: template.tokens.join(", "),
        got: [...tokenizer.specialTokens.keys()].join(", ") || "no special tokens",
        fix: "choose the template that the model was trained with, or a tokenizer that has these tokens",
      });
    if (template.source.length > maxTemplateLength)
      fail("data/chat-template", "the chat template is longer than its bound", {
        where: "data.chat.template",
        expected: `at most ${maxTemplateLength} characters`,
        got: String(template.source.length),
      });
    const jinja = await import("@huggingface/jinja");
    try {
      const fixed = `{% set strftime_now = athanor_today %}\n`; // the newline is the block's
      return new ChatFormat(template, tokenizer, new jinja.Template(`${fixed}${template.source}`));
    } catch (error) {
      if (error instanceof AthanorError) throw error;
      return failTemplate("cannot be read", error);
    }
  }

  /** The text of a conversation; with `answer` up to where the assistant's next message begins. Errors with `data/chat-template`. */
  render(messages: Conversation, { answer = false } = {}): string {
    const { bos = "", eos = "" } = this.template;
    try {
      return this.parsed.render({
        ...{ messages, add_generation_prompt: answer, bos_token: bos, eos_token: eos },
        athanor_today: () => today,
      });
    } catch (error) {
      return failTemplate("does not take this conversation", error);
    }
  }

  /**
   * Tokens of a conversation, and which of them a model learns to write: those of the assistant up to the end of its turn. Text in a
   * message that looks like a special token stays text. Errors with `data/chat-template`.
   */
  encode(messages: Conversation, loss: ChatLoss = "assistant"): TokenSequence {
    const { segments, guard } = this.cut(messages, false, loss);
    const parts = segments.map(({ text, isTurn }) => {
      const ids = this.tokensOf(text, guard);
      const end = isTurn ? ids.findLastIndex((id) => this.endTokens.includes(id)) : -1;
      return { ids, trained: loss === "all" ? ids.length : end + 1 };
    });
    const length = parts.reduce((sum, { ids }) => sum + ids.length, 0);
    const [ids, trained] = [new Int32Array(length), new Uint8Array(length)];
    let at = 0;
    for (const part of parts) {
      ids.set(part.ids, at);
      trained.fill(1, at, at + part.trained);
      at += part.ids.length;
    }
    return { ids, trained };
  }

  /** Tokens of the conversation up to where the assistant's answer begins. */
  prompt(messages: Conversation): Int32Array {
    const { segments, guard } = this.cut(messages, true);
    const ids = new IdBuffer();
    for (const { text } of segments) {
      const part = this.tokensOf(text, guard);
      ids.append(part, 0, part.length);
    }
    return ids.toArray();
  }

  /** The rendered text, cut where a message of the assistant begins and ends. */
  private cut(given: Conversation, answer: boolean, loss?: ChatLoss): { segments: Segment[]; guard: string } {
    const { messages, guard } = this.guarded(given);
    const whole = this.render(messages, { answer });
    const segments: Segment[] = [];
    let done = "";
    const last = messages.findLastIndex(({ role }) => role === "assistant");
    messages.forEach(({ role }, at) => {
      if (role !== "assistant" || (loss === "last" && at !== last)) return;
      const before = this.render(messages.slice(0, at), { answer: true });
      const after = at === messages.length - 1 && !answer ? whole : this.render(messages.slice(0, at + 1));
      if (whole.startsWith(after) && after.startsWith(before) && before.startsWith(done)) {
        segments.push({ text: before.slice(done.length), isTurn: false });
        segments.push({ text: after.slice(before.length), isTurn: true });
        done = after;
      } else if (loss === "assistant" || loss === "last") {
        fail("data/chat-template", "the chat template writes a turn otherwise once others follow it", {
          where: "data.chat.template",
          expected: "the text of a conversation's beginning at the beginning of its text",
          got: `another text for message ${at + 1} of ${messages.length}`,
          fix: "data.chat.loss: last, which counts the last answer alone; or another template",
        });
      }
    });
    return { segments: [...segments, { text: whole.slice(done.length), isTurn: false }], guard };
  }

  /** The messages, with a character that stands in none of them put into whatever looks like a special token. */
  private guarded(messages: Conversation): { messages: ChatMessage[]; guard: string } {
    const isUsed = (character: string) => messages.some(({ content }) => content.includes(character));
    const guard = Array.from({ length: 32 }, (_, at) => String.fromCodePoint(0xfdd0 + at)).find((one) => !isUsed(one))!;
    const names = [...this.tokenizer.specialTokens.keys()];
    const guardOne = (content: string) =>
      names.reduce((text, name) => text.replaceAll(name, () => `${name[0]}${guard}${name.slice(1)}`), content);
    return { messages: messages.map((one) => ({ ...one, content: guardOne(one.content) })), guard };
  }

  /** Ids of rendered text: special tokens of the template, and the text between them. */
  private tokensOf(text: string, guard: string): Int32Array {
    const { special, tokenizer } = this;
    const ids = new IdBuffer();
    // a pattern with a group: every second piece is a special token
    (special === undefined ? [text] : text.split(special)).forEach((piece, at) => {
      const id =
        at % 2 === 1 ? (tokenizer.specialTokens.get(piece) ?? tokenizer.specialTokens.get(piece.trim())) : undefined;
      const part = id === undefined ? tokenizer.encode(piece.replaceAll(guard, "")) : Int32Array.of(id);
      ids.append(part, 0, part.length);
    });
    return ids.toArray();
  }

  /** The first special token behind an answer. Errors with `data/chat-template` where there is none. */
  private findEnd(): string {
    const asked = [{ role: "user", content: "question" }] as const;
    const answer = "an answer";
    const turn = this.render([...asked, { role: "assistant", content: answer }]);
    const tail = turn.slice(turn.lastIndexOf(answer) + answer.length);
    const end = this.special?.exec(tail)?.[0].trim();
    if (end !== undefined) return end;
    return fail(
      "data/chat-template",
      "the chat template ends an answer with no special token: generation would not end",
      {
        where: "data.chat.template",
        expected: "a special token of the tokenizer behind the assistant's message",
        got: JSON.stringify(tail.slice(0, 80)),
        fix: "use the tokenizer that the template was made for",
      },
    );
  }
}

function escapeText(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}

function failTemplate(what: string, cause: unknown): never {
  fail("data/chat-template", `the chat template ${what}`, {
    where: "data.chat.template",
    expected: "a template in Jinja that renders messages of the roles system, user and assistant",
    got: (cause as Error).message.slice(0, 300),
    fix: "check the order of the roles: many templates want user and assistant by turns",
    cause,
  });
}
