// What a model in training is held by: a frozen copy of it as training began, under `reference.*`; or, beside an adapter, the model itself
// without the adapter, which needs no copy.
import type { Tensor } from "../core/index.ts";
import {
  adaptedLayers,
  functionalCall,
  type KeyValuePrefix,
  type Linear,
  type Module,
  type VirtualTokens,
} from "../nn/index.ts";
import type { OptimizerConfig } from "../optim/index.ts";
import type { StepPrograms } from "../train/index.ts";

const copied = "reference.";

/** True for a parameter of the frozen copy. */
const isReferenceName = (name: string): boolean => name.startsWith(copied);

/** Gives a model a copy of itself, made by the same family: its parameters follow the model's own. */
export function addReference(model: Module, copy: Module): void {
  Object.assign(model, { reference: copy });
}

const referenceOf = (model: Module): Module | undefined => (model as Module & { reference?: Module }).reference;

/** True for a parameter that lies beside the model's own: of its reference, or of a teacher. */
export const isCopyName = (name: string): boolean => /^(reference|teacher)\./.test(name);

/** The optimizer's settings with the reference, or another model that lies beside, frozen. */
export function freezeCopies(optimizer: OptimizerConfig, beside: "reference" | "teacher"): OptimizerConfig {
  return Object.fromEntries(
    Object.entries(optimizer).map(([name, settings]) => {
      const { freeze = "none" } = (settings ?? {}) as { readonly freeze?: string | readonly string[] };
      // patterns that only take out leave all else frozen, the copy too
      const isAlready = Array.isArray(freeze) && freeze.length > 0 && freeze.every((one) => one.startsWith("!"));
      const patterns = Array.isArray(freeze) ? [...freeze, `${beside}.*`] : [`${beside}.*`];
      return [name, settings === undefined || isAlready ? settings : { ...settings, freeze: patterns }];
    }),
  ) as OptimizerConfig;
}

/** Makes the copy what the model is now. */
export function fillReference({ store, graphs }: StepPrograms): void {
  for (const { name } of graphs.parameterTypes)
    if (isReferenceName(name)) store.write(name, store.read(name.slice(copied.length)));
}

/** What `fn` makes of the reference, traced with the weights of the model. */
export function askReference(
  model: Module,
  weights: ReadonlyMap<string, Tensor>,
  fn: (reference: Module) => Tensor,
): Tensor {
  const copy = referenceOf(model);
  if (copy === undefined) return withoutAdapters(model, () => functionalCall(model, weights, () => fn(model)));
  const own = [...weights].filter(([name]) => isReferenceName(name));
  const named = new Map(own.map(([name, weight]) => [name.slice(copied.length), weight]));
  return functionalCall(copy, named, () => fn(copy));
}

/** Traces with the adapters taken off. */
function withoutAdapters<T>(model: Module, fn: () => T): T {
  const taken = adaptedLayers(model).map(([, layer]) => ({ layer: layer as Linear, lora: layer.lora }));
  const { prompt, prefix } = model as Module & { readonly prompt?: VirtualTokens; readonly prefix?: KeyValuePrefix };
  for (const { layer } of taken) layer.lora = undefined;
  Object.assign(model, { prompt: undefined, prefix: undefined });
  try {
    return fn();
  } finally {
    for (const { layer, lora } of taken) layer.lora = lora;
    Object.assign(model, { prompt, prefix });
  }
}
