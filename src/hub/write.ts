// From a model of ours to the files of a Hugging Face folder. Where they go, and that all of them arrive, is the caller's.
import type { HostData } from "../base/index.ts";
import type { TensorSource } from "../checkpoint/index.ts";
import { type TokenizerFile, templateOf } from "../data/index.ts";
import { type Written, writeConfig } from "./config.ts";
import { transpose } from "./read.ts";
import { carriedTexts, tokenizerConfig } from "./texts.ts";

export interface HubFiles {
  readonly tensorsName: string;
  /** What that file holds: made one by one, when its turn comes. */
  readonly tensors: readonly TensorSource[];
  /** Said in its header, as Transformers asks for. */
  readonly metadata: Readonly<Record<string, string>>;
  /** `config.json` and what is carried beside it, by name. */
  readonly texts: ReadonlyMap<string, string>;
}

/** A tensor of a model to be written; a function makes its data when its turn comes. */
export type StoredTensor = Omit<TensorSource, "name">;

/**
 * The files of a model by our names and in our layout; all tensors have one dtype. Errors with `hub/export` where no published
 * layout holds it.
 */
export function hubFiles(
  model: Written & {
    readonly tensors: ReadonlyMap<string, StoredTensor>;
    /** Of which those that are carried go along. */
    readonly files?: ReadonlyMap<string, string>;
  },
): HubFiles {
  const dtypes = { f32: "float32", bf16: "bfloat16", f16: "float16" } as const;
  const [first] = model.tensors.values();
  const dtype = dtypes[first!.dtype as keyof typeof dtypes];
  const { layout, json } = writeConfig(model, dtype);
  const tensors = [...model.tensors].map(([name, array]): TensorSource => {
    const transposed = layout.isTransposed(name, array.shape);
    return {
      name: layout.fileName(name),
      dtype: array.dtype,
      shape: transposed ? array.shape.toReversed() : array.shape,
      data: transposed ? () => transposedData(array) : array.data,
    };
  });
  const given = model.files ?? new Map<string, string>();
  const tokenizer = given.get("tokenizer.json");
  const made = tokenizer === undefined ? undefined : tokenizerConfig(tokenizer);
  const own = (given.get("tokenizer_config.json") ?? made) === made ? made : undefined; // also where it was read from an export of ours
  const ends = layout.task === undefined && own !== undefined ? endIds(tokenizer!, own) : {};
  const texts = new Map([["config.json", `${JSON.stringify({ ...json, ...ends }, undefined, 2)}\n`]]);
  for (const name of carriedTexts) if (given.has(name)) texts.set(name, given.get(name)!);
  if (own !== undefined) texts.set("tokenizer_config.json", own);
  const end = texts.has("generation_config.json") ? undefined : endOfText(texts);
  if (end !== undefined)
    texts.set("generation_config.json", `${JSON.stringify({ eos_token_id: end }, undefined, 2)}\n`);
  return { tensorsName: "model.safetensors", tensors, metadata: { format: "pt" }, texts };
}

/** Which token ends a text, if any: left out, Transformers takes a number of the published models. */
function endIds(tokenizer: string, tokenizerConfig: string): { bos_token_id: null; eos_token_id: number | null } {
  const { eos_token: eos } = JSON.parse(tokenizerConfig) as { readonly eos_token?: string };
  const { added_tokens: added = [] } = JSON.parse(tokenizer) as Partial<TokenizerFile>;
  return { bos_token_id: null, eos_token_id: added.find(({ content }) => content === eos)?.id ?? null };
}

/** The id of the token that ends an answer, where a chat template names one: Transformers' `generate` stops at it. */
function endOfText(texts: ReadonlyMap<string, string>): number | undefined {
  const eos = templateOf(texts.get("tokenizer_config.json"), undefined, "tokenizer_config.json")?.eos;
  const { added_tokens: added = [] } = JSON.parse(texts.get("tokenizer.json") ?? "{}") as Partial<TokenizerFile>;
  return added.find(({ content }) => content === eos)?.id;
}

/** The data of a matrix, its rows and columns exchanged. */
export async function transposedData({ dtype, shape, data }: StoredTensor): Promise<HostData> {
  return transpose({ dtype, shape, data: typeof data === "function" ? await data() : data }).data;
}
