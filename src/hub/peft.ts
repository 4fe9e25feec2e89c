// An adapter alone, in PEFT's layout: adapter_config.json and adapter_model.safetensors, with the head that was trained beside it. Read in
// peft-read.ts.
import { fail } from "../base/index.ts";
import { headNames, type TaskName } from "../models/index.ts";
import { isLoraName, type LoraConfig } from "../nn/index.ts";
import { type Written, writeConfig } from "./config.ts";
import type { HubLayout } from "./layout.ts";
import { carriedTexts } from "./texts.ts";
import { type HubFiles, type StoredTensor, transposedData } from "./write.ts";

export const peftConfigName = "adapter_config.json";
export const peftTensorsName = "adapter_model.safetensors";

/** PEFT's name of a layer, which is that of its weight without the end. */
export const layerName = (layout: HubLayout, path: string): string => moduleOf(layout.fileName(`${path}.weight`));

/** PEFT's names of an adapter's parts. */
export const partNames = { A: "lora_A.weight", B: "lora_B.weight", magnitude: "lora_magnitude_vector" } as const;
type Part = keyof typeof partNames;

/** What PEFT calls the tasks of which it was seen to read our adapters. */
const taskTypes: Partial<Record<TaskName, string>> = {
  "language-model": "CAUSAL_LM",
  classification: "SEQ_CLS",
  regression: "SEQ_CLS",
  "token-classification": "TOKEN_CLS",
  "question-answering": "QUESTION_ANS",
};

/** The module that a parameter of a file is of. */
export const moduleOf = (fileName: string): string => fileName.replace(/\.(weight|bias)$/, "");

/**
 * Its files. `base` names the model that it stands beside, as PEFT looks for it. What PiSSA takes off again becomes further columns of
 * the narrow matrices, so that the base is the one that it was. Errors with `hub/export`.
 */
export function peftFiles(
  model: Written & {
    readonly adapter: LoraConfig;
    readonly tensors: ReadonlyMap<string, StoredTensor>;
    readonly base: string;
    /** Parameters beside the head's that are written whole. */
    readonly wholes?: readonly string[] | undefined;
    /** Of which those that are carried go along. */
    readonly files: ReadonlyMap<string, string>;
  },
): HubFiles {
  const { layout } = writeConfig(model, "float32");
  const { rank, alpha, dropout, rankStabilized, magnitude, init } = model.adapter;
  const parts = [...model.tensors].filter(([name]) => isLoraName(name) && !name.endsWith("0"));
  const pathOf = (name: string) => name.replace(/\.lora\.\w+$/, "");
  const doubled = init === "pissa" ? 2 : 1;
  const { family, task = "language-model" } = model;
  const taskType =
    taskTypes[task] ??
    fail("hub/export", "an adapter of this task is not written alone", {
      where: "layout",
      expected: Object.keys(taskTypes).join(", "),
      got: task,
      fix: "--layout huggingface, which writes the whole model, adapters merged",
    });
  const headParts = [...new Set([...headNames(family, task, model.tensors.keys()), ...(model.wholes ?? [])])];
  const adapted = headParts.find(isLoraName);
  if (adapted !== undefined)
    fail("hub/export", "a layer of the head has an adapter and is trained whole: PEFT keeps one of both", {
      where: pathOf(adapted),
      expected: "adapters of layers outside the head",
      got: "an adapter in the head",
      fix: "--layout huggingface, which merges it; or leave the head out of adapter.lora.targets",
    });
  const heads = headParts.map((name) => {
    const array = model.tensors.get(name)!;
    const kept = layout.isTransposed(name, array.shape) ? transposed(array) : array;
    return { ...kept, name: `base_model.model.${layout.fileName(name)}` };
  });
  const narrow = parts.map(([name, array]) => {
    const part = name.slice(name.lastIndexOf(".") + 1) as Part;
    const file = `base_model.model.${layerName(layout, pathOf(name))}.${partNames[part]}`;
    if (part === "magnitude") return { ...array, name: file };
    const start = model.tensors.get(`${name}0`);
    return { name: file, ...(start === undefined ? transposed(array) : withStart(part, array, start)) };
  });
  const config = {
    peft_type: "LORA",
    task_type: taskType,
    base_model_name_or_path: model.base,
    r: doubled * rank,
    lora_alpha: alpha * (rankStabilized ? Math.sqrt(doubled) : doubled), // the scale stays
    lora_dropout: dropout,
    use_rslora: rankStabilized,
    use_dora: magnitude,
    target_modules: [...new Set(parts.map(([name]) => layerName(layout, pathOf(name))))],
    fan_in_fan_out: !parts.some(([name, { shape }]) => layout.isTransposed(`${pathOf(name)}.weight`, shape)),
    bias: "none",
    ...(heads.length === 0
      ? {}
      : { modules_to_save: [...new Set(heads.map(({ name }) => moduleOf(name.replace("base_model.model.", ""))))] }),
    inference_mode: true,
  };
  return adapterFolder(config, [...narrow, ...heads], model.files);
}

/** An adapter's folder: of the model's `files` those that are carried go along. */
export function adapterFolder(
  config: object,
  tensors: HubFiles["tensors"],
  files: ReadonlyMap<string, string>,
): HubFiles {
  const carried = [...files].filter(([name]) => (carriedTexts as readonly string[]).includes(name));
  const texts = new Map([...carried, [peftConfigName, `${JSON.stringify(config, undefined, 2)}\n`]]);
  return { tensorsName: peftTensorsName, tensors, metadata: { format: "pt" }, texts };
}

const transposed = (array: StoredTensor): StoredTensor => ({
  dtype: array.dtype,
  shape: array.shape.toReversed(),
  data: () => transposedData(array),
});

/** In two bytes the sign is the highest bit. */
const negated = (values: Float32Array): Float32Array =>
  values.map((value) => (values.BYTES_PER_ELEMENT === 2 ? value ^ 0x8000 : -value));

/** A and A0 as rows below one another, B and −B0 as columns side by side: A·B − A0·B0 is then one product. */
function withStart(part: Part, array: StoredTensor, start: StoredTensor): StoredTensor {
  const [long, rank] =
    part === "A" ? (array.shape as [number, number]) : (array.shape.toReversed() as [number, number]);
  const data = async () => {
    const [now, before] = [await transposedData(array), await transposedData(start)];
    const both = new (now.constructor as Float32ArrayConstructor)(2 * now.length);
    const values = [now, before] as Float32Array[];
    if (part === "A") values.forEach((one, at) => both.set(one, at * now.length));
    else
      for (let row = 0; row < long; row++)
        values.forEach((one, at) => {
          const piece = one.subarray(row * rank, (row + 1) * rank);
          both.set(at === 0 ? piece : negated(piece), (2 * row + at) * rank);
        });
    return both;
  };
  return { dtype: array.dtype, shape: part === "A" ? [2 * rank, long] : [long, 2 * rank], data };
}
