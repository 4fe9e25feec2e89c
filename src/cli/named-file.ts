// Files that an option names, such as --svg: what a command writes beside its output.
import { statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fail } from "../base/index.ts";

/** Refuses a path that no file can have, before the work that would fill it. Errors with `path/` and the option's name. */
export function requireFilePlace(option: string, path: string): void {
  const isFolder = (at: string) => statSync(at, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (isFolder(path)) refuse(option, `${path}, a folder`);
  if (!isFolder(dirname(path))) refuse(option, `${path}, and no folder ${dirname(path)}`);
}

/** Errors as `requireFilePlace`. */
export async function writeNamedFile(option: string, path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text);
  } catch (error) {
    refuse(option, error instanceof Error ? error.message : String(error));
  }
}

function refuse(option: string, got: string): never {
  return fail(`path/${option}`, `the file of --${option} cannot be written`, {
    where: `--${option}`,
    expected: "a file in a folder that is there",
    got,
    fix: "give another path",
  });
}
