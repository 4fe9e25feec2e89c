// An adapter of PEFT's, and the model that it stands beside. Nothing in either folder is executed.
import { readdir, readFile } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { z } from "zod";
import { fail, formatType, type HostArray, parseConfig, type Shape, sameShape } from "../base/index.ts";
import { SafetensorsFile } from "../checkpoint/index.ts";
import { modelFamily } from "../models/index.ts";
import { Linear, type LoraConfig } from "../nn/index.ts";
import { parseJson, writeConfig } from "./config.ts";
import { layerName, moduleOf, partNames, peftConfigName, peftTensorsName } from "./peft.ts";
import { type HubModel, isHubFolder, type KeepTensor, readHubModel, readTexts, transpose } from "./read.ts";

/** A setting whose other values would mean another computation. */
export const only = <T extends z.core.util.JSONType>(value: T) =>
  z
    .custom<T>((given) => given === null || JSON.stringify(given) === JSON.stringify(value), {
      error: ({ input }) => `only ${JSON.stringify(value)} can be read, got ${JSON.stringify(input)}`,
    })
    .default(value as never);

const peftSchema = z.looseObject({
  peft_type: z.literal("LORA"),
  base_model_name_or_path: z.string().nullable().default(null),
  r: z.number().int().positive(),
  lora_alpha: z.number().positive(),
  lora_dropout: z.number().min(0).lt(1).default(0),
  use_rslora: z.boolean().default(false),
  use_dora: z.boolean().default(false),
  bias: only("none"),
  lora_bias: only(false),
  use_qalora: only(false),
  rank_pattern: only({}),
  alpha_pattern: only({}),
  modules_to_save: z.array(z.string()).nullable().default(null),
  layer_replication: only([]),
  target_parameters: only([]),
  trainable_token_indices: only([]),
  // these change the base while they begin; PEFT converts them with path_initial_model_for_weight_conversion
  init_lora_weights: z
    .union([z.boolean(), z.string().regex(/^(?!pissa|olora|corda|loftq|lora_ga)/)])
    .default(true)
    .describe("an adapter that leaves its base as it is"),
});

/** True for a folder that holds an adapter and no model. */
export async function isPeftFolder(folder: string): Promise<boolean> {
  const names: string[] = await readdir(folder).catch(() => []);
  return names.includes(peftConfigName) && !names.includes("model.json");
}

/** A model with its adapter: `tensors` hold both. */
export interface AdaptedHubModel extends HubModel {
  readonly adapter: LoraConfig;
  /** Parameters that the adapter's folder holds whole. */
  readonly wholes: readonly string[];
}

/**
 * Reads an adapter, and the model beside which it stands: the folder `base`, or the one that its configuration names, from where we are or
 * from the adapter's folder. Errors with `hub/*`, `config/invalid`, `safetensors/*`.
 */
export async function readPeftModel(folder: string, base?: string, keep?: KeepTensor): Promise<AdaptedHubModel> {
  const where = join(folder, peftConfigName);
  if (!(await isPeftFolder(folder)))
    return fail("hub/files", "there is no adapter here", {
      where: folder,
      expected: `${peftConfigName} and ${peftTensorsName}`,
      got: `no ${peftConfigName}`,
      fix: "give the folder that PEFT or `athanor export --layout peft` wrote",
    });
  const config = parseConfig(peftSchema, parseJson(await readFile(where, "utf8"), where), where);
  const model = await readHubModel(base ?? (await baseOf(folder, config.base_model_name_or_path)), keep);
  const { targets, tensors, wholes } = await readParts(folder, model, config, keep);
  const adapter: LoraConfig = {
    rank: config.r,
    alpha: config.lora_alpha,
    rankStabilized: config.use_rslora,
    dropout: config.lora_dropout,
    targets,
    magnitude: config.use_dora,
    init: "zero",
  };
  const texts = new Map([...model.texts, ...(await readTexts(folder))]); // such as the template of conversations that it learnt
  return { ...model, folder, adapter, wholes, texts, tensors: new Map([...model.tensors, ...tensors]) };
}

