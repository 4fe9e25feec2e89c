// How texts become words for BLEU: the rules of mteval-v13a and those for Chinese, exactly as sacrebleu has them, since a score says little
// without them (Post 2018).
import { splitAtSpaces } from "./ngrams.ts";

export const bleuTokenizations = ["13a", "zh", "char", "none"] as const;
export type BleuTokenization = (typeof bleuTokenizations)[number];

/** Words of a text. `13a`: Western languages; `zh`: each Chinese character by itself; `char`: each character; `none`: at spaces. */
export function bleuTokens(text: string, tokenization: BleuTokenization): string[] {
  const line = text.replace(/\p{White_Space}+$/u, "");
  switch (tokenization) {
    case "13a":
      return splitPunctuation(` ${unescapeEntities(line)} `);
    case "zh":
      return splitPunctuation(
        Array.from(line.replace(/^\p{White_Space}+/u, ""), (one) => (isChinese(one) ? ` ${one} ` : one)).join(""),
      );
    case "char":
      return splitAtSpaces(Array.from(line).join(" "));
    case "none":
      return splitAtSpaces(line);
  }
}

/** How BLEU splits such texts: `zh` where most letters are Chinese, else `13a`. */
export function bleuTokenizationOf(texts: readonly string[]): BleuTokenization {
  const count = (kind: RegExp) => texts.reduce((sum, text) => sum + (text.match(kind)?.length ?? 0), 0);
  return 2 * count(/\p{Script=Han}/gu) > count(/\p{L}/gu) ? "zh" : "13a";
}

function unescapeEntities(line: string): string {
  return line
    .replaceAll("<skipped>", "")
    .replaceAll("-\n", "")
    .replaceAll("\n", " ")
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">");
}

/** Punctuation by itself; points and commas too, unless between digits, and a dash after a digit. */
function splitPunctuation(line: string): string[] {
  return splitAtSpaces(
    line
      .replace(/([{-~[-` -&(-+:-@/])/gu, " $1 ")
      .replace(/([^0-9])([.,])/gu, "$1 $2 ")
      .replace(/([.,])([^0-9])/gu, " $1 $2")
      .replace(/([0-9])(-)/gu, "$1 $2 "),
  );
}

// Where sacrebleu sees a Chinese character: ideographs, radicals, strokes, punctuation and full-width forms. Its two ranges beyond U+FFFF are
// written with four digits and a letter, and so hold U+2001 to U+2A6D (dashes and quotes among them) instead; scores are to be equal.
const chineseRanges = [
  [0x3400, 0x4db5],
  [0x4e00, 0x9fbb],
  [0xf900, 0xfa2d],
  [0xfa30, 0xfa6a],
  [0xfa70, 0xfad9],
  [0x2001, 0x2a6d],
  [0xff00, 0xffef],
  [0x2e80, 0x2eff],
  [0x3000, 0x303f],
  [0x31c0, 0x31ef],
  [0x2f00, 0x2fdf],
  [0x2ff0, 0x2fff],
  [0x3100, 0x312f],
  [0x31a0, 0x31bf],
  [0xfe10, 0xfe1f],
  [0xfe30, 0xfe4f],
  [0x3200, 0x33ff],
] as const;

function isChinese(character: string): boolean {
  const code = character.codePointAt(0)!;
  return chineseRanges.some(([first, last]) => code >= first && code <= last);
}
