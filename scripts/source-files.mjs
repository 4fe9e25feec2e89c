// What the checking scripts share: walking source folders, counting lines, reporting. No rule of its own.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Files under `folder` whose names end in one of `endings`, sorted, so that output never depends on the disk. */
export function listFiles(folder, endings, skip = ["node_modules"]) {
  if (!existsSync(folder)) return [];
  const files = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (skip.includes(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) files.push(...listFiles(path, endings, skip));
    else if (endings.some((ending) => entry.name.endsWith(ending))) files.push(path);
  }
  return files.sort();
}

/** True for unit tests, benchmarks, and what only they use. */
export function isTest(path) {
  return /\.test\.ts$|(^|\/)native\/(test|bench)\//.test(path);
}

export function countLines(text) {
  return text === "" ? 0 : text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
}

/** Prints one line per problem on stderr, or one line saying that there is none, and ends the process. */
export function reportAndExit(check, problems) {
  for (const problem of problems) console.error(problem);
  if (problems.length > 0)
    console.error(`${check}: ${problems.length} ${problems.length === 1 ? "problem" : "problems"}`);
  else console.log(`${check}: fine`);
  process.exit(problems.length > 0 ? 1 : 0);
}
