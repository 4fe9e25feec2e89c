// Virtual tokens in PEFT's layout (PROMPT_TUNING): adapter_config.json and prompt_embeddings in adapter_model.safetensors.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { fail, formatType, parseConfig, sameShape } from "../base/index.ts";
import { SafetensorsFile } from "../checkpoint/index.ts";
import { promptName } from "../nn/index.ts";
import { parseJson } from "./config.ts";
import { adapterFolder, peftConfigName, peftTensorsName } from "./peft.ts";
import { type AdaptedHubModel, baseOf, only, readPeftModel } from "./peft-read.ts";
import { type HubModel, type KeepTensor, readHubModel, readTexts } from "./read.ts";
import type { HubFiles, StoredTensor } from "./write.ts";

const tensorName = "prompt_embeddings";

// What the tokens began as (prompt_tuning_init) is no matter once they are trained.
const promptSchema = z.looseObject({
  peft_type: z.literal("PROMPT_TUNING"),
  base_model_name_or_path: z.string().nullable().default(null),
  num_virtual_tokens: z.number().int().positive(),
  num_transformer_submodules: only(1),
  modules_to_save: only([]),
});

/** A model with the virtual tokens before it: `tensors` hold both. */
export interface PromptedHubModel extends HubModel {
  readonly prompt: { readonly tokens: number };
}

/** Reads low-rank adapters or virtual tokens, and the model that they stand beside, as `readPeftModel` does. */
export async function readPeftFolder(
  folder: string,
  base?: string,
  keep?: KeepTensor,
): Promise<AdaptedHubModel | PromptedHubModel> {
  const where = join(folder, peftConfigName);
  const raw = parseJson(await readFile(where, "utf8"), where);
  if (raw.peft_type !== "PROMPT_TUNING") return await readPeftModel(folder, base, keep);
  const config = parseConfig(promptSchema, raw, where);
  const model = await readHubModel(base ?? (await baseOf(folder, config.base_model_name_or_path)), keep);
  const file = await SafetensorsFile.open(join(folder, peftTensorsName));
  try {
    const { width } = model.config as { readonly width: number };
    const wanted = [config.num_virtual_tokens, width];
    const value = file.names.includes(tensorName) ? await file.read(tensorName) : undefined;
    if (value === undefined || !sameShape(value.shape, wanted))
      return fail("hub/adapter", "the virtual tokens are not what their configuration and the model say", {
        where: join(folder, peftTensorsName),
        expected: `${tensorName} [${wanted}]`,
        got: value === undefined ? file.names.join(", ") : formatType(value.dtype, value.shape),
        fix: "give the model that they were trained before, or save them again with PEFT",
      });
    const prompt = { tokens: config.num_virtual_tokens };
    const texts = new Map([...model.texts, ...(await readTexts(folder))]); // such as a template that it learnt
    return { ...model, folder, prompt, texts, tensors: new Map([...model.tensors, [promptName, value]]) };
  } finally {
    await file.close();
  }
}

/** The files of a model's virtual tokens alone. `base` names the model, as PEFT looks for it. */
export function peftPromptFiles(model: {
  readonly config: unknown;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly base: string;
  /** Of which those that are carried go along. */
  readonly files: ReadonlyMap<string, string>;
}): HubFiles {
  const { layers, heads } = model.config as { readonly layers: number; readonly heads: number };
  const tokens = model.tensors.get(promptName)!;
  const [count, width] = tokens.shape;
  const config = {
    peft_type: "PROMPT_TUNING",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: model.base,
    num_virtual_tokens: count,
    token_dim: width,
    num_layers: layers,
    num_attention_heads: heads,
    num_transformer_submodules: 1,
    prompt_tuning_init: "RANDOM",
    inference_mode: true,
  };
  return adapterFolder(config, [{ ...tokens, name: tensorName }], model.files);
}
