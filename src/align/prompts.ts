// Prompts for a model that writes the completions itself: rows read, split and encoded.
import { fail } from "../base/index.ts";
import {
  type JsonInput,
  type JsonRecords,
  makeTokenizer,
  readJsonRecords,
  splitRows,
  type TextOptions,
  type Tokenizer,
  type TokenizerSpec,
} from "../data/index.ts";
import type { Prompt } from "./grpo-source.ts";

export interface PromptOptions extends TextOptions {
  readonly tokenizer: TokenizerSpec | Tokenizer;
  /** Positions of a row at most. */
  readonly context: number;
  /** Tokens of a completion at most. */
  readonly maxTokens: number;
  /** Text of the token that ends a completion. */
  readonly end: string;
  readonly validation?: number;
  readonly seed?: number;
}

export interface Prompts extends Pick<JsonRecords, "sha256" | "skipped" | "replaced"> {
  readonly tokenizer: Tokenizer;
  readonly endToken: number;
  readonly train: readonly Prompt[];
  readonly heldOut: readonly Prompt[];
  /** Positions that the longest prompt and its completion need. */
  readonly width: number;
}

/** Reads prompts: rows with `prompt`, a text, and whatever a reward looks at. Errors: `data/prompt-row`, `data/prompt-long`, `align/end`, `data/split`. */
export async function preparePrompts(input: JsonInput, options: PromptOptions): Promise<Prompts> {
  const { context, maxTokens, end, validation = 0.1, seed = 0 } = options;
  const { records, places, sha256, skipped, replaced } = await readJsonRecords(input, options);
  const texts = records.map((record, at) => {
    const { prompt } = (record ?? {}) as { prompt?: unknown };
    if (typeof prompt === "string" && prompt !== "") return prompt;
    return fail("data/prompt-row", "a row has no prompt", {
      where: places[at]!,
      expected: "prompt, a text",
      got: prompt === "" ? "an empty text" : typeof prompt,
      fix: "mend the row, or take it out",
    });
  });
  const known = records.flatMap((record) => Object.values(record as object).filter((one) => typeof one === "string"));
  const tokenizer = await makeTokenizer(options.tokenizer, texts, [...known, end]);
  const ids = texts.map((text) => Array.from(tokenizer.encode(text)));
  const longest = ids.reduce((most, { length }, at) => (length > ids[most]!.length ? at : most), 0);
  if (ids[longest]!.length > context)
    fail("data/prompt-long", "a prompt leaves no room for a completion", {
      where: places[longest]!,
      expected: `at most ${context} tokens`,
      got: String(ids[longest]!.length),
      fix: "raise the model's context, or take the row out",
    });
  const split = splitRows(records.length, { validation, seed });
  const part = (positions: readonly number[]) =>
    positions.map((at) => ({ text: texts[at]!, ids: ids[at]!, row: records[at] as Prompt["row"] }));
  return {
    ...{ sha256, skipped, replaced, tokenizer },
    endToken: tokenOf(end, tokenizer),
    train: part(split.train),
    heldOut: part(split.validation),
    width: Math.min(context, ids[longest]!.length + maxTokens - 1),
  };
}

/** The one token of a text, or the special token of this name. Errors with `align/end`. */
function tokenOf(end: string, tokenizer: Tokenizer): number {
  const ids = tokenizer.specialTokens.has(end) ? [tokenizer.specialTokens.get(end)!] : tokenizer.encode(end);
  if (ids.length === 1) return ids[0]!;
  return fail("align/end", "the end of a completion is not one token", {
    where: "loss.grpo.end",
    expected: "a text that is one token, or a special token's name",
    got: `${JSON.stringify(end)}: ${ids.length} tokens`,
    fix: `choose another, such as ${[...tokenizer.specialTokens.keys()][0] ?? '"\\n"'}`,
  });
}
