// Activations by name, for configurations. The functions themselves are in core.
import { gelu, geluTanh, silu, type Tensor } from "../core/index.ts";

const functions = {
  identity: (x: Tensor) => x,
  relu: (x: Tensor) => x.relu(),
  gelu,
  geluTanh,
  silu,
  tanh: (x: Tensor) => x.tanh(),
  sigmoid: (x: Tensor) => x.sigmoid(),
} as const;

/** The name of an elementwise nonlinearity. */
export type ActivationName = keyof typeof functions;
export const activationNames = Object.keys(functions) as [ActivationName, ...ActivationName[]];

/** Applies an activation elementwise. */
export function activate(name: ActivationName, x: Tensor): Tensor {
  return functions[name](x);
}
