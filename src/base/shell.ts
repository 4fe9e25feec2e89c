// Commands for people to copy: their words, as a shell reads them.

/** A word as a shell reads it back whole. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
