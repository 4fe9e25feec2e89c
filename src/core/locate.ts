// Where in the user's program an error arose: the first line of its stack that is not the language's own.

const own = /[\\/](src|dist)[\\/](base|core|compiler|engine|nn[\\/](module|parameter|index))[\\/.](?!.*\.test\.)|node:/;

/** `path (src/models/gpt.ts:88)`, as far as they are known. */
export function locate(path: string, error: Error): string {
  const places = (error.stack ?? "").split("\n").flatMap((line) => {
    const place = /^\s+at .*?((?:file:\/\/)?[^()\s]+:\d+):\d+\)?$/.exec(line)?.[1];
    return place === undefined || own.test(place) ? [] : [place];
  });
  const line = places[0]?.replace(/^file:\/\//, "").replace(`${process.cwd()}/`, "");
  if (line === undefined) return path;
  return path === "" ? line : `${path} (${line})`;
}
