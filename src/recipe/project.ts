// A small project that is ready to train: recipe, data made here, README, .gitignore. What `athanor init` writes.
import { randomInt } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fail, RandomStream } from "../base/index.ts";

export const projectModels = ["mlp", "textClassifier", "gpt"] as const;
export type ProjectModel = (typeof projectModels)[number];

export interface ProjectOptions {
  /** Default: by the ending of `data`, `gpt` for .txt, else `mlp`. */
  readonly model?: ProjectModel;
  /** A file of your own, which stays where it is; left out, a small one is made. */
  readonly data?: string;
}

/** The share of flowers that carry another species' name: what no model can learn. */
export const wrongNames = 0.1;

/** 600 flowers of three species, told apart by petals and colour, of which a tenth has a wrong name. */
function flowers(): string {
  const random = new RandomStream(1, "flowers");
  const species = ["aster", "briar", "cosmos"];
  const rows = Array.from({ length: 600 }, (_, row) => {
    const kind = random.below(3, 0, row);
    const named = random.uniform(1, row) < wrongNames ? (kind + 1 + random.below(2, 2, row)) % 3 : kind;
    const [length, width] = [2 + 2 * kind + 0.3 * random.normal(3, row), 1 + 0.2 * random.normal(4, row)];
    const colour = kind === 1 ? "red" : ["white", "yellow"][random.below(2, 5, row)];
    return `${length.toFixed(2)},${width.toFixed(2)},${colour},${species[named]}`;
  });
  return `length,width,colour,species\n${rows.join("\n")}\n`;
}

/** 400 messages, no two alike, half of which want something. */
function messages(): string {
  const random = new RandomStream(1, "messages");
  const pick = (list: readonly string[], at: number, row: number) => list[random.below(list.length, at, row)];
  const rows = Array.from({ length: 400 }, (_, row) => {
    const name = pick(["Ann", "Bo", "Chen", "Dee", "Eli", "Fay"], 0, row);
    return row % 2 === 0
      ? `${name} you won ${row + 1} ${pick(["cars", "coins", "prizes"], 1, row)} click ${pick(["here", "now"], 2, row)},spam`
      : `${name} shall we meet ${pick(["at noon", "today", "on Monday"], 1, row)} in room ${row + 1} about ${pick(["lunch", "work"], 2, row)},ham`;
  });
  return `text,label\n${rows.join("\n")}\n`;
}

/** Lines that count. */
const counting = () => Array.from({ length: 600 }, (_, n) => `${n}, ${n + 1}, ${n + 2}, ${n + 3}\n`).join("");

interface Kind {
  readonly file: string;
  readonly make: () => string;
  readonly settings: string;
  readonly use: string;
}

const kinds: { readonly [name in ProjectModel]: Kind } = {
  mlp: {
    file: "flowers.csv",
    make: flowers,
    settings: `  heldOut: 0.2 # the last column is predicted, unless target names another
model:
  mlp: { hidden: [32], dropout: 0.1 }
optimizer:
  adamw: { lr: { cosine: { peak: 1.0e-2, warmup: 20, floor: 1.0e-4 } } }
batch: { size: 32 }
steps: 300
seed: 1
eval: { every: 100 }
checkpoint: { every: 100 }`,
    use: "athanor predict runs/<name> flowers.csv",
  },
  textClassifier: {
    file: "messages.csv",
    make: messages,
    settings: `  heldOut: 0.2 # the column label is predicted from the column text
model:
  textClassifier: { context: 64, width: 32 }
optimizer:
  adamw: { lr: 5.0e-3 }
batch: { size: 16 }
steps: 200
seed: 1
eval: { every: 100 }
checkpoint: { every: 100 }`,
    use: "athanor predict runs/<name> messages.csv",
  },
  gpt: {
    file: "text.txt",
    make: counting,
    settings: `  heldOut: 0.1
model:
  gpt: { layers: 2, heads: 4, width: 64, context: 32 }
optimizer:
  adamw: { lr: 3.0e-3 }
batch: { size: 16 }
steps: 300
seed: 1
eval: { every: 100 }
checkpoint: { every: 100 }`,
    use: 'athanor generate runs/<name> --prompt "41, "',
  },
};

/**
 * Writes a project into a new or empty folder, all of it or nothing. Errors with `path/exists`, and with `path/missing` when there is
 * nothing at `data`.
 *
 * @returns the names of the files written
 */
export async function initProject(folder: string, options: ProjectOptions = {}): Promise<readonly string[]> {
  const { data, model = data?.endsWith(".txt") ? "gpt" : "mlp" } = options;
  const target = resolve(folder);
  const held = await readdir(target).catch((error: NodeJS.ErrnoException) =>
    error.code === "ENOENT" ? [] : ["a file"],
  );
  if (held.length > 0) {
    fail("path/exists", "there is something at this place already", {
      where: target,
      expected: "a new folder, or an empty one",
      got: held.slice(0, 5).join(", "),
      fix: "choose another name; nothing is overwritten",
    });
  }
  if (
    data !== undefined &&
    !(await stat(data).then(
      (found) => found.isFile(),
      () => false,
    ))
  ) {
    fail("path/missing", "there is no such data", {
      where: "--data",
      expected: "a file: .csv, .tsv, .jsonl or .txt",
      got: data,
      fix: "check the path, or leave --data out: a small file is made",
    });
  }
  const { file, make, settings, use } = kinds[model];
  const path = data === undefined ? file : relative(target, resolve(data)).replaceAll("\\", "/");
  const name = basename(target).replace(/[^\w.-]/g, "-");
  const files: { readonly [name: string]: string } = {
    "athanor.yaml": `# Train with: athanor train. Every key: docs/recipes.md, or athanor schema.\nname: ${name}\ndata:\n  path: ${JSON.stringify(path)}\n${settings}\n`,
    ...(data === undefined ? { [file]: make() } : {}),
    "README.md": `# ${name}\n\`athanor train\` trains on ${path} as athanor.yaml says, and writes what it did to runs/<name>/report.md.\n\`${use}\` uses the model; in TypeScript: \`(await load("runs/<name>"))\`.\n`,
    ".gitignore": "runs/\nnode_modules/\n",
  };
  await mkdir(dirname(target), { recursive: true });
  const made = `${target}.new-${randomInt(2 ** 32)}`;
  await mkdir(made);
  try {
    for (const [one, text] of Object.entries(files)) await writeFile(join(made, one), text, { flag: "wx" });
    await rename(made, target); // takes the place of an empty folder, and of no other
  } catch (error) {
    await rm(made, { recursive: true, force: true });
    throw error;
  }
  return Object.keys(files);
}
