// Questions whose answer is a piece of a text (Rajpurkar et al. 2016), some of which the text does not answer (2018): rows as SQuAD has
// them, windows of tokens over long texts, and the way back from scores to a piece of the text.
import { fail, type HostArray } from "../base/index.ts";
import type { Dataset } from "./batch.ts";
import { type JsonInput, readJsonRecords } from "./json-records.ts";
import { type SpecialIds, specialIds } from "./special-tokens.ts";
import { encodeWords, splitWords, type Word } from "./split-words.ts";
import type { TextOptions } from "./text-source.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface Question {
  readonly context: string;
  readonly question: string;
  /** Pieces of the context, each from its character `start`; none where the context does not answer. */
  readonly answers: readonly { readonly text: string; readonly start: number }[];
}

type Row = { readonly [key: string]: unknown };

/**
 * Questions of a record: `{ context, question, answers }` with answers as a list of `{ text, answer_start }` or as lists of both, or a whole
 * file of SQuAD (`data`, `paragraphs`, `qas`). Errors with `data/question`.
 */
export function readQuestions(record: unknown, where: string): Question[] {
  const { data, paragraphs, qas, ...row } = (record ?? {}) as Row & { data?: Row[]; paragraphs?: Row[]; qas?: Row[] };
  const nested = data ?? paragraphs;
  if (nested !== undefined) return nested.flatMap((part) => readQuestions(part, where));
  if (qas !== undefined) return qas.flatMap((one) => readQuestions({ ...one, context: row.context }, where));
  const { context, question, answers = [] } = row;
  const refuse = (got: string): never =>
    fail("data/question", "this is no question about a text", {
      where,
      expected: "context, question, and answers with text and answer_start, which stand in the context",
      got,
      fix: "mend the row; a question without an answer has an empty list of answers",
    });
  if (typeof context !== "string" || typeof question !== "string")
    return refuse(`a row of ${Object.keys(row).join(", ") || "nothing"}`);
  const { text = [], answer_start: starts = [] } = answers as { text?: string[]; answer_start?: number[] };
  const list = Array.isArray(answers)
    ? (answers as { text: string; answer_start: number }[]).map((one) => ({ text: one.text, start: one.answer_start }))
    : text.map((one, at) => ({ text: one, start: starts[at]! }));
  const astray = list.find(({ text, start }) => !text || context.slice(start, start + text.length) !== text);
  if (astray !== undefined)
    refuse(
      `${JSON.stringify(astray.text)} at ${astray.start}, where there is ${JSON.stringify(context.slice(astray.start, astray.start + 20))}`,
    );
  return [{ context, question, answers: list }];
}

/** The questions of a file, or of records in memory. Errors with `data/question`, and those of reading. */
export async function readQuestionFile(input: JsonInput, options: TextOptions = {}) {
  const { records, places, ...report } = await readJsonRecords(input, options);
  return { ...report, questions: records.flatMap((record, at) => readQuestions(record, places[at]!)) };
}

/** `[CLS] question [SEP] part of the context [SEP]`, −1 behind it. */
export interface QuestionWindow {
  readonly tokens: Int32Array;
  /** 0 the question, 1 the context. */
  readonly tokenTypes: Int32Array;
  /** The context's word of each token, −1 for others. */
  readonly words: Int32Array;
  /** Where the context's first token stands, or would stand. */
  readonly offset: number;
}

/** Questions as windows of tokens. A context longer than a window is read in several, which overlap by half. */
export class QuestionEncoder {
  private readonly tokenizer: Tokenizer;
  private readonly special: SpecialIds;
  private readonly length: number;
  private readonly contexts = new Map<string, { list: Word[]; ids: Int32Array; words: Int32Array }>();

  constructor(tokenizer: Tokenizer, length: number) {
    this.tokenizer = tokenizer;
    this.special = specialIds(tokenizer);
    this.length = length;
  }

