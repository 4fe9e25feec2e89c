// Text in pieces that end where words end: encoding them one by one is encoding the whole. A word longer than 16 pieces is cut.
import { safeCut } from "./pre-tokenizer.ts";

/** Yields pieces of `text` that end between words; returns (or, at the `end`, yields) what is left. */
export function* cutWords<T>(
  text: string,
  length: number,
  wrap: (words: string) => T,
  end: boolean,
): Generator<T, string> {
  let at = 0;
  while (text.length - at > length) {
    let cut = 0;
    for (let size = length; cut === 0 && size <= 16 * length; size *= 2)
      cut = safeCut(text.slice(at, at + size + 1), size);
    if (cut === 0) {
      if (text.length - at <= 16 * length) break; // the word may end in the next piece
      cut = 16 * length;
      if ((text.charCodeAt(at + cut) & 0xfc00) === 0xdc00) cut++; // not within a character
    }
    yield wrap(text.slice(at, at + cut));
    at += cut;
  }
  if (!end) return text.slice(at);
  if (at < text.length) yield wrap(text.slice(at));
  return "";
}
