// Our words against the `tokenizers` library's, on every class of character.
import fc from "fast-check";
import { byteLevelPreTokenizer } from "tokenizers";
import { describe, expect, it } from "vitest";
import { safeCut, splitWords } from "./pre-tokenizer.ts";
import { unicodeClassRuns } from "./unicode-classes.generated.ts";

const oracle = byteLevelPreTokenizer(false, true);
/** The library's words, by where they end in the text (it counts in characters; its words are in its own alphabet). */
function libraryWords(text: string): string[] {
  const characters = [...text];
  return oracle.preTokenizeString(text).map(([, [start, end]]) => characters.slice(start, end).join(""));
}

/** Text rich in what the pattern tells apart. */
const textual = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "'",
        "'s",
        "'ll",
        "'re",
        "'l",
        "'S",
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "\u00a0",
        "\u0085",
        "\ufeff",
        "\u2028",
      ),
      fc.constantFrom(
        "a",
        "Word",
        "é",
        "中文",
        "١٢",
        "Ⅷ",
        "½",
        "😀",
        "e\u0301",
        "!",
        "...",
        "_",
        "\u{1d400}",
        "12",
        "0",
      ),
      fc.string({ unit: "binary", maxLength: 2 }),
    ),
    { maxLength: 14 },
  )
  .map((parts) => parts.join(""));

describe("splitWords", () => {
  it.each([
    ["Hello my friend, how's it", ["Hello", " my", " friend", ",", " how", "'s", " it"]],
    ["don't 'll", ["don", "'t", " '", "ll"]],
    ["a  b\n\nc \n", ["a", " ", " b", "\n", "\n", "c", " \n"]],
    ["x=3.14;", ["x", "=", "3", ".", "14", ";"]],
    ["中文，数据", ["中文", "，", "数据"]],
    ["", []],
  ])("%j", (text, words) => {
    expect(splitWords(text)).toEqual(words);
  });

  it("agrees with the library on any text", () => {
    fc.assert(
      fc.property(textual, (text) => {
        expect(splitWords(text)).toEqual(libraryWords(text));
      }),
      { numRuns: 5000 },
    );
  });

  it("agrees with the library on both sides of every boundary of its classes", () => {
    const edges: number[] = [];
    let at = 0;
    for (const [, , length] of unicodeClassRuns.matchAll(/([A-Z])([0-9a-z]+)/g)) {
      at += Number.parseInt(length, 36);
      edges.push(at - 1, at);
    }
    expect(at).toBe(0x110000);
    for (const edge of edges) {
      if (edge > 0x10ffff || (edge >= 0xd800 && edge < 0xe000)) continue;
      const char = String.fromCodePoint(edge);
      const text = `x${char}1${char}#${char}`;
      expect(splitWords(text), edge.toString(16)).toEqual(libraryWords(text));
    }
  });

  it("words of megabytes take linear time", () => {
    const start = process.cpuUsage();
    for (const unit of ["a", " ", "\n", "'", "1", "中", "😀", "' ", "\ud800"]) {
      expect(splitWords(unit.repeat(2 ** 20)).join("").length).toBe(unit.length * 2 ** 20);
    }
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(20_000); // in quadratic time it takes hours
  });
});

describe("safeCut", () => {
  it("never changes the words", () => {
    fc.assert(
      fc.property(textual, fc.nat(40), (text, limit) => {
        const cut = safeCut(text, limit);
        expect(cut).toBeLessThanOrEqual(Math.max(0, Math.min(limit, text.length - 1)));
        expect([...splitWords(text.slice(0, cut)), ...splitWords(text.slice(cut))]).toEqual(splitWords(text));
      }),
      { numRuns: 5000 },
    );
  });

  it("finds the obvious ones", () => {
    expect(safeCut("one two")).toBe(3);
    expect(safeCut("中文，数据")).toBe(2);
    expect(safeCut("x12")).toBe(1);
    expect(safeCut("word")).toBe(0);
  });
});
