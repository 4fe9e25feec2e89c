// From a Hugging Face folder to a model of ours. Nothing in it is executed: tensors come from safetensors alone.
import { readFileSync, statSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fail, formatBytes, formatType, type HostArray, sameShape } from "../base/index.ts";
import { SafetensorsFile } from "../checkpoint/index.ts";
import { modelFamily, type TaskName } from "../models/index.ts";
import { parseJson, readConfig } from "./config.ts";
import type { HubLayout } from "./layout.ts";
import { failPickle, isPickle } from "./pickle.ts";
import { carriedTexts } from "./texts.ts";

export interface HubModel {
  readonly folder: string;
  /** Our family and its complete configuration. */
  readonly family: string;
  readonly config: unknown;
  readonly task: TaskName;
  /** Names by id, of a classifier. */
  readonly classes: readonly string[] | undefined;
  /** Parameters by our names, in our layout, in the file's dtype. */
  readonly tensors: ReadonlyMap<string, HostArray>;
  /** Of `tokenizer.json`, `tokenizer_config.json`, `generation_config.json` and their like those that are there, by name. */
  readonly texts: ReadonlyMap<string, string>;
}

const configName = "config.json";
const maxTextBytes = {
  [configName]: 2 ** 20,
  "model.safetensors.index.json": 2 ** 26,
  "tokenizer.json": 2 ** 28,
  "tokenizer_config.json": 2 ** 24,
  "special_tokens_map.json": 2 ** 20,
  "chat_template.jinja": 2 ** 20,
  "generation_config.json": 2 ** 20,
} as const;

/** True for a folder that looks like a model of the Hub's. */
export async function isHubFolder(folder: string): Promise<boolean> {
  const names = new Set(await readdir(folder).catch(() => []));
  return names.has(configName) && !names.has("model.json");
}

/** What is kept of a tensor as it is read, before the next one is: itself, or the parts that a store has of it. */
export type KeepTensor = (name: string, value: HostArray) => Iterable<readonly [string, HostArray]>;

/**
 * Reads `config.json`, `model.safetensors` (or its shards by their index), `tokenizer.json` and the texts beside it.
 * Errors with `hub/*`, `config/invalid`, `safetensors/*`.
 */
export async function readHubModel(
  folder: string,
  keep: KeepTensor = (name, value) => [[name, value]],
): Promise<HubModel> {
  const text = await textOf(folder, configName);
  if (text === undefined) return failNoModel(folder);
  const { layout, config, classes } = readConfig(text, join(folder, configName));
  const { family, task = "language-model" } = layout;
  const tensors = await readTensors(folder, layout, config, keep);
  return { folder, family, config, task, classes, tensors, texts: await readTexts(folder) };
}

/** The small texts of a folder that travel with a model, by name. Errors with `hub/config` where one is no JSON that should be. */
export async function readTexts(folder: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const name of carriedTexts) {
    const carried = await textOf(folder, name);
    if (carried === undefined) continue;
    if (name.endsWith(".json")) parseJson(carried, join(folder, name));
    texts.set(name, carried);
  }
  return texts;
}

/** The family and the settings of a folder's model, without its tensors. Errors with `hub/files`, `hub/config`, `config/invalid`. */
export function readHubConfig(folder: string): Pick<HubModel, "family" | "config"> {
  const where = join(folder, configName);
  const size = statSync(where, { throwIfNoEntry: false })?.size;
  if (size === undefined || size > maxTextBytes[configName]) return failNoModel(folder);
  const { layout, config } = readConfig(readFileSync(where, "utf8"), where);
  return { family: layout.family, config };
}

function failNoModel(folder: string): never {
  return fail("hub/files", "there is no model here", {
    where: folder,
    expected: `${configName} and model.safetensors`,
    got: `no ${configName}`,
    fix: "check the path: the whole folder of the model is needed; `athanor export --layout huggingface` writes one",
  });
}

