// Weights of a checkpoint that a model has no place for.
import { fail } from "../base/index.ts";
import type { Checkpoint } from "../checkpoint/index.ts";

/** A weight that would be left out silently, as the own head of a model whose head is now its token table. Errors with `model/unused-tensor`. */
export function requireAllUsed(
  parameters: readonly { readonly name: string }[],
  { tensors, path }: Pick<Checkpoint, "tensors" | "path">,
): void {
  const own = new Set(parameters.map(({ name }) => name));
  const names = [...tensors.keys()];
  const isSlot = (name: string) =>
    tensors.get(name)!.shape.length === 0 || names.some((one) => name.endsWith(`.${one}`));
  const unused = names.filter((name) => !own.has(name) && !isSlot(name));
  if (unused.length === 0) return;
  fail("model/unused-tensor", "the other run has weights that this model has no place for", {
    where: path,
    expected: "a model with the same weights",
    got: unused.slice(0, 8).join(", "),
    fix: unused.some((name) => name.startsWith("lm_head."))
      ? "its head is not tied to the token table: set tiedHead to false"
      : "use the model settings that the other run was trained with",
  });
}
