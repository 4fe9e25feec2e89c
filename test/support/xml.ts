// A reader of XML that knows just what the pages of studies are made of. Keeps no text.

/** Names of the elements of an XML text; throws where it is not well-formed. */
export function elements(page: string): string[] {
  const body = page.replace(/^<!doctype html>\n/, "");
  const [open, names]: [string[], string[]] = [[], []];
  const token = /<(\/?)([a-z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|([^<]+)/gy;
  for (let at = 0; at < body.length; at = token.lastIndex) {
    token.lastIndex = at;
    const match = token.exec(body);
    if (match === null) throw new Error(`not XML: ${body.slice(at, at + 40)}`);
    const [whole, closing, name, , empty, text] = match;
    if (/&(?!#\d+;)/.test(whole)) throw new Error(`a bare &: ${whole}`);
    if (text !== undefined) continue;
    if (closing === "/") {
      const last = open.pop();
      if (last !== name) throw new Error(`</${name}> closes ${last}`);
    } else {
      names.push(name!);
      if (empty === "") open.push(name!);
    }
  }
  if (open.length > 0) throw new Error(`left open: ${open.join(", ")}`);
  return names;
}
