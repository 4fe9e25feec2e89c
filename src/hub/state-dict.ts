// A PyTorch `state_dict` that was saved as safetensors, for a model of ours: names and shapes are matched, nothing is guessed. PyTorch's
// own format is not read: it runs code.
import { fail, fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { SafetensorsFile } from "../checkpoint/index.ts";
import { Linear, type Module, Sequential } from "../nn/index.ts";

/**
 * The parameters of `model` from a PyTorch `state_dict`, saved with `safetensors.torch.save_file`: for `fit`'s `parameters`. A module's
 * fields are named as PyTorch's attributes are; layers of a `Sequential` by their place, `0.weight`. The weights of `Linear`, which PyTorch
 * stores transposed, are turned. Errors with `state-dict/names` and `state-dict/shape`, all problems at once, and `safetensors/*`.
 *
 * @example
 * ```ts
 * import { fit, Linear, meanSquaredError, readStateDict, Sequential } from "athanor";
 * const net = new Sequential(new Linear(3, 4), (x) => x.relu(), new Linear(4, 2));
 * const parameters = await readStateDict("net.safetensors", net);
 * const model = await fit(net, { x: [[1, 2, 3]], y: [[0, 0]] }, { loss: meanSquaredError, parameters, epochs: 0 });
 * console.log(await model.predict([[1, 2, 3]]));
 * ```
 */
export async function readStateDict(path: string, model: Module): Promise<Map<string, HostArray>> {
  const modules = model.modules();
  const sequences = [...modules].flatMap(([at, module]) => (module instanceof Sequential ? [at] : []));
  const linears = new Set(
    [...modules].flatMap(([at, module]) => (module instanceof Linear ? [under(at, "weight")] : [])),
  );
  const own = new Map(
    [...model.parameters()].map(([name, { shape }]) => [torchName(name, sequences), { name, shape }]),
  );
  const file = await SafetensorsFile.open(path);
  try {
    const names = new Set(file.names);
    const missing = [...own.keys()].filter((name) => !names.has(name));
    const unknown = file.names.filter((name) => !own.has(name));
    if (missing.length + unknown.length > 0) {
      fail("state-dict/names", "the file and the model name different parameters", {
        where: path,
        expected: [...own.keys()].join(", "),
        got: `${missing.length > 0 ? `without ${missing.join(", ")}` : "all of them"}${unknown.length > 0 ? `, and ${unknown.join(", ")}` : ""}`,
        fix: "name the model's fields as the PyTorch module names its attributes",
      });
    }
    const tensors = new Map<string, HostArray>();
    const wrong: string[] = [];
    for (const [torch, { name, shape }] of own) {
      const saved = await file.read(torch);
      const tensor = linears.has(name) ? transposed(saved) : saved;
      if (`${tensor.shape}` !== `${shape}`) wrong.push(`${torch} [${tensor.shape}] for [${shape}]`);
      tensors.set(name, tensor);
    }
    if (wrong.length > 0) {
      fail("state-dict/shape", "parameters have other shapes", {
        where: path,
        expected: "the model's shapes, after weights of Linear are turned",
        got: wrong.join("; "),
        fix: "give the model the widths of the saved one",
      });
    }
    return tensors;
  } finally {
    await file.close();
  }
}

const under = (path: string, name: string) => (path === "" ? name : `${path}.${name}`);

/** A name without the `layers` of each Sequential on its way. */
function torchName(name: string, sequences: readonly string[]): string {
  const cuts = sequences.map((path) => under(path, "layers.")).filter((prefix) => name.startsWith(prefix));
  return cuts
    .toSorted((a, b) => b.length - a.length)
    .reduce((rest, prefix) => `${prefix.slice(0, -"layers.".length)}${rest.slice(prefix.length)}`, name);
}

/** (outputs, inputs) → (inputs, outputs). */
function transposed(array: HostArray): HostArray {
  const [rows, columns] = array.shape as [number, number];
  if (array.shape.length !== 2) return array;
  const values = toNumbers(array);
  const turned = Float64Array.from(
    { length: values.length },
    (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!,
  );
  return fromNumbers(array.dtype, [columns, rows], turned);
}
