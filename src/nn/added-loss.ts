// What a model itself adds to the loss it is trained on, whatever its task: a router's balance. Nothing is added where nobody asks.
import type { Tensor } from "../core/index.ts";

/** Losses added under each `withAddedLosses` that is under way, innermost last. */
const collected: Tensor[][] = [];

/** Adds a scalar, a mean over the batch, to the training loss. It is not computed where none is asked for: evaluation, generation. */
export function addLoss(loss: () => Tensor): void {
  collected.at(-1)?.push(loss());
}

/** What `fn` gives, and the sum of the losses that modules added in it; `undefined` where there were none. */
export function withAddedLosses<T>(fn: () => T): { readonly result: T; readonly added: Tensor | undefined } {
  const losses: Tensor[] = [];
  collected.push(losses);
  try {
    const result = fn();
    return { result, added: losses.length === 0 ? undefined : losses.reduce((sum, loss) => sum.add(loss)) };
  } finally {
    collected.pop();
  }
}
