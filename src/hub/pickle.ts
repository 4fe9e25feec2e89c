// Pickles: files that can run any program when they are opened. They are known by their names and never opened.
import { fail } from "../base/index.ts";

export const isPickle = (name: string): boolean => /\.(bin|pt|pth|ckpt|pkl|pickle)$/.test(name);

/** Errors with `hub/pickle`. */
export function failPickle(where: string, got: string): never {
  return fail("hub/pickle", "a pickle can run any program when it is opened, and is not read", {
    where,
    expected: "model.safetensors",
    got,
    fix: "take a revision with safetensors, or convert it where you trust it: model.save_pretrained(folder) in Transformers",
  });
}
