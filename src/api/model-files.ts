// What a trained model is on disk, beside its tensors: `model.json` and the encoder of its data. Read from a run, a
// checkpoint, or a folder that save() wrote. Such a folder holds a hash of each of its files, as `sha256sum -c` reads them.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fail, fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { onDisk, SafetensorsFile, syncFolder, writeDurably, writeSafetensors } from "../checkpoint/index.ts";
import type { TargetUnit } from "../data/index.ts";
import {
  carriedTexts,
  type HubFiles,
  type HubModel,
  hubFiles,
  isHubFolder,
  isPeftFolder,
  type KeepTensor,
  type PromptedHubModel,
  peftFiles,
  peftPromptFiles,
  readHubModel,
  readPeftFolder,
  type StoredTensor,
  shardsOf,
} from "../hub/index.ts";
import { headNames, type TaskName } from "../models/index.ts";
import { isQuantizedPart, type LoraConfig } from "../nn/index.ts";
import type { AdapterConfig } from "../recipe/index.ts";
import { makeFolders } from "../track/index.ts";
import { checkpointAt, findRun, textsOf } from "./run-path.ts";
import { inUnit } from "./target-unit.ts";
import { usedWeights, type WeightsChoice } from "./used-weights.ts";

/** `model.json`: enough to build the module again. */
export interface ModelDescription {
  readonly format: "athanor-model";
  readonly family: string;
  /** The family's complete configuration. */
  readonly config: unknown;
  /** What was trained beside the model, if it was. */
  readonly adapter?: AdapterConfig;
  /** Parameters that an adapter of PEFT's had whole beside it. */
  readonly wholes?: readonly string[];
  readonly task: TaskName;
  /** Class names by id, for classifiers. */
  readonly classes?: readonly string[];
  /** The column that a text classifier reads. */
  readonly textColumn?: string;
  /** Of a model that reads numbers off texts: what turns its outputs into them; left out, they are. */
  readonly unit?: TargetUnit;
  readonly seed: number;
}

export interface ModelFiles {
  readonly folder: string;
  /** Where the files lie: of a run, its checkpoint. */
  readonly place: string;
  readonly description: ModelDescription;
  readonly tensors: ReadonlyMap<string, HostArray>;
  /** `tokenizer.json`, `tokenizer_config.json`, `table.json`, `images.json`, `recipe.json`, as text. */
  readonly files: ReadonlyMap<string, string>;
}

