// What a model in training is held by: a frozen copy of it as training began, under `reference.*`; or, beside an adapter, the model itself
// with the adapter at zero, which needs no copy.
import type { Tensor } from "../core/index.ts";
import { isLoraName, type Module } from "../nn/index.ts";
import type { OptimizerConfig } from "../optim/index.ts";
import type { StepPrograms } from "../train/index.ts";

const prefix = "reference.";

/** True for a parameter of the frozen copy. */
export const isReferenceName = (name: string): boolean => name.startsWith(prefix);

/** Gives a model a copy of itself, made by the same family: its parameters follow the model's own. */
export function addReference(model: Module, copy: Module): void {
  Object.assign(model, { reference: copy });
}

const referenceOf = (model: Module): Module | undefined => (model as Module & { reference?: Module }).reference;

/** The optimizer's settings with the copy frozen. */
export function freezeReference(optimizer: OptimizerConfig): OptimizerConfig {
  return Object.fromEntries(
    Object.entries(optimizer).map(([name, settings]) => {
      const { freeze = "none" } = (settings ?? {}) as { readonly freeze?: string | readonly string[] };
      // patterns that only take out leave all else frozen, the copy too
      const isAlready = Array.isArray(freeze) && freeze.length > 0 && freeze.every((one) => one.startsWith("!"));
      const patterns = Array.isArray(freeze) ? [...freeze, `${prefix}*`] : [`${prefix}*`];
      return [name, settings === undefined || isAlready ? settings : { ...settings, freeze: patterns }];
    }),
  ) as OptimizerConfig;
}

/** Makes the copy what the model is now. */
export function fillReference({ store, graphs }: StepPrograms): void {
  for (const { name } of graphs.parameterTypes)
    if (isReferenceName(name)) store.write(name, store.read(name.slice(prefix.length)));
}

/** The model to ask for the reference's opinion, and the weights to ask it with, traced. */
export function referenceModel(
  model: Module,
  weights: ReadonlyMap<string, Tensor>,
): { readonly model: Module; readonly weights: ReadonlyMap<string, Tensor> } {
  const copy = referenceOf(model);
  if (copy === undefined)
    return { model, weights: new Map([...weights].map(([name, x]) => [name, isLoraName(name) ? x.mul(0) : x])) };
  const own = [...weights].flatMap(([name, x]) =>
    isReferenceName(name) ? [[name.slice(prefix.length), x] as const] : [],
  );
  return { model: copy, weights: new Map(own) };
}
