// What PEFT trains before a text, in its layout: virtual tokens (PROMPT_TUNING), or keys and values of every layer (PREFIX_TUNING).
// Both lie as prompt_embeddings in adapter_model.safetensors, beside adapter_config.json.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { fail, formatType, parseConfig, sameShape } from "../base/index.ts";
import { SafetensorsFile } from "../checkpoint/index.ts";
import { addPrefix, addPrompt, type Gpt, keyValueSizes, type Llama, modelFamily } from "../models/index.ts";
import { prefixName, promptName } from "../nn/index.ts";
import { parseJson } from "./config.ts";
import { adapterFolder, peftConfigName, peftTensorsName } from "./peft.ts";
import { type AdaptedHubModel, baseOf, isPeftFolder, only, readPeftModel } from "./peft-read.ts";
import { type HubModel, type KeepTensor, readHubModel, readTexts } from "./read.ts";
import type { HubFiles, StoredTensor } from "./write.ts";

const tensorName = "prompt_embeddings";

// What they began as, and what made them in training (prefix_projection), is no matter once they are trained.
const promptSchema = z.looseObject({
  peft_type: z.enum(["PROMPT_TUNING", "PREFIX_TUNING"]),
  base_model_name_or_path: z.string().nullable().default(null),
  num_virtual_tokens: z.number().int().positive(),
  num_transformer_submodules: only(1),
  modules_to_save: only([]),
});

/** A model with what is trained before its texts: `tensors` hold both. */
export interface PromptedHubModel extends HubModel {
  readonly prompt?: { readonly tokens: number };
  readonly prefix?: { readonly tokens: number };
}

/** Reads low-rank adapters, or what stands before a text, and their model, as `readPeftModel` does. */
export async function readPeftFolder(
  folder: string,
  base?: string,
  keep?: KeepTensor,
): Promise<AdaptedHubModel | PromptedHubModel> {
  if (!(await isPeftFolder(folder))) return await readPeftModel(folder, base, keep); // which refuses it
  const where = join(folder, peftConfigName);
  const raw = parseJson(await readFile(where, "utf8"), where);
  if (raw.peft_type !== "PROMPT_TUNING" && raw.peft_type !== "PREFIX_TUNING")
    return await readPeftModel(folder, base, keep);
  const config = parseConfig(promptSchema, raw, where);
  const model = await readHubModel(base ?? (await baseOf(folder, config.base_model_name_or_path)), keep);
  const { module } = modelFamily(model.family).build(model.config, { task: model.task });
  const adapter = { tokens: config.num_virtual_tokens };
  const isPrefix = config.peft_type === "PREFIX_TUNING";
  if (isPrefix) addPrefix(module, adapter);
  else addPrompt(module, adapter.tokens);
  const name = isPrefix ? prefixName : promptName;
  const wanted = module.parameters().get(name)!.shape;
  const file = await SafetensorsFile.open(join(folder, peftTensorsName));
  try {
    const value = file.names.includes(tensorName) ? await file.read(tensorName) : undefined;
    if (value === undefined || !sameShape(value.shape, wanted))
      return fail("hub/adapter", "the virtual tokens are not what their configuration and the model say", {
        where: join(folder, peftTensorsName),
        expected: `${tensorName} [${wanted}]`,
        got: value === undefined ? file.names.join(", ") : formatType(value.dtype, value.shape),
        fix: "give the model that they were trained before, or save them again with PEFT",
      });
    const texts = new Map([...model.texts, ...(await readTexts(folder))]); // such as a template that it learnt
    const tensors = new Map([...model.tensors, [name, value]]);
    return { ...model, folder, ...(isPrefix ? { prefix: adapter } : { prompt: adapter }), texts, tensors };
  } finally {
    await file.close();
  }
}

/** The files of what is trained before a model's texts, without the model; a prefix's projection has been applied. `base` names the model, as PEFT looks for it. */
export function peftPromptFiles(model: {
  readonly config: unknown;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly base: string;
  /** Of which those that are carried go along. */
  readonly files: ReadonlyMap<string, string>;
}): HubFiles {
  const sizes = model.config as (Gpt | Llama)["config"];
  const prompt = model.tensors.get(promptName);
  const tokens = prompt ?? model.tensors.get(prefixName)!;
  const [heads, width] = keyValueSizes(sizes);
  const config = {
    ...{ peft_type: prompt === undefined ? "PREFIX_TUNING" : "PROMPT_TUNING", task_type: "CAUSAL_LM" },
    base_model_name_or_path: model.base,
    num_virtual_tokens: tokens.shape[0],
    num_layers: sizes.layers,
    num_transformer_submodules: 1,
    // of a prefix, those of keys and values
    ...(prompt === undefined
      ? { token_dim: heads * width, num_attention_heads: heads, prefix_projection: false }
      : { token_dim: sizes.width, num_attention_heads: sizes.heads, prompt_tuning_init: "RANDOM" }),
    inference_mode: true,
  };
  return adapterFolder(config, [{ ...tokens, name: tensorName }], model.files);
}
