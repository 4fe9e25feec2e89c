// Folders that Transformers wrote: read, run, written again byte for byte.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fromNumbers, type HostArray, toNumbers } from "../../base/index.ts";
import { SafetensorsFile, writeSafetensors } from "../../checkpoint/index.ts";
import type { Tensor } from "../../core/index.ts";
import { CharTokenizer } from "../../data/index.ts";
import { evaluate } from "../../engine/index.ts";
import { type HubModel, hubFiles, readHubModel } from "../../hub/index.ts";
import { modelFamily } from "../../models/index.ts";
import { functionalCall } from "../../nn/index.ts";
import { atMost, equal, type Figure, holds, largestDifference, type Proof } from "../proof.ts";
import { publishedFolders } from "./hub.generated.ts";

interface Published {
  /** What the model reads, in the order of its arguments. */
  readonly inputs: readonly { readonly shape: readonly number[]; readonly data: readonly number[] }[];
  readonly files: { readonly [name: string]: string };
  readonly logits: readonly number[];
}

function logitsOf({ family, config, task, tensors }: HubModel, inputs: readonly HostArray[]): readonly number[] {
  const { module } = modelFamily(family).build(config, { task });
  const names = [...tensors.keys()];
  const values = [...tensors].map(
    ([name, array]) => [`of ${name}`, fromNumbers("f64", array.shape, toNumbers(array))] as const,
  );
  const forward = (...given: Tensor[]) => {
    const parameters = new Map(names.map((name, at) => [name, given[inputs.length + at]!]));
    return functionalCall(module, parameters, () => module.forward(...given.slice(0, inputs.length))) as Tensor;
  };
  const feeds = inputs.map((input, at) => [`input ${at}`, input] as const);
  return evaluate(forward, Object.fromEntries([...feeds, ...values])).data;
}

/** Each tensor's type and bytes. */
async function tensorsIn(folder: string): Promise<string> {
  const file = await SafetensorsFile.open(join(folder, "model.safetensors"));
  const found: string[] = [];
  for (const name of file.names) {
    const { dtype, shape, data } = await file.read(name);
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
    found.push(`${name} ${dtype}[${shape}] ${bytes}`);
  }
  await file.close();
  return found.sort().join("\n");
}

async function published(folder: string, name: string, { inputs, files, logits }: Published): Promise<Figure[]> {
  const [before, after] = [join(folder, name), join(folder, `${name} again`)];
  for (const one of [before, after]) await mkdir(one);
  for (const [file, text] of Object.entries(files)) await writeFile(join(before, file), Buffer.from(text, "base64"));
  const tokenizer = JSON.stringify(CharTokenizer.train("to be or not to be"));
  await writeFile(join(before, "tokenizer.json"), tokenizer);
  const model = await readHubModel(before);
  const written = hubFiles({ ...model, files: model.texts });
  await writeSafetensors(join(after, written.tensorsName), written.tensors, written);
  for (const [file, text] of written.texts) await writeFile(join(after, file), text);
  const ours = logitsOf(
    model,
    inputs.map(({ shape, data }) => fromNumbers("i32", shape, data)),
  );
  return [
    atMost(`${name}: largest difference from Transformers' logits`, largestDifference(ours, logits), 1e-4),
    holds(`${name}: tensors saved again, byte for byte`, (await tensorsIn(before)) === (await tensorsIn(after))),
    equal(`${name}: tokenizer.json saved again`, await readFile(join(after, "tokenizer.json"), "utf8"), tokenizer),
  ].map((figure) => (typeof figure.value === "string" ? { ...figure, value: figure.ok, bound: "true" } : figure));
}

export const transformersProofs: readonly Proof[] = [
  {
    id: "sys.transformers",
    doc: "tiny folders of Transformers (GPT-2, Llama, Qwen2, BERT, T5): its logits, and the same bytes when saved again",
    run: async ({ folder }) => {
      const figures: Figure[] = [];
      for (const [name, one] of Object.entries<Published>(publishedFolders))
        figures.push(...(await published(folder, name, one)));
      return figures;
    },
  },
];
