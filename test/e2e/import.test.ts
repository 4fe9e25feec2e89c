// What importing the package opens: counted, because each file costs a process's start a fraction of a millisecond.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const dist = fileURLToPath(new URL("../../dist/", import.meta.url));

/** Every file and package that is loaded with this file of dist/, Node's own apart. */
function loaded(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, name = ""] of readFileSync(join(dist, file), "utf8").matchAll(
    /^(?:import|export)\b.* from "(.+)";$/gm,
  )) {
    if (name.startsWith(".")) loaded(join(file, "..", name), seen);
    else if (!name.startsWith("node:")) seen.add(name);
  }
  return seen;
}

test("importing the package opens one file per folder, and no library but that of the schemas", () => {
  const files = [...loaded("index.js")];
  expect(files.filter((file) => !/^\w+\/index\.js$|^index\.js$/.test(file))).toEqual(["libraries/zod.js"]);
  expect(files).toContain("train/index.js");
  expect(files).not.toContain("cli/main.js");
});