export async function baseOf(folder: string, name: string | null): Promise<string> {
  const candidates =
    name === null || name === ""
      ? []
      : isAbsolute(name)
        ? [name]
        : [name, join(dirname(folder), name), join(folder, name)];
  for (const candidate of candidates) if (await isHubFolder(candidate)) return candidate;
  return fail("hub/adapter", "the model that the adapter stands beside is not here", {
    where: join(folder, peftConfigName),
    expected: "base_model_name_or_path: a folder with config.json and model.safetensors",
    got: name === null ? "none" : JSON.stringify(name),
    fix: "download it and name its folder there, or give it by hand: athanor generate BASE --adapter FOLDER",
  });
}

async function readParts(
  folder: string,
  model: HubModel,
  { r, use_dora: withMagnitude, modules_to_save: saved }: z.output<typeof peftSchema>,
  keep: KeepTensor = (name, value) => [[name, value]],
) {
  const { module } = modelFamily(model.family).build(model.config, { task: model.task });
  const { layout } = writeConfig(model, "float32");
  const file = await SafetensorsFile.open(join(folder, peftTensorsName));
  try {
    const names = new Map(
      file.names.map((name) => [name.replace(/magnitude_vector\.weight$/, "magnitude_vector"), name]),
    );
    const targets: string[] = [];
    const wholes: string[] = [];
    const tensors = new Map<string, HostArray>();
    for (const [path, layer] of module.modules()) {
      if (!(layer instanceof Linear)) continue;
      const prefix = `base_model.model.${layerName(layout, path)}.`;
      if (!names.has(prefix + partNames.A)) continue;
      targets.push(path);
      const [inputs, outputs] = layer.weight.shape as [number, number];
      const wanted = { A: [r, inputs], B: [outputs, r], ...(withMagnitude ? { magnitude: [outputs] } : {}) };
      for (const [part, shape] of Object.entries(wanted) as [keyof typeof partNames, number[]][]) {
        const name = names.get(prefix + partNames[part]);
        const value = name === undefined ? undefined : await file.read(name);
        const found = requireShape(value, shape, prefix + partNames[part], folder);
        names.delete(prefix + partNames[part]);
        tensors.set(`${path}.lora.${part}`, found.shape.length === 1 ? found : transpose(found));
      }
    }
    for (const [name, { shape }] of module.parameters()) {
      const path = moduleOf(layout.fileName(name));
      const fileName = `base_model.model.${layout.fileName(name)}`;
      if (!saved?.some((one) => `.${path}.`.includes(`.${one}.`))) continue;
      const isTransposed = layout.isTransposed(name, shape);
      const value = names.has(fileName) ? await file.read(fileName) : undefined;
      const found = requireShape(value, isTransposed ? shape.toReversed() : shape, fileName, folder);
      names.delete(fileName);
      wholes.push(name);
      for (const [part, kept] of keep(name, isTransposed ? transpose(found) : found)) tensors.set(part, kept);
    }
    const [unplaced] = names.values();
    if (unplaced !== undefined || targets.length === 0)
      fail("hub/adapter", "the adapter is of another model", {
        where: join(folder, peftTensorsName),
        expected: `parts of the linear layers of ${layout.architecture}`,
        got: unplaced ?? "no tensors",
        fix: "give the model that it was trained beside",
      });
    return { targets, tensors, wholes };
  } finally {
    await file.close();
  }
}

function requireShape(value: HostArray | undefined, shape: Shape, name: string, folder: string): HostArray {
  if (value !== undefined && sameShape(value.shape, shape)) return value;
  return fail("hub/adapter", "the adapter's tensors are not what its configuration and the model say", {
    where: join(folder, peftTensorsName),
    expected: `${name} [${shape}]`,
    got: value === undefined ? "no tensor of this name" : formatType(value.dtype, value.shape),
    fix: "give the model that it was trained beside, or save it again with PEFT",
  });
}