async function readTensors(
  folder: string,
  layout: HubLayout,
  config: unknown,
  keep: KeepTensor,
): Promise<Map<string, HostArray>> {
  const { module } = modelFamily(layout.family).build(config, { task: layout.task ?? "language-model" });
  const files: SafetensorsFile[] = [];
  try {
    for (const name of await tensorFiles(folder)) files.push(await SafetensorsFile.open(join(folder, name)));
    const places = new Map(files.flatMap((file) => file.names.map((name) => [name, file] as const)));
    const nameOf = (name: string) =>
      [layout.fileName(name), layout.otherName?.(name)].find((one) => one !== undefined && places.has(one));
    const left = new Set(places.keys());
    const tensors = new Map<string, HostArray>();
    for (const [name, { shape }] of module.parameters()) {
      const fileName = nameOf(name);
      if (fileName === undefined)
        return fail("hub/tensor", "the files lack a parameter of the model", {
          where: folder,
          expected: layout.fileName(name),
          got: "no tensor of this name",
          fix: "download the folder again: a shard may be missing; or config.json belongs to another model",
        });
      const transposed = layout.isTransposed(name, shape);
      const value = await places.get(fileName)!.read(fileName);
      const wanted = transposed ? shape.toReversed() : shape;
      if (!sameShape(value.shape, wanted))
        return fail("hub/tensor", `tensor ${fileName} has another shape than config.json says`, {
          where: folder,
          expected: formatType(value.dtype, wanted),
          got: formatType(value.dtype, value.shape),
          fix: "download config.json and the tensors again, from the same model",
        });
      for (const [part, kept] of keep(name, transposed ? transpose(value) : value)) tensors.set(part, kept);
      left.delete(fileName);
    }
    for (const name of left) {
      const tied = nameOf(layout.copyOf?.(name, config) ?? name)!;
      if (tied === name && !layout.isIgnored(name))
        return fail("hub/tensor", "the files hold a tensor that the model has no place for", {
          where: folder,
          expected: `the tensors of ${layout.architecture}`,
          got: name,
          fix: "a model with another head or further parts cannot be read as what config.json says it is",
        });
      // Transformers takes each for itself then
      if (tied !== name && !sameBytes(await places.get(name)!.read(name), await places.get(tied)!.read(tied)))
        return fail("hub/tensor", "two tensors that should be one by config.json are not the same", {
          where: folder,
          expected: `the numbers of ${tied}`,
          got: `others in ${name}`,
          fix: 'a head of its own is read where config.json says "tie_word_embeddings": false, of BERT and of two tables of tokens none is',
        });
    }
    return tensors;
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

const bytesOf = ({ data }: HostArray) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
const sameBytes = (a: HostArray, b: HostArray) => a.dtype === b.dtype && bytesOf(a).equals(bytesOf(b));

/** The safetensors files, by the index where there is one. Errors with `hub/pickle`, `hub/files`, `hub/config`. */
async function tensorFiles(folder: string): Promise<string[]> {
  const names = new Set(await readdir(folder));
  const indexName = "model.safetensors.index.json";
  if (names.has("model.safetensors")) return ["model.safetensors"];
  if (names.has(indexName)) {
    const where = join(folder, indexName);
    const { weight_map: map } = parseJson((await textOf(folder, indexName))!, where);
    const files = typeof map === "object" && map !== null ? [...new Set<unknown>(Object.values(map))] : [];
    const wrong = files.find(
      (name) => typeof name !== "string" || !/^[\w.-]+\.safetensors$/.test(name) || !names.has(name),
    );
    if (files.length > 0 && wrong === undefined) return files as string[];
    return fail("hub/files", "the index does not name the shards of this folder", {
      where,
      expected: "weight_map, with files of this folder",
      got: files.length === 0 ? "no weight_map" : String(wrong).slice(0, 200),
      fix: "download the folder again: a shard may be missing",
    });
  }
  const pickle = [...names].find(isPickle);
  if (pickle !== undefined) return failPickle(join(folder, pickle), pickle);
  return fail("hub/files", "there are no tensors here", {
    where: folder,
    expected: "model.safetensors, or its shards with their index",
    got: [...names].slice(0, 10).join(", ") || "an empty folder",
    fix: "download the whole folder of the model",
  });
}

async function textOf(folder: string, name: keyof typeof maxTextBytes): Promise<string | undefined> {
  const path = join(folder, name);
  const info = await stat(path).catch(() => undefined);
  if (info === undefined) return undefined;
  if (!info.isFile() || info.size > maxTextBytes[name])
    fail("hub/files", "a file of the model is not what its name says", {
      where: path,
      expected: `a file of at most ${formatBytes(maxTextBytes[name])}`,
      got: info.isFile() ? formatBytes(info.size) : "no regular file",
    });
  return await readFile(path, "utf8");
}

/** A matrix with rows and columns exchanged, bit for bit, by squares that stay in cache. */
export function transpose({ dtype, shape, data }: HostArray): HostArray {
  const [rows, columns] = shape as [number, number];
  const to = data.slice() as HostArray["data"];
  const square = 64;
  for (let top = 0; top < rows; top += square) {
    for (let left = 0; left < columns; left += square) {
      const [bottom, right] = [Math.min(top + square, rows), Math.min(left + square, columns)];
      for (let row = top; row < bottom; row++)
        for (let column = left; column < right; column++) to[column * rows + row] = data[row * columns + column]!;
    }
  }
  return { dtype, shape: [columns, rows], data: to };
}
