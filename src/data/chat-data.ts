// Conversations made ready for a language model: rows read, split, written by a chat template, encoded, and held to the context.
import { fail } from "../base/index.ts";
import { byteTokenizer } from "./bpe-tokenizer.ts";
import { ChatFormat, type ChatLoss, type TokenSequence } from "./chat-format.ts";
import { type ChatRowOptions, readConversation } from "./chat-rows.ts";
import type { ChatTemplate } from "./chat-templates.ts";
import { type JsonInput, type JsonRecords, readJsonRecords } from "./json-records.ts";
import { splitRows } from "./split.ts";
import { makeTokenizer } from "./text-classification.ts";
import type { TextOptions } from "./text-source.ts";
import { TokenSequences } from "./token-sequences.ts";
import type { TokenizerSpec } from "./tokenize-text.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { isTrained } from "./training-settings.ts";

/** A conversation that is longer than the context: refuse the data, cut its end off, or leave it out. */
export const longPolicies = ["error", "truncate", "drop"] as const;
export type LongPolicy = (typeof longPolicies)[number];

export interface ChatDataOptions extends ChatRowOptions, TextOptions {
  /** One that is trained here, or made of bytes, gets the template's special tokens. */
  readonly tokenizer: TokenizerSpec | Tokenizer;
  readonly template: ChatTemplate;
  /** Positions of a row: a conversation may have one token more. */
  readonly context: number;
  /** What the loss counts. Default `assistant`. */
  readonly loss?: ChatLoss;
  /** Default `error`. */
  readonly onLong?: LongPolicy;
  /** Share of the conversations that is held out. Default 0.1. */
  readonly validation?: number;
  readonly seed?: number;
}

/** Conversations ready for training. */
export interface ChatData extends Pick<JsonRecords, "name" | "sha256" | "skipped" | "replaced"> {
  readonly tokenizer: Tokenizer;
  readonly format: ChatFormat;
  readonly train: TokenSequences;
  readonly validation: TokenSequences;
  /** Conversations that were cut, and those left out: too long, or with nothing left to learn. */
  readonly cut: number;
  readonly dropped: number;
}

/**
 * Reads conversations and encodes them. Errors: `data/chat-row`, `data/chat-template`, `data/chat-tokens`, `data/chat-long`,
 * `data/chat-target`, `data/split` and those of reading.
 */
export async function prepareChat(input: JsonInput, options: ChatDataOptions): Promise<ChatData> {
  const { template, loss = "assistant", validation = 0.1, seed = 0 } = options;
  const rows = await readJsonRecords(input, options);
  const conversations = rows.records.map((row, at) => readConversation(row, rows.places[at]!, options));
  const split = splitRows(conversations.length, { validation, seed });
  const tokenizer = await chatTokenizer(options.tokenizer, template, () =>
    split.train.flatMap((at) => conversations[at]!.map(({ content }) => content)),
  );
  const format = await ChatFormat.create(template, tokenizer);
  const fitted = conversations.map((one, at) => fit(format.encode(one, loss), rows.places[at]!, options));
  const dropped = fitted.filter((one) => one === undefined).length;
  const part = (name: string, positions: readonly number[]) => {
    const kept = positions.flatMap((at) => fitted[at]?.sequence ?? []);
    if (kept.length > 0 || positions.length === 0) return new TokenSequences(kept);
    return fail(
      "data/chat-target",
      `no ${name} conversation is left that fits the context and has something to learn`,
      {
        where: rows.name,
        expected: `conversations of up to ${options.context + 1} tokens with an answer in them`,
        got: `${positions.length} that are longer`,
        fix: "raise the model's context",
      },
    );
  };
  const { name, sha256, skipped, replaced } = rows;
  return {
    ...{ name, sha256, skipped, replaced, tokenizer, format, dropped },
    cut: fitted.filter((one) => one?.isCut).length,
    train: part("training", split.train),
    validation: part("held-out", split.validation),
  };
}

/** The sequence within the context, `undefined` where it is left out. Errors with `data/chat-long`, `data/chat-target`. */
function fit(
  sequence: TokenSequence,
  where: string,
  { context, onLong = "error" }: ChatDataOptions,
): { sequence: TokenSequence; isCut: boolean } | undefined {
  const { ids, trained } = sequence;
  const most = context + 1;
  if (!trained.includes(1, 1))
    fail("data/chat-target", "a conversation has nothing to learn", {
      where,
      expected: "an answer of the assistant with at least one token",
      got: `${ids.length} tokens, none of them the assistant's`,
      fix: "take the row out, or set data.chat.loss: all",
    });
  if (ids.length <= most) return { sequence, isCut: false };
  if (onLong === "error")
    fail("data/chat-long", "a conversation is longer than the context", {
      where,
      expected: `at most ${most} tokens`,
      got: `${ids.length} tokens, the first answer from token ${trained.indexOf(1) + 1} on`,
      fix: `raise the model's context to ${ids.length - 1}, or set data.chat.onLong: truncate or drop`,
    });
  if (onLong === "drop" || !trained.subarray(0, most).includes(1, 1)) return undefined;
  return { sequence: { ids: ids.subarray(0, most), trained: trained.subarray(0, most) }, isCut: true };
}

/** A tokenizer with the special tokens of a template, as far as it is made here. Errors with `data/chat-tokens`, `tokenizer/*`. */
export async function chatTokenizer(
  spec: TokenizerSpec | Tokenizer,
  { tokens }: ChatTemplate,
  texts: () => readonly string[],
): Promise<Tokenizer> {
  if (spec === "char")
    return fail("data/chat-tokens", "characters have no special tokens, and turns could not be told apart", {
      where: "tokenizer",
      expected: "byte, one to train, such as { bpe: vocabulary size }, or a tokenizer.json",
      got: "char",
      fix: "set tokenizer: { bpe: 1024 }",
    });
  if (spec === "byte") return byteTokenizer(tokens);
  if (isTrained(spec)) {
    const specialTokens = [...new Set([...tokens, ...(spec.specialTokens ?? [])])];
    return await makeTokenizer({ ...spec, specialTokens }, texts(), []);
  }
  return await makeTokenizer(spec, [], []);
}