  /** The question is cut to half of a window. */
  windows({ question, context }: Pick<Question, "question" | "context">): QuestionWindow[] {
    const { length, special, tokenizer } = this;
    const asked = tokenizer.encode(question).subarray(0, Math.floor(length / 2) - 3);
    const { ids, words } = this.read(context);
    const room = length - asked.length - 3;
    const step = Math.max(1, Math.floor(room / 2));
    const starts = Array.from({ length: Math.max(1, Math.ceil((ids.length - room) / step) + 1) }, (_, at) => at * step);
    return starts.map((start) => {
      const part = ids.subarray(start, start + room);
      const first = asked.length + 2;
      const window = {
        tokens: new Int32Array(length).fill(-1),
        tokenTypes: new Int32Array(length),
        words: new Int32Array(length).fill(-1),
        offset: first - start,
      };
      window.tokens.set([special.cls, ...asked, special.sep, ...part, special.sep]);
      window.tokenTypes.fill(1, first, first + part.length + 1);
      window.words.set(words.subarray(start, start + room), first);
      return window;
    });
  }

  /** Where the answer begins and ends in a window, in tokens; `[CLS]` twice where it is not whole there, or there is none. */
  target({ context, answers }: Question, { words, offset }: QuestionWindow): readonly [start: number, end: number] {
    const [answer] = answers;
    if (answer === undefined) return [0, 0];
    const { list, words: all } = this.read(context);
    const first = list.findIndex(({ end }) => end > answer.start);
    const last = list.findLastIndex(({ start }) => start < answer.start + answer.text.length);
    const [start, end] = [all.indexOf(first) + offset, all.lastIndexOf(last) + offset];
    return words[start] === first && words[end] === last ? [start, end] : [0, 0];
  }

  /**
   * The best piece of the context by scores of starts and ends, (T, 2) for each window: the highest sum of one that is at most
   * `longest` words. Empty where all windows together say that there is none (by `[CLS]`, the least of them).
   */
  answer(
    { context }: Pick<Question, "context">,
    windows: readonly QuestionWindow[],
    scores: readonly ArrayLike<number>[],
    longest = 30,
  ): { readonly answer: string; readonly start: number; readonly end: number; readonly score: number } {
    const { list } = this.read(context);
    let [best, first, last, none] = [Number.NEGATIVE_INFINITY, -1, -1, Number.POSITIVE_INFINITY];
    windows.forEach(({ words }, at) => {
      const given = scores[at]!;
      none = Math.min(none, given[0]! + given[1]!);
      for (let start = 0; start < words.length; start++) {
        if (words[start]! < 0) continue;
        for (let end = start; end < words.length && words[end]! >= 0 && words[end]! - words[start]! < longest; end++) {
          const score = given[2 * start]! + given[2 * end + 1]!;
          if (score > best) [best, first, last] = [score, words[start]!, words[end]!];
        }
      }
    });
    if (!(best > none)) return { answer: "", start: 0, end: 0, score: none - best };
    const [start, end] = [list[first]!.start, list[last]!.end];
    return { answer: context.slice(start, end), start, end, score: best - none };
  }

  private read(context: string) {
    const known = this.contexts.get(context);
    if (known !== undefined) return known;
    const list = splitWords(context);
    const pieces = list.map(({ piece }) => piece);
    const made = { list, ...encodeWords(this.tokenizer, pieces) };
    this.contexts.set(context, made);
    return made;
  }
}

/** `tokens` and `tokenTypes` i32 [B, T]; `targets` i32 [B, 2]: the tokens at which the answer begins and ends. */
export type QuestionBatch = { tokens: HostArray; tokenTypes: HostArray; targets: HostArray };

/** Windows of questions with their targets. */
export class QuestionDataset implements Dataset<QuestionBatch> {
  readonly unit = "window";
  readonly fingerprint: string;
  private readonly rows: readonly (readonly [QuestionWindow, readonly [number, number]])[];

  constructor(questions: readonly Question[], encoder: QuestionEncoder, fingerprint: string) {
    this.fingerprint = fingerprint;
    this.rows = questions.flatMap((one) =>
      encoder.windows(one).map((window) => [window, encoder.target(one, window)] as const),
    );
  }

  get length(): number {
    return this.rows.length;
  }

  collate(positions: readonly number[]): QuestionBatch {
    const rows = positions.map((position) => this.rows[position]!);
    const together = (parts: readonly ArrayLike<number>[]): HostArray => {
      const shape = [parts.length, parts[0]!.length];
      return { dtype: "i32", shape, data: Int32Array.from(parts.flatMap((part) => Array.from(part))) };
    };
    return {
      tokens: together(rows.map(([{ tokens }]) => tokens)),
      tokenTypes: together(rows.map(([{ tokenTypes }]) => tokenTypes)),
      targets: together(rows.map(([, target]) => target)),
    };
  }
}
