// Preference pairs made ready: rows read, split, encoded, and held to the context; what a reference thinks of them is written in later.
import { createHash } from "node:crypto";
import { fail, type HostArray } from "../base/index.ts";
import {
  type Batch,
  ChatFormat,
  type ChatRowOptions,
  type ChatTemplate,
  type Conversation,
  chatTokenizer,
  type Dataset,
  type JsonInput,
  type JsonRecords,
  makeTokenizer,
  readConversation,
  readJsonRecords,
  splitRows,
  type TextOptions,
  type Tokenizer,
  type TokenizerSpec,
} from "../data/index.ts";
import { type Completion, completionRows, positionsOf } from "./completions.ts";

/** Two completions of one prompt, as text. */
export interface PreferencePair {
  readonly prompt: string;
  readonly chosen: string;
  readonly rejected: string;
}

/** The two as tokens. */
export interface TokenPair {
  readonly chosen: Completion;
  readonly rejected: Completion;
}

export interface PreferenceOptions extends TextOptions {
  readonly tokenizer: TokenizerSpec | Tokenizer;
  /** Positions of a row at most: a longer prompt loses its beginning, then a longer completion its end. */
  readonly context: number;
  /** Rows are conversations, whose last answers are compared: how they are read and written. */
  readonly chat?: (ChatRowOptions & { readonly template: ChatTemplate }) | undefined;
  /** Completions that a method looks at, `mismatched` among them or not. */
  readonly sides: readonly string[];
  /** Share of the pairs that is held out. Default 0.1. */
  readonly validation?: number;
  readonly seed?: number;
}

export interface PreferenceData extends Pick<JsonRecords, "sha256" | "skipped" | "replaced"> {
  readonly tokenizer: Tokenizer;
  /** Of conversations. */
  readonly format: ChatFormat | undefined;
  readonly train: PairDataset;
  readonly validation: PairDataset;
  /** Positions that the longest pair needs. */
  readonly width: number;
  /** Pairs that were longer than the context. */
  readonly cut: number;
}

/** Pairs as rows of tokens. */
export class PairDataset implements Dataset<Batch> {
  readonly unit = "pair";
  readonly length: number;
  readonly fingerprint: string;
  readonly width: number;
  private readonly sides: ReadonlyMap<string, readonly Completion[]>;
  /** Log-probabilities of a side's completions by the reference, once they are known. */
  readonly reference = new Map<string, Float32Array>();

  constructor(pairs: readonly TokenPair[], width: number, sides: readonly string[]) {
    this.length = pairs.length;
    this.width = width;
    const completions: { readonly [side: string]: (pair: TokenPair, at: number) => Completion } = {
      chosen: ({ chosen }) => chosen,
      rejected: ({ rejected }) => rejected,
      // the completion of another prompt, cut to what the longest row has room for
      mismatched: ({ chosen: { prompt } }, at) => {
        const { completion } = pairs[(at + 1) % pairs.length]!.chosen;
        return { prompt, completion: Array.from(completion).slice(0, width + 1 - prompt.length) };
      },
    };
    this.sides = new Map(sides.map((side) => [side, pairs.map((pair, at) => completions[side]!(pair, at))]));
    const hash = createHash("sha256").update(`${width}/${sides}`);
    for (const rows of this.sides.values())
      for (const { prompt, completion } of rows) hash.update(`${prompt.length} ${Array.from(prompt)} ${completion}\n`);
    this.fingerprint = hash.digest("hex").slice(0, 16);
  }

  /** Some completions of a side. */
  completionsOf(side: string, positions: readonly number[]): Completion[] {
    const rows = this.sides.get(side)!;
    return positions.map((at) => rows[at]!);
  }

  /** Their `tokens` and `targets`, i32 [B, width]. */
  rowsOf(side: string, positions: readonly number[]): { tokens: HostArray; targets: HostArray } {
    return completionRows(this.completionsOf(side, positions), this.width);
  }

  collate(positions: readonly number[]): Batch {
    const shape = [positions.length];
    const batch: Batch = { targets: { dtype: "i32", shape, data: new Int32Array(positions.length) } };
    for (const side of this.sides.keys()) {
      const { tokens, targets } = this.rowsOf(side, positions);
      batch[`${side}.tokens`] = tokens;
      batch[`${side}.targets`] = targets;
      const known = this.reference.get(side);
      if (known !== undefined)
        batch[`${side}.reference`] = { dtype: "f32", shape, data: Float32Array.from(positions, (at) => known[at]!) };
    }
    return batch;
  }
}

/** Reads and encodes pairs. Errors: `data/preference-row`, `data/chat-*`, `data/preference-context`, `data/split` and those of reading. */
export async function preparePreferences(input: JsonInput, options: PreferenceOptions): Promise<PreferenceData> {
  const { context, sides, validation = 0.1, seed = 0 } = options;
  const { records, places, sha256, skipped, replaced } = await readJsonRecords(input, options);
  const split = splitRows(records.length, { validation, seed });
  const read = options.chat === undefined ? readTexts : readConversations;
  const { tokenizer, format, encoded } = await read(records, places, options, split.train);
  const fitted = encoded.map((pair) => fitPair(pair, context));
  const width = Math.max(...fitted.flatMap(({ chosen, rejected }) => [chosen, rejected].map(positionsOf)));
  const part = (positions: readonly number[]) =>
    new PairDataset(
      positions.map((at) => fitted[at]!),
      width,
      sides,
    );
  return {
    ...{ sha256, skipped, replaced, tokenizer, format, width },
    cut: fitted.filter((pair, at) => pair !== encoded[at]).length,
    train: part(split.train),
    validation: part(split.validation),
  };
}

