// Questions with several texts to choose from: rows as public sets of questions have them, and rows of tokens, one for each choice.
import { fail, type HostArray } from "../base/index.ts";
import type { Dataset } from "./batch.ts";
import { type JsonInput, readJsonRecords } from "./json-records.ts";
import { specialIds } from "./special-tokens.ts";
import type { TextOptions } from "./text-source.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface ChoiceRow {
  readonly question: string;
  /** At least two. */
  readonly choices: readonly string[];
  /** Number of the right choice, from 0. */
  readonly answer: number;
}

type Row = { readonly [key: string]: unknown };
type Listed = { readonly texts: readonly unknown[]; readonly labels: readonly unknown[] };

const isObject = (value: unknown): value is Row => typeof value === "object" && value !== null && !Array.isArray(value);

/** What there is to choose from: a list of texts, of `{ text, label }`, lists of both, or `ending0`, `ending1`, … behind `sent2`. */
function listedIn(row: Row, given: unknown): Listed {
  if (isObject(given)) return { texts: [given.text].flat(), labels: [given.label ?? []].flat() };
  if (Array.isArray(given)) {
    const labelled = given.filter(isObject);
    return labelled.length === 0
      ? { texts: given, labels: [] }
      : { texts: labelled.map(({ text }) => text), labels: labelled.map(({ label }) => label) };
  }
  const before = typeof row.sent2 === "string" && row.sent2 !== "" ? `${row.sent2} ` : "";
  const texts: unknown[] = [];
  for (let at = 0; `ending${at}` in row; at++) texts.push(`${before}${row[`ending${at}`]}`);
  return { texts, labels: [] };
}

/** Which choice an answer names: by its label, its number from 0, or its letter. NaN where it names none. */
function answerIn(answer: unknown, { texts, labels }: Listed): number {
  const named = labels.indexOf(answer);
  if (named >= 0) return named;
  const text = String(answer);
  const at = /^\d+$/.test(text) ? Number(text) : /^[A-Z]$/.test(text) ? text.charCodeAt(0) - 65 : Number.NaN;
  return at < texts.length ? at : Number.NaN;
}

/**
 * A row `{ question, choices, answer }`, a `context` before the question; or as ARC has it (`choices` with labels, `answerKey`), SWAG (`sent1`,
 * `sent2`, `ending0`, …, `label`) or HellaSwag (`ctx`, `endings`, `label`). Where it need not be `answered`, the answer is 0 if there is none.
 * Errors with `data/choices`.
 */
export function readChoiceRow(record: unknown, where: string, { answered = true } = {}): ChoiceRow {
  const row = isObject(record) ? record : {};
  const inner = isObject(row.question) ? row.question : row; // ARC's own files
  const offered = inner.choices ?? row.endings;
  const listed = listedIn(row, offered);
  const refuse = (what: string, expected: string, got: string): never =>
    fail("data/choices", what, { where, expected, got, fix: "mend the row, or take it out" });
  const asked = [row.context, inner.stem ?? inner.question ?? row.ctx ?? row.sent1].filter(
    (text) => text !== undefined,
  );
  if (asked.length === 0 || asked.some((text) => typeof text !== "string" || text === ""))
    refuse("a row asks no question", "question, a text", `a row of ${Object.keys(row).join(", ") || "nothing"}`);
  const texts = listed.texts as string[];
  if (texts.length < 2 || texts.some((text) => typeof text !== "string" || text === ""))
    refuse(
      "a question does not have choices",
      "choices: a list of at least two texts",
      JSON.stringify(offered ?? texts).slice(0, 200),
    );
  const given = row.answer ?? row.answerKey ?? row.label;
  const answer = given === undefined && !answered ? 0 : answerIn(given, listed);
  if (Number.isNaN(answer)) {
    const labels = listed.labels.length === 0 ? "" : `, or one of ${listed.labels.join(", ")}`;
    const last = String.fromCharCode(64 + texts.length);
    refuse(
      "an answer is none of the choices",
      `answer: a number from 0 to ${texts.length - 1}, a letter from A to ${last}${labels}`,
      given === undefined ? "no answer" : JSON.stringify(given).slice(0, 80),
    );
  }
  return { question: asked.join(" "), choices: texts, answer };
}