/** A model to be saved; its tensors are made one by one, when their turn comes. */
export interface SavedModel extends Omit<ModelFiles, "folder" | "place" | "tensors"> {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

const tensorsName = "model.safetensors";
const sumsName = "SHA256SUMS";

export interface ReadOptions {
  /** Of a run. */
  readonly weights?: WeightsChoice | undefined;
  /** Folder of an adapter in PEFT's layout, beside a Hugging Face folder. */
  readonly adapter?: string | undefined;
  /** What is kept of each tensor of a Hugging Face folder, or of a saved model, when it was read; default it itself. */
  readonly keep?: KeepTensor;
}

/** Loads a model's files from a run folder (its newest good checkpoint), a checkpoint, a saved model, or a Hugging Face folder. */
export async function readModelFiles(path: string, { weights, adapter, keep }: ReadOptions = {}): Promise<ModelFiles> {
  const folder = await findRun(path);
  if (adapter !== undefined) return fromPublished(await readPeftFolder(await findRun(adapter), folder, keep));
  if (await isPeftFolder(folder)) return fromPublished(await readPeftFolder(folder, undefined, keep));
  if (await isHubFolder(folder)) return fromPublished(await readHubModel(folder, keep));
  if (await exists(join(folder, tensorsName))) return await readSaved(folder, keep);
  const checkpoint = await checkpointAt(folder);
  const files = textsOf(checkpoint);
  return {
    folder,
    place: checkpoint.path,
    description: describe(files.get("model.json"), checkpoint.path),
    tensors: usedWeights(checkpoint.tensors, files.get("recipe.json"), weights),
    files,
  };
}

async function readSaved(folder: string, keep: KeepTensor = (name, value) => [[name, value]]): Promise<ModelFiles> {
  await checkSums(folder);
  const path = join(folder, tensorsName);
  const file = await SafetensorsFile.open(path);
  const tensors = new Map<string, HostArray>();
  try {
    for (const name of file.names)
      for (const [kept, value] of keep(name, await file.read(name))) tensors.set(kept, value);
  } finally {
    await file.close();
  }
  const files = new Map<string, string>();
  for (const name of ["model.json", ...carriedTexts, "table.json", "images.json", "recipe.json"]) {
    if (await exists(join(folder, name))) files.set(name, await readFile(join(folder, name), "utf8"));
  }
  return { folder, place: folder, description: describe(files.get("model.json"), folder), tensors, files };
}

/** A model in the layout of Hugging Face, with an adapter of PEFT's where it has one. */
function fromPublished(
  model: HubModel & { readonly adapter?: LoraConfig; readonly wholes?: readonly string[] } & Pick<
      PromptedHubModel,
      "prompt" | "prefix"
    >,
): ModelFiles {
  const { folder, family, config, tensors, texts, task, classes, adapter, wholes = [], prompt, prefix } = model;
  return {
    folder,
    place: folder,
    description: {
      ...{ format: "athanor-model", family, config, task, seed: 0 },
      ...(classes === undefined ? {} : { classes }),
      ...(adapter === undefined ? {} : { adapter: { lora: { ...adapter, targets: [...adapter.targets], ratio: 1 } } }),
      ...(wholes.length === 0 ? {} : { wholes }),
      ...(prompt === undefined ? {} : { adapter: { prompt } }),
      ...(prefix === undefined ? {} : { adapter: { prefix } }),
    },
    tensors,
    files: texts,
  };
}

export const modelLayouts = ["athanor", "huggingface", "peft"] as const;

export interface SaveOptions {
  /**
   * `huggingface`: config.json, model.safetensors, tokenizer.json and its like, as Transformers reads a model, adapters merged into its
   * weights. `peft`: the adapters alone. Default `athanor`.
   */
  readonly layout?: (typeof modelLayouts)[number];
  /** Takes the place of a model that was saved there before; anything else there is left alone. */
  readonly replace?: boolean;
  /** How parameters are stored; left out, as they were trained. bf16 and f16 take half the room; f16 reaches to 65,504. */
  readonly dtype?: (typeof savedDTypes)[number] | undefined;
  /** `huggingface`: a model of more bytes is written in several files with an index. Default 5 GiB. */
  readonly shardBytes?: number | undefined;
}

export const savedDTypes = ["f32", "bf16", "f16"] as const;

/**
 * Writes a model's files into a new folder: all of them or none. Errors with `path/exists`, `model/dtype`, `model/range`, `hub/export`.
 */
export async function writeModelFiles(
  folder: string,
  model: SavedModel,
  { replace = false, dtype, layout = "athanor", shardBytes = 5 * 2 ** 30 }: SaveOptions = {},
): Promise<void> {
  if (dtype !== undefined && !savedDTypes.includes(dtype))
    fail("model/dtype", "parameters cannot be stored so", {
      where: "dtype",
      expected: savedDTypes.join(", "),
      got: JSON.stringify(dtype),
      fix: "name one of these, or leave it out: as they were trained",
    });
  const files = layout === "athanor" ? own(model, dtype) : published(model, layout, dtype);
  const taken = await requireSavePlace(folder, replace);
  const staging = `${resolve(folder)}.tmp-${process.pid}`;
  try {
    await makeFolders(dirname(staging));
    await onDisk("saving a model", folder, async () => {
      await mkdir(staging);
      const shards = shardsOf(files, layout === "huggingface" ? shardBytes : Number.POSITIVE_INFINITY);
      const sums: string[] = [];
      for (const { name, tensors } of shards.files) {
        const { sha256 } = await writeSafetensors(join(staging, name), tensors, files);
        sums.push(`${sha256}  ${name}\n`);
      }
      for (const [name, text] of [...files.texts, ...shards.index]) {
        await writeDurably(join(staging, name), Buffer.from(text));
        sums.push(`${createHash("sha256").update(text).digest("hex")}  ${name}\n`);
      }
      await writeDurably(join(staging, sumsName), Buffer.from(sums.join("")));
      await syncFolder(staging);
      const before = `${staging}-before`; // a crash between the two renames leaves it, whole
      if (taken) await rename(folder, before);
      await rename(staging, folder);
      await syncFolder(dirname(staging));
      await rm(before, { recursive: true, force: true });
    });
  } catch (error) {
    await rm(staging, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  }
}

/** Whether a model is there that may be replaced. Errors with `path/exists` for anything else there. */
export async function requireSavePlace(folder: string, replace = false): Promise<boolean> {
  if (!(await exists(folder))) return false;
  if (replace && (await exists(join(folder, sumsName)))) return true;
  return fail("path/exists", "there is something at this path already", {
    where: folder,
    expected: replace ? "nothing, or a model that save() wrote" : "nothing",
    got: "a file or folder",
    fix: replace
      ? "choose another folder"
      : "choose a new folder, or add --replace; from code save(folder, { replace: true })",
  });
}

function own({ tensors, files }: SavedModel, dtype: SaveOptions["dtype"]): HubFiles {
  const sources = [...tensors].map(([name, tensor]) => ({
    name,
    ...(isQuantizedPart(name) ? tensor : storedAs(dtype, tensor, name)),
  }));
  return { tensorsName, tensors: sources, metadata: {}, texts: files };
}

function published(
  { description, tensors, files }: SavedModel,
  layout: "huggingface" | "peft",
  dtype: SaveOptions["dtype"],
): HubFiles {
  const { family, config, adapter, wholes, task, classes, unit } = description;
  const told = (name: string, tensor: StoredTensor): StoredTensor => {
    const value = async () => ({ ...tensor, data: await dataOf(tensor) });
    return { ...tensor, data: async () => inUnit(name, await value(), { family, from: unit }).data };
  };
  const hasBias = headNames(family, task, tensors.keys()).some((name) => name.endsWith(".bias"));
  if (unit !== undefined && unit.mean !== 0 && !hasBias)
    fail(
      "hub/export",
      "the model's last layer has no bias, so that it cannot give numbers around another mean than 0",
      {
        where: "layout",
        expected: `athanor, which keeps the mean ${unit.mean} beside the model`,
        got: layout,
        fix: "leave --layout out; or train a bert, or on numbers less their mean",
      },
    );
  const stored = new Map(
    [...tensors].map(([name, tensor]) => [name, storedAs(dtype, unit ? told(name, tensor) : tensor, name)]),
  );
  const isBefore = adapter?.prompt !== undefined || adapter?.prefix !== undefined;
  if (isBefore && layout === "huggingface")
    fail("hub/export", "what is trained before a text is no part of the model: it cannot be merged", {
      where: "layout",
      expected: "peft, which writes it alone, or athanor",
      got: layout,
      fix: "--layout peft, to stand beside the model that it was trained before",
    });
  if (layout === "huggingface") return hubFiles({ family, config, task, classes, tensors: stored, files });
  const { from: base = "" } = JSON.parse(files.get("recipe.json") ?? "{}") as { readonly from?: string };
  if (isBefore) return peftPromptFiles({ config, tensors: stored, base, files });
  if (adapter?.lora === undefined)
    return fail("hub/export", "this model has no adapter", {
      where: "layout",
      expected: "a model that was trained with an adapter",
      got: "peft",
      fix: "--layout huggingface, which writes the whole model",
    });
  return peftFiles({ family, config, task, adapter: adapter.lora, wholes, tensors: stored, base, files });
}

const dataOf = async ({ data }: StoredTensor) => (typeof data === "function" ? await data() : data);

/** A parameter in another dtype. Its data errors with `model/range` where f16 is too narrow for it. */
function storedAs(dtype: SaveOptions["dtype"], tensor: StoredTensor, name: string): StoredTensor {
  const { shape } = tensor;
  if (dtype === undefined || dtype === tensor.dtype) return tensor;
  const convert = async () => {
    const values = toNumbers({ dtype: tensor.dtype, shape, data: await dataOf(tensor) });
    const stored = fromNumbers(dtype, shape, values);
    if (dtype === "f16") requireRange(values, toNumbers(stored), name);
    return stored.data;
  };
  return { dtype, shape, data: convert };
}

function requireRange(values: ArrayLike<number>, stored: ArrayLike<number>, name: string): void {
  const beyond = Array.from(stored).findIndex((value, at) => !Number.isFinite(value) && Number.isFinite(values[at]));
  if (beyond >= 0)
    fail("model/range", "a parameter is too large for f16", {
      where: name,
      expected: "at most 65,504",
      got: String(values[beyond]),
      fix: 'save(folder, { dtype: "bf16" }), which reaches as far as f32',
    });
}

/** Every file that the sums name is what was saved. A folder without sums was put together by hand: nothing is known of it. */
async function checkSums(folder: string): Promise<void> {
  if (!(await exists(join(folder, sumsName)))) return;
  for (const line of (await readFile(join(folder, sumsName), "utf8")).split("\n").filter(Boolean)) {
    const [expected, name = ""] = line.split("  ");
    const where = join(folder, name);
    const hash = createHash("sha256");
    await onDisk("reading a model", where, async () => {
      for await (const chunk of createReadStream(where)) hash.update(chunk as Buffer);
    });
    const got = hash.digest("hex");
    if (got !== expected)
      fail("model/damaged", "a file of the saved model is not what was saved", {
        where,
        expected: `SHA-256 ${expected}`,
        got,
        fix: `copy the folder again, or save the model again; after a change that was meant, delete ${sumsName}`,
      });
  }
}

function describe(text: string | undefined, where: string): ModelDescription {
  if (text === undefined) {
    return fail("model/files", "there is no model here", {
      where,
      expected: "a run, a checkpoint, a saved model with model.json, or a Hugging Face folder with config.json",
      got: "no model.json",
      fix: "check the path; `npx athanor runs` lists the runs",
    });
  }
  const description = parse(text, where);
  if (description.format !== "athanor-model")
    fail("model/files", "model.json is of another kind", {
      where,
      expected: "the format athanor-model",
      got: String(description.format),
      fix: "give a folder that Athanor wrote",
    });
  return description;
}

function parse(text: string, where: string): ModelDescription {
  try {
    return JSON.parse(text) as ModelDescription;
  } catch (error) {
    return fail("model/files", "model.json cannot be read", {
      where,
      expected: "JSON",
      got: (error as Error).message,
      fix: "copy the folder again, or save the model again",
    });
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
