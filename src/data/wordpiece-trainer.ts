// Learns a WordPiece vocabulary as the `tokenizers` library does: by the merges of BPE, over characters, where one that goes on a
// word is written with `##`. Encodes nothing.
import { type BpeTrainingOptions, checkAlphabet, learnMerges, Words } from "./bpe-trainer.ts";

export const continuing = "##";

/**
 * Tokens by id: special tokens, characters, continuing characters, merges. The library numbers continuing characters in an order of
 * chance, and breaks ties between pairs by these numbers; here they go by code point, or as `order` has them.
 * Errors with `tokenizer/vocab-size` when there is no room for the characters.
 */
export async function trainWordPiece(
  wordCounts: ReadonlyMap<string, number>,
  options: BpeTrainingOptions & { readonly order?: readonly string[] },
): Promise<string[]> {
  const { specialTokens = [] } = options;
  const [all, inside] = [new Set<string>(), new Set<string>()];
  for (const word of wordCounts.keys()) {
    let first = true;
    for (const char of word) {
      all.add(char);
      if (!first) inside.add(continuing + char);
      first = false;
    }
  }
  const byCodePoint = (set: ReadonlySet<string>) =>
    [...set].sort((a, b) => a.codePointAt(a.length > 2 ? 2 : 0)! - b.codePointAt(b.length > 2 ? 2 : 0)!);
  const tokens = [...specialTokens, ...byCodePoint(all), ...(options.order ?? byCodePoint(inside))];
  checkAlphabet(tokens, options, `${tokens.length - specialTokens.length} characters`);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const words = new Words(wordCounts, (word, into, at) => {
    let size = 0;
    for (const char of word) into[at + size] = ids.get(size++ === 0 ? char : continuing + char)!;
    return size;
  });
  await learnMerges(words, tokens, options, (left, right) => left + right.slice(right.startsWith(continuing) ? 2 : 0));
  return tokens;
}
