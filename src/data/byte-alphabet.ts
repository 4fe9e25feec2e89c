// GPT-2's printable character for every byte, so that byte-level tokens can stand in a JSON file as text.

const printable = (byte: number) =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

/** The character that stands for each byte: the byte's own Latin-1 character where that prints, else U+0100 onwards. */
export const byteToChar: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();

const charToByte = new Map(byteToChar.map((char, byte) => [char, byte]));

/** All 256 bytes in the order of their characters: the order in which a tokenizer numbers them. */
export const alphabetOrder: readonly number[] = byteToChar
  .map((char, byte) => [char, byte] as const)
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([, byte]) => byte);

/** Whether every character of `text` stands for a byte. */
export function isInAlphabet(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (!charToByte.has(text[i])) return false;
  return true;
}

/** The bytes that `text`, written in the alphabet, stands for, or `undefined` when it holds any other character. */
export function alphabetBytes(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = charToByte.get(text[i]);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
