// The families by name. The one list of models; nothing else in the system names one.
import { didYouMean, fail } from "../base/index.ts";
import { bertFamily } from "./bert-config.ts";
import type { ModelFamily } from "./family.ts";
import { gptFamily } from "./gpt-config.ts";
import { llamaFamily } from "./llama-config.ts";
import { mlpFamily } from "./mlp.ts";
import { rnnFamily } from "./rnn.ts";
import { seq2seqFamily } from "./seq2seq.ts";
import { t5Family } from "./t5-config.ts";
import { textClassifierFamily } from "./text-classifier.ts";
import { transformerFamily } from "./transformer-config.ts";

/** Every model family, by the key a recipe uses. */
export const modelFamilies: ReadonlyMap<string, ModelFamily> = new Map(
  [
    bertFamily,
    gptFamily,
    llamaFamily,
    mlpFamily,
    rnnFamily,
    seq2seqFamily,
    t5Family,
    textClassifierFamily,
    transformerFamily,
  ].map((family) => [family.name, family]),
);

/** A family by its name. Errors with `model/unknown`. */
export function modelFamily(name: string): ModelFamily {
  const known = [...modelFamilies.keys()];
  const near = didYouMean(name, known);
  return (
    modelFamilies.get(name) ??
    fail("model/unknown", `no model family is called ${name}`, {
      where: "model",
      expected: known.join(", "),
      got: name,
      fix: near === undefined ? "use one of these" : `did you mean ${near}?`,
    })
  );
}

/** Of parameters' names those of a head that is trained whole beside adapters: that of a task that no text alone has taught. */
export function headNames(family: string, task: string, names: Iterable<string>): string[] {
  const { isHead = () => false } = modelFamily(family);
  return task === "language-model" || task === "masked-language-model" ? [] : [...names].filter(isHead);
}
