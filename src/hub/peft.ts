// An adapter alone, in PEFT's layout: adapter_config.json and adapter_model.safetensors.
import { isLoraName, type LoraConfig } from "../nn/index.ts";
import { type Written, writeConfig } from "./config.ts";
import { type HubFiles, type StoredTensor, transposedData } from "./write.ts";

/** Its files. `base` names the model that it stands beside, as PEFT looks for it. Errors with `hub/export`. */
export function peftFiles(
  model: Written & {
    readonly adapter: LoraConfig;
    readonly tensors: ReadonlyMap<string, StoredTensor>;
    readonly base: string;
  },
): HubFiles {
  const { layout } = writeConfig(model, "float32");
  const { rank, alpha, dropout, rankStabilized } = model.adapter;
  const parts = [...model.tensors].filter(([name]) => isLoraName(name));
  const pathOf = (name: string) => layout.fileName(name.replace(/\.lora\.[AB]$/, ""));
  const tensors = parts.map(([name, array]) => ({
    name: `base_model.model.${pathOf(name)}.lora_${name.at(-1)}.weight`,
    dtype: array.dtype,
    shape: array.shape.toReversed(),
    data: () => transposedData(array),
  }));
  const config = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: model.base,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: dropout,
    use_rslora: rankStabilized,
    target_modules: [...new Set(parts.map(([name]) => pathOf(name)))],
    fan_in_fan_out: !parts.some(([name, { shape }]) =>
      layout.isTransposed(name.replace(/lora\.[AB]$/, "weight"), shape),
    ),
    bias: "none",
    inference_mode: true,
  };
  const texts = new Map([["adapter_config.json", `${JSON.stringify(config, undefined, 2)}\n`]]);
  return { tensorsName: "adapter_model.safetensors", tensors, metadata: { format: "pt" }, texts };
}
