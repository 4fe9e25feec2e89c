// A strict JSON reader for headers that may be hostile. Not a general one: numbers must be plain non-negative integers,
// a key may appear once, nesting is bounded, and an inner object becomes a Map (so that "__proto__" is a name like any other).
// `JSON.parse` keeps the last of two equal keys and reads 1e400 as Infinity; both would let a header mean two things.
import { fail } from "../base/index.ts";

export type HeaderValue = string | number | boolean | null | HeaderValue[] | Map<string, HeaderValue>;

export interface HeaderJsonOptions {
  /** Named in errors: the file. */
  readonly where: string;
  /** Deepest nesting of objects and arrays that is accepted. */
  readonly maxDepth: number;
  /** Called for each member of the outermost object, in order: what it does not keep is garbage at once. */
  readonly onMember: (key: string, value: HeaderValue) => void;
}

const escapes: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/**
 * Parses one JSON object; only white space may follow it. Errors with `safetensors/json`, `safetensors/depth`,
 * `safetensors/duplicate-key` or `safetensors/number`, each with the character it stopped at.
 */
export function parseHeaderJson(text: string, options: HeaderJsonOptions): void {
  const { where, maxDepth, onMember } = options;
  let at = 0;

  function refuse(code: string, what: string, expected: string): never {
    const shown = at < text.length ? JSON.stringify(text.slice(at, at + 24)) : "the end of the header";
    return fail(`safetensors/${code}`, what, {
      where,
      expected,
      got: `${shown} at character ${at} of the header`,
      fix: "the header is damaged, or its writer is at fault: fetch the file or save it again",
    });
  }

  function skipSpace(): void {
    for (;;) {
      const c = text.charCodeAt(at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      at++;
    }
  }

  function take(character: string): void {
    skipSpace();
    if (text[at] !== character) refuse("json", "the header is not valid JSON", `'${character}'`);
    at++;
  }

  function readString(): string {
    take('"');
    let result = "";
    let start = at;
    for (;;) {
      const c = text.charCodeAt(at);
      if (Number.isNaN(c) || c < 0x20) refuse("json", "a string in the header is not closed", "a closing quote");
      if (c === 0x22) break;
      if (c !== 0x5c) {
        at++;
        continue;
      }
      result += text.slice(start, at);
      const letter = text[at + 1];
      if (letter === "u") {
        result += readUnicodeEscape();
      } else {
        const plain = letter === undefined ? undefined : escapes[letter];
        if (plain === undefined)
          refuse("json", "an unknown escape in the header", 'one of \\" \\\\ \\/ \\b \\f \\n \\r \\t \\u');
        result += plain;
        at += 2;
      }
      start = at;
    }
    result += text.slice(start, at);
    at++;
    return result;
  }

  function readCodeUnit(): number {
    const digits = text.slice(at + 2, at + 6);
    if (!text.startsWith("\\u", at) || !/^[0-9a-fA-F]{4}$/.test(digits))
      refuse("json", "a broken \\u escape in the header", "\\u and four hexadecimal digits");
    return Number.parseInt(digits, 16);
  }

  /** One \\uXXXX, or the two of a surrogate pair: a lone half is no character. */
  function readUnicodeEscape(): string {
    const unit = readCodeUnit();
    if (unit < 0xd800 || unit > 0xdfff) {
      at += 6;
      return String.fromCharCode(unit);
    }
    if (unit > 0xdbff) refuse("json", "half a surrogate pair in the header", "a high surrogate first");
    at += 6;
    const low = readCodeUnit();
    if (low < 0xdc00 || low > 0xdfff) refuse("json", "half a surrogate pair in the header", "a low surrogate next");
    at += 6;
    return String.fromCharCode(unit, low);
  }

  function readNumber(): number {
    const match = /^-?[0-9][0-9.eE+-]*/.exec(text.slice(at, at + 64));
    if (match === null) return refuse("json", "the header is not valid JSON", "a value");
    const value = Number(match[0]);
    if (!/^(?:0|[1-9][0-9]*)$/.test(match[0]) || !Number.isSafeInteger(value))
      refuse("number", "a number in the header is not a count", "a plain integer from 0 to 2^53 - 1");
    at += match[0].length;
    return value;
  }

  function readWord(): boolean | null {
    for (const [word, value] of [
      ["true", true],
      ["false", false],
      ["null", null],
    ] as const) {
      if (text.startsWith(word, at)) {
        at += word.length;
        return value;
      }
    }
    return refuse("json", "the header is not valid JSON", "a value");
  }

  function readValue(depth: number): HeaderValue {
    skipSpace();
    if (depth > maxDepth) refuse("depth", "the header is nested too deep", `at most ${maxDepth} levels`);
    const c = text[at];
    if (c === "{") return readObject(depth);
    if (c === "[") return readArray(depth);
    if (c === '"') return readString();
    return c === "t" || c === "f" || c === "n" ? readWord() : readNumber();
  }

  function readArray(depth: number): HeaderValue[] {
    const values: HeaderValue[] = [];
    take("[");
    skipSpace();
    if (text[at] === "]") {
      at++;
      return values;
    }
    for (;;) {
      values.push(readValue(depth + 1));
      skipSpace();
      if (text[at] === "]") break;
      take(",");
    }
    at++;
    return values;
  }

  function readObject(depth: number): Map<string, HeaderValue> {
    const values = new Map<string, HeaderValue>();
    readMembers(depth, (key, value) => values.set(key, value));
    return values;
  }

  function readMembers(depth: number, onEach: (key: string, value: HeaderValue) => void): void {
    const seen = new Set<string>();
    take("{");
    skipSpace();
    if (text[at] === "}") {
      at++;
      return;
    }
    for (;;) {
      skipSpace();
      const keyAt = at;
      const key = readString();
      if (seen.has(key)) {
        at = keyAt;
        refuse("duplicate-key", `the header names ${JSON.stringify(key)} twice`, "each key once");
      }
      seen.add(key);
      take(":");
      onEach(key, readValue(depth + 1));
      skipSpace();
      if (text[at] === "}") break;
      take(",");
    }
    at++;
  }

  if (text[0] !== "{") refuse("json", "the header does not begin with an object", "'{' as its first character");
  readMembers(1, onMember);
  skipSpace();
  if (at !== text.length) refuse("json", "something follows the header's object", "only white space up to its end");
}
