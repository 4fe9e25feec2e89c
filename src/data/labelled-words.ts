// Words with a label each, as for names in texts: read from CoNLL's columns or JSON records, and as tokens of which the first of each word is
// to be labelled.
import { fail, type HostArray } from "../base/index.ts";
import type { Dataset } from "./batch.ts";
import { type JsonInput, readJsonRecords } from "./json-records.ts";
import { type SpecialIds, specialIds } from "./special-tokens.ts";
import { encodeWords } from "./split-words.ts";
import { openText, scanText, type TextOptions, type TextReport } from "./text-source.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface LabelledSentence {
  readonly words: readonly string[];
  readonly labels: readonly string[];
}

export interface LabelledSentences extends Pick<TextReport, "sha256" | "skipped" | "replaced"> {
  readonly sentences: readonly LabelledSentence[];
}

/**
 * JSON records `{ tokens, tags }` (or `words`, `labels`, `ner_tags`), or a text of columns: the word first and its label last, a blank line
 * between sentences. Errors with `data/labelled-words`, and those of reading.
 */
export async function readLabelledWords(input: JsonInput, options: TextOptions = {}): Promise<LabelledSentences> {
  const isColumns = "path" in input && ![input.path].flat().every((path) => /\.(jsonl|ndjson|json)(\.gz)?$/.test(path));
  if (!isColumns) {
    const { records, places, ...report } = await readJsonRecords(input, options);
    return { ...report, sentences: records.map((record, at) => sentenceOf(record, places[at]!)) };
  }
  const source = await openText(input as { readonly path: string }, options);
  const [sentences, words, labels]: [LabelledSentence[], string[], string[]] = [[], [], []];
  let [rest, line] = ["", 0];
  const end = () => {
    if (words.length > 0) sentences.push({ words: words.splice(0), labels: labels.splice(0) });
  };
  const add = (text: string) => {
    line++;
    const columns = text.trim().split(/\s+/);
    if (text.trim() === "" || columns[0] === "-DOCSTART-") return end();
    if (columns.length < 2) refuse(`${source.name}, line ${line}`, JSON.stringify(text.slice(0, 80)));
    words.push(columns[0]!);
    labels.push(columns.at(-1)!);
  };
  const report = await scanText(source, (piece) => {
    const lines = (rest + piece).split("\n");
    rest = lines.pop()!;
    lines.forEach(add);
  });
  add(rest);
  end();
  return { sentences, sha256: report.sha256, skipped: report.skipped, replaced: report.replaced };
}

function sentenceOf(record: unknown, where: string): LabelledSentence {
  const {
    tokens,
    words = tokens,
    tags,
    ner_tags: nerTags = tags,
    labels = nerTags,
  } = (record ?? {}) as {
    readonly [key: string]: unknown;
  };
  const areTexts = [words, labels].every((list) => Array.isArray(list) && list.every((one) => typeof one === "string"));
  const sentence = { words: words as string[], labels: labels as string[] };
  if (areTexts && sentence.words.length > 0 && sentence.words.length === sentence.labels.length) return sentence;
  return refuse(
    where,
    areTexts ? `${sentence.words.length} words, ${sentence.labels.length} labels` : "no lists of texts",
  );
}

function refuse(where: string, got: string): never {
  return fail("data/labelled-words", "these are no words with a label each", {
    where,
    expected:
      "a record with tokens and tags, lists of texts of one length; or lines with a word first and its label last",
    got,
    fix: "mend the row, or take it out",
  });
}

/** A sentence as tokens, `[CLS]` … `[SEP]`, and the place of each word's first token; words that find no room have none. */
export function encodeSentence(
  words: readonly string[],
  tokenizer: Tokenizer,
  { special = specialIds(tokenizer), length }: { readonly special?: SpecialIds; readonly length: number },
): { readonly tokens: Int32Array; readonly places: readonly number[] } {
  const { ids, words: owners } = encodeWords(
    tokenizer,
    words.map((word, at) => (at === 0 ? word : ` ${word}`)),
  );
  const kept = ids.subarray(0, length - 2);
  const tokens = new Int32Array(length).fill(-1);
  tokens.set([special.cls, ...kept, special.sep]);
  const firsts = words.map((_, word) => owners.indexOf(word));
  return { tokens, places: firsts.map((first) => (first >= 0 && first < kept.length ? first + 1 : -1)) };
}

/** `tokens` i32 [B, T]; `targets` i32 [B, T]: the label at the first token of each word, −1 elsewhere. */
export type LabelledWordBatch = { tokens: HostArray; targets: HostArray };

export class LabelledWordDataset implements Dataset<LabelledWordBatch> {
  readonly unit = "sentence";
  readonly fingerprint: string;
  /** Sentences that are longer than what is read of them. */
  readonly cut: number;
  private readonly rows: readonly (readonly [tokens: Int32Array, targets: Int32Array])[];

  /** `classes`: labels by id. Errors with `data/label` for one that is not among them. */
  constructor(
    sentences: readonly LabelledSentence[],
    options: {
      readonly tokenizer: Tokenizer;
      readonly classes: readonly string[];
      readonly length: number;
      readonly fingerprint: string;
    },
  ) {
    const { tokenizer, classes, length, fingerprint } = options;
    const ids = new Map(classes.map((name, id) => [name, id]));
    const special = specialIds(tokenizer);
    let cut = 0;
    this.rows = sentences.map(({ words, labels }) => {
      const { tokens, places } = encodeSentence(words, tokenizer, { special, length });
      const targets = new Int32Array(length).fill(-1);
      places.forEach((place, word) => {
        const id = ids.get(labels[word]!);
        if (id === undefined)
          fail("data/label", "a label is not among those of the training data", {
            where: words.join(" ").slice(0, 80),
            expected: classes.join(", "),
            got: labels[word]!,
            fix: "mend the label, or give training data that has it",
          });
        if (place >= 0) targets[place] = id;
      });
      if (places.at(-1) === -1) cut++;
      return [tokens, targets] as const;
    });
    this.cut = cut;
    this.fingerprint = fingerprint;
  }

  get length(): number {
    return this.rows.length;
  }

  collate(positions: readonly number[]): LabelledWordBatch {
    const together = (part: 0 | 1): HostArray => {
      const rows = positions.map((position) => this.rows[position]![part]);
      const width = rows[0]!.length;
      const data = new Int32Array(rows.length * width);
      rows.forEach((row, at) => {
        data.set(row, at * width);
      });
      return { dtype: "i32", shape: [rows.length, width], data };
    };
    return { tokens: together(0), targets: together(1) };
  }
}
