// What a trained model is on disk, beside its tensors: `model.json` and the encoder of its data. Read from a run, a
// checkpoint, or a folder that save() wrote.
import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fail, type HostArray } from "../base/index.ts";
import { SafetensorsFile, writeSafetensors } from "../checkpoint/index.ts";
import { makeFolders } from "../track/index.ts";
import { checkpointAt, textsOf } from "./initial-state.ts";
import { findRun } from "./run-path.ts";

/** `model.json`: enough to build the module again. */
export interface ModelDescription {
  readonly format: "athanor-model";
  readonly family: string;
  /** The family's complete configuration. */
  readonly config: unknown;
  readonly task: "language-model" | "classification" | "regression";
  /** Class names by id, for classifiers. */
  readonly classes?: readonly string[];
  /** The column that a text classifier reads. */
  readonly textColumn?: string;
  readonly seed: number;
}

export interface ModelFiles {
  readonly folder: string;
  readonly description: ModelDescription;
  readonly tensors: ReadonlyMap<string, HostArray>;
  /** `tokenizer.json`, `table.json`, `recipe.json`, as text. */
  readonly files: ReadonlyMap<string, string>;
}

const tensorsName = "model.safetensors";

/** Loads a model's files from a run folder (its newest good checkpoint), a checkpoint, or a saved model. */
export async function readModelFiles(path: string): Promise<ModelFiles> {
  const folder = await findRun(path);
  if (await exists(join(folder, tensorsName))) return await readSaved(folder);
  const checkpoint = await checkpointAt(folder);
  const files = textsOf(checkpoint);
  return {
    folder,
    description: describe(files.get("model.json"), checkpoint.path),
    tensors: checkpoint.tensors,
    files,
  };
}

async function readSaved(folder: string): Promise<ModelFiles> {
  const path = join(folder, tensorsName);
  const file = await SafetensorsFile.open(path);
  const tensors = new Map<string, HostArray>();
  try {
    for (const name of file.names) tensors.set(name, await file.read(name));
  } finally {
    await file.close();
  }
  const files = new Map<string, string>();
  for (const name of ["model.json", "tokenizer.json", "table.json", "recipe.json"]) {
    if (await exists(join(folder, name))) files.set(name, await readFile(join(folder, name), "utf8"));
  }
  return { folder, description: describe(files.get("model.json"), folder), tensors, files };
}

/** Writes a model's files into a new folder: all of them or none. Errors with `path/exists`. */
export async function writeModelFiles(folder: string, model: Omit<ModelFiles, "folder">): Promise<void> {
  if (await exists(folder))
    fail("path/exists", "there is something at this path already", { where: folder, fix: "choose a new folder" });
  const staging = `${resolve(folder)}.tmp-${process.pid}`;
  try {
    await makeFolders(dirname(staging));
    await mkdir(staging);
    await writeSafetensors(
      join(staging, tensorsName),
      [...model.tensors].map(([name, array]) => ({ name, ...array })),
    );
    for (const [name, text] of model.files) await writeFile(join(staging, name), text);
    await rename(staging, folder);
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    throw error;
  }
}

function describe(text: string | undefined, where: string): ModelDescription {
  if (text === undefined) {
    return fail("model/files", "there is no model here", {
      where,
      expected: "a run, a checkpoint, or a saved model with model.json",
      got: "no model.json",
      fix: "check the path; `npx athanor runs` lists the runs",
    });
  }
  const description = JSON.parse(text) as ModelDescription;
  if (description.format !== "athanor-model")
    fail("model/files", "model.json is of another kind", {
      where,
      expected: "the format athanor-model",
      got: String(description.format),
      fix: "give a folder that Athanor wrote",
    });
  return description;
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
