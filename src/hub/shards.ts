// Tensors in several files of a bounded size, and the index that says which is where, as Transformers writes and reads them.
import { byteSize, sizeOf } from "../base/index.ts";
import type { TensorSource } from "../checkpoint/index.ts";
import type { HubFiles } from "./write.ts";

export interface Shards {
  readonly files: readonly { readonly name: string; readonly tensors: readonly TensorSource[] }[];
  /** Name and text of the index; of a single file there is none. */
  readonly index: readonly (readonly [name: string, text: string])[];
}

/** A file ends before the tensor with which it would pass `most` bytes; a larger tensor has one of its own. */
export function shardsOf({ tensorsName, tensors }: HubFiles, most: number): Shards {
  const bytesOf = ({ dtype, shape }: TensorSource) => byteSize(dtype) * sizeOf(shape);
  const parts: TensorSource[][] = [[]];
  let [filled, total] = [0, 0];
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor);
    if (filled > 0 && filled + bytes > most) {
      parts.push([]);
      filled = 0;
    }
    parts.at(-1)!.push(tensor);
    filled += bytes;
    total += bytes;
  }
  if (parts.length === 1) return { files: [{ name: tensorsName, tensors }], index: [] };
  const stem = tensorsName.replace(/\.safetensors$/, "");
  const digits = (n: number) => String(n).padStart(5, "0");
  const files = parts.map((part, i) => ({
    name: `${stem}-${digits(i + 1)}-of-${digits(parts.length)}.safetensors`,
    tensors: part,
  }));
  const weight_map = Object.fromEntries(files.flatMap((file) => file.tensors.map(({ name }) => [name, file.name])));
  const text = JSON.stringify({ metadata: { total_size: total }, weight_map }, undefined, 2);
  return { files, index: [[`${tensorsName}.index.json`, `${text}\n`]] };
}
