// GPT-2's splitting of text into words (Radford et al. 2019), by hand in linear time instead of by a pattern:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// The classes of characters are pinned to the Unicode version of the `tokenizers` library, so that token ids do not
// change with the version of Node.js. A backtracking engine would also overflow on words of megabytes.
import { unicodeClassRuns } from "./unicode-classes.generated.ts";

const other = 0; // letters are 1, numbers 2
const space = 3;

let table: Uint8Array | undefined;

function classes(): Uint8Array {
  if (table !== undefined) return table;
  table = new Uint8Array(0x110000);
  let at = 0;
  for (const [, kind, length] of unicodeClassRuns.matchAll(/([A-Z])([0-9a-z]+)/g)) {
    const end = at + Number.parseInt(length, 36);
    table.fill("OLNS".indexOf(kind), at, end);
    at = end;
  }
  return table;
}

const quote = 0x27;
const blank = 0x20;

/** Where the word that begins at `start` (below `text.length`) ends. A lone surrogate counts as a symbol. */
export function wordEnd(text: string, start: number): number {
  const kinds = table ?? classes();
  let at = start;
  let unit = text.charCodeAt(at);
  if (unit === quote) {
    const end = contractionEnd(text, at);
    if (end > 0) return end;
  }
  let kind = unit < 0xd800 ? kinds[unit] : kindAt(text, at, kinds);
  if (unit === blank && at + 1 < text.length) {
    const next = kindAt(text, at + 1, kinds);
    if (next !== space) {
      kind = next;
      at++;
    }
  }
  const first = at;
  let last = at; // where the last character of the run begins
  while (at < text.length) {
    unit = text.charCodeAt(at);
    const plain = unit < 0xd800 || unit > 0xdfff;
    if ((plain ? kinds[unit] : kindAt(text, at, kinds)) !== kind) break;
    last = at;
    at += plain ? 1 : pairLength(text, at);
  }
  // white space before a word leaves its last character to the word, or to itself
  return kind === space && at < text.length && last > first ? last : at;
}

/** The words of `text` in order; joined they are the text. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  for (let at = 0; at < text.length; ) {
    const end = wordEnd(text, at);
    words.push(text.slice(at, end));
    at = end;
  }
  return words;
}

/**
 * The last place at or before `limit` where `text` can be cut with no word on both sides and no influence of one side on
 * the words of the other: before white space that follows something else, or after a letter or number whose class ends.
 * 0 when there is none.
 */
export function safeCut(text: string, limit = text.length): number {
  const kinds = table ?? classes();
  for (let at = Math.min(limit, text.length - 1); at > 0; at--) {
    if ((text.charCodeAt(at) & 0xfc00) === 0xdc00) continue; // the second half of a pair
    const after = kindAt(text, at, kinds);
    const back = (text.charCodeAt(at - 1) & 0xfc00) === 0xdc00 && at > 1 ? 2 : 1;
    const before = kindAt(text, at - back, kinds);
    if (after !== before && before !== space && (after === space || before !== other)) return at;
  }
  return 0;
}

function kindAt(text: string, at: number, kinds: Uint8Array): number {
  const unit = text.charCodeAt(at);
  if (unit < 0xd800 || unit > 0xdfff) return kinds[unit];
  return pairLength(text, at) === 2 ? kinds[text.codePointAt(at)!] : other;
}

function pairLength(text: string, at: number): number {
  const isPair = (text.charCodeAt(at) & 0xfc00) === 0xd800 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00;
  return isPair ? 2 : 1;
}

/** The end of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at `at`, or 0. */
function contractionEnd(text: string, at: number): number {
  switch (text[at + 1]) {
    case "s":
    case "t":
    case "m":
    case "d":
      return at + 2;
    case "r":
    case "v":
      return text[at + 2] === "e" ? at + 3 : 0;
    case "l":
      return text[at + 2] === "l" ? at + 3 : 0;
    default:
      return 0;
  }
}