type Read = (
  records: readonly unknown[],
  places: readonly string[],
  options: PreferenceOptions,
  train: readonly number[],
) => Promise<{ tokenizer: Tokenizer; format: ChatFormat | undefined; encoded: TokenPair[] }>;

const readTexts: Read = async (records, places, options, train) => {
  const pairs = records.map((record, at) => readPair(record, places[at]!));
  const textsOf = ({ prompt, chosen, rejected }: PreferencePair) => [prompt, chosen, rejected];
  const learnt = train.flatMap((at) => textsOf(pairs[at]!));
  const tokenizer = await makeTokenizer(options.tokenizer, learnt, pairs.flatMap(textsOf));
  const encoded = pairs.map((pair, at) => encodePair(pair, tokenizer, places[at]!));
  return { tokenizer, format: undefined, encoded };
};

const readConversations: Read = async (records, places, options, train) => {
  const { template, ...rows } = options.chat!;
  const pairs = records.map((record, at) =>
    (["chosen", "rejected"] as const).map((side) =>
      readConversation(answered(record, side), places[at]!, { ...rows, completion: undefined }),
    ),
  ) as [Conversation, Conversation][];
  const texts = () => train.flatMap((at) => pairs[at]!.flat().map(({ content }) => content));
  const tokenizer = await chatTokenizer(options.tokenizer, template, texts);
  const format = await ChatFormat.create(template, tokenizer);
  const encode = (conversation: Conversation): Completion => {
    const { ids, trained } = format.encode(conversation, "last");
    const start = trained.indexOf(1);
    return { prompt: ids.subarray(0, start), completion: ids.subarray(start, trained.lastIndexOf(1) + 1) };
  };
  const encoded = pairs.map(([chosen, rejected]) => ({ chosen: encode(chosen), rejected: encode(rejected) }));
  return { tokenizer, format, encoded };
};

/** The row of one answer, in a layout of conversations: a prompt and its completion, or messages with one more. */
function answered(record: unknown, side: "chosen" | "rejected"): unknown {
  if (typeof record !== "object" || record === null || !(side in record)) return record;
  const { [side]: answer, ...row } = record as Record<string, unknown>;
  const list = ["messages", "conversations"].find((name) => Array.isArray(row[name]));
  const last = Array.isArray(answer) || typeof answer === "string" ? answer : [answer];
  if (list === undefined) return { ...row, completion: last };
  const told = typeof last === "string" ? [{ role: "assistant", content: last }] : last;
  return { ...row, [list]: [...(row[list] as unknown[]), ...told] };
}

/** A row as a pair. Errors with `data/preference-row`. */
export function readPair(record: unknown, where: string): PreferencePair {
  const fields = typeof record === "object" && record !== null ? (record as Record<string, unknown>) : {};
  const { prompt, chosen, rejected } = fields;
  const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
  if (!isText(prompt) || !isText(chosen) || !isText(rejected))
    return fail("data/preference-row", "a row is no preference pair", {
      where,
      expected: "prompt, chosen and rejected, a text each",
      got: Object.entries({ prompt, chosen, rejected, ...fields })
        .map(([name, value]) => `${name}: ${value === undefined ? "nothing" : value === "" ? "empty" : typeof value}`)
        .join(", "),
      fix: "mend the row, or take it out",
    });
  return { prompt, chosen, rejected };
}

function encodePair({ prompt, chosen, rejected }: PreferencePair, tokenizer: Tokenizer, where: string): TokenPair {
  const encode = (text: string) => {
    const ids = tokenizer.encode(text);
    return ids.length > 0 ? ids : fail("data/empty-text", "a text has no tokens", { where, got: text.slice(0, 40) });
  };
  const shared = encode(prompt);
  return {
    chosen: { prompt: shared, completion: encode(chosen) },
    rejected: { prompt: shared, completion: encode(rejected) },
  };
}

/**
 * The pair within the context. Both completions keep the same end of the prompt, at least a quarter of the context, and lose their own
 * ends where that is not enough.
 */
export function fitPair(pair: TokenPair, context: number): TokenPair {
  const { chosen, rejected } = pair;
  const longest = Math.max(positionsOf(chosen), positionsOf(rejected));
  if (longest <= context) return pair;
  const kept = Math.max(
    Math.min(chosen.prompt.length, Math.ceil(context / 4)),
    chosen.prompt.length - (longest - context),
  );
  const prompt = Array.from(chosen.prompt).slice(-kept);
  const cut = ({ completion }: Completion): Completion => ({
    prompt,
    completion: Array.from(completion).slice(0, context + 1 - kept),
  });
  return { chosen: cut(chosen), rejected: cut(rejected) };
}