/** The rows of a file, or of records in memory. Errors with `data/choices`, and those of reading. */
export async function readChoiceFile(input: JsonInput, options: TextOptions = {}) {
  const { records, places, ...report } = await readJsonRecords(input, options);
  return { ...report, rows: records.map((record, at) => readChoiceRow(record, places[at])) };
}

export interface ChoiceEncoding {
  readonly tokenizer: Tokenizer;
  readonly length: number;
  /** `[CLS] question [SEP] choice [SEP]`; else the question, a space and the choice. */
  readonly isFramed: boolean;
}

/**
 * A question beside one choice, in at most `length` tokens, those of the second kind from `second` on. Of what is too long the end of the question
 * stays, and of a framed choice its beginning, at least a half of the room.
 */
export function encodeChoice(question: string, choice: string, { tokenizer, length, isFramed }: ChoiceEncoding) {
  if (!isFramed) {
    const ids = tokenizer.encode(`${question} ${choice}`);
    return { tokens: ids.slice(-length), second: 0, isCut: ids.length > length };
  }
  const { cls, sep } = specialIds(tokenizer);
  const [asked, given, room] = [tokenizer.encode(question), tokenizer.encode(choice), length - 3];
  const kept = given.subarray(0, Math.max(room - asked.length, Math.ceil(room / 2)));
  const before = asked.subarray(Math.max(0, asked.length - (room - kept.length)));
  const tokens = Int32Array.of(cls, ...before, sep, ...kept, sep);
  return { tokens, second: before.length + 2, isCut: asked.length + given.length > room };
}

/** `tokens`, and of framed rows `tokenTypes`, i32 [B, N, T], −1 and 0 behind a text's end and where a row has fewer choices; `targets` i32 [B]. */
export type ChoiceBatch = { tokens: HostArray; tokenTypes?: HostArray; targets: HostArray };

/** Questions with their choices and answers; `most` is the greatest number of choices. */
export class ChoiceDataset implements Dataset<ChoiceBatch> {
  readonly unit = "question";
  readonly length: number;
  readonly fingerprint: string;
  /** Questions that are, with a choice, longer than what is read of them. */
  readonly cut: number;
  private readonly rows: readonly { choices: ReturnType<typeof encodeChoice>[]; answer: number }[];
  private readonly sizes: ChoiceEncoding & { readonly most: number };

  constructor(rows: readonly ChoiceRow[], sizes: ChoiceEncoding & { readonly most: number }, fingerprint: string) {
    this.length = rows.length;
    this.fingerprint = fingerprint;
    this.sizes = sizes;
    this.rows = rows.map(({ question, choices, answer }) => ({
      choices: choices.map((choice) => encodeChoice(question, choice, sizes)),
      answer,
    }));
    this.cut = this.rows.filter(({ choices }) => choices.some(({ isCut }) => isCut)).length;
  }

  collate(positions: readonly number[]): ChoiceBatch {
    const { most, length, isFramed } = this.sizes;
    const array = (data: Int32Array, ...shape: number[]): HostArray => ({ dtype: "i32", shape, data });
    const tokens = new Int32Array(positions.length * most * length).fill(-1);
    const types = new Int32Array(tokens.length);
    positions.forEach((position, row) => {
      for (const [at, { tokens: ids, second }] of this.rows[position].choices.entries()) {
        const start = (row * most + at) * length;
        tokens.set(ids, start);
        types.fill(1, start + second, start + ids.length);
      }
    });
    const answers = Int32Array.from(positions, (position) => this.rows[position].answer);
    return {
      tokens: array(tokens, positions.length, most, length),
      ...(isFramed ? { tokenTypes: array(types, positions.length, most, length) } : {}),
      targets: array(answers, positions.length),
    };
  }
}
