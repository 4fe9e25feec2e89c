// Packed rows: the loss of every document and the gradients of all parameters are those of the document alone in a padded row.
import { describe, expect, test } from "vitest";
import { type FloatDType, fromNumbers, type HostArray, RandomStream, toNumbers } from "../../src/base/index.ts";
import { gradients, markOutput, trace } from "../../src/core/index.ts";
import { type Batch, PackedSequences, PaddedSequences, TokenSequences } from "../../src/data/index.ts";
import { modelFamily } from "../../src/models/index.ts";
import { functionalCall, initialize } from "../../src/nn/index.ts";
import { languageModelTask } from "../../src/train/index.ts";
import { assertClose } from "../support/close.ts";
import { nativeEngine, runNative } from "../support/run-native.ts";
import { runReference } from "../support/run-reference.ts";

const [context, vocab] = [24, 13];
const models = {
  gpt: { layers: 2, heads: 2, width: 8, context },
  llama: { layers: 2, heads: 4, keyValueHeads: 2, width: 16, hidden: 24, context, headNorm: true },
  "llama with a window": { layers: 2, heads: 2, width: 8, hidden: 24, context, window: 3 },
};
const random = new RandomStream(5, "packing");
const sequences = new TokenSequences(
  [9, 25, 5, 12, 2, 8, 7].map((length, at) => ({
    ids: Int32Array.from({ length }, (_, i) => random.below(vocab, at, i)),
    trained: Uint8Array.from({ length }, (_, i) => Number(i === length - 1 || random.below(2, at, i, 1) === 1)),
  })),
);

type Run = (feeds: Batch) => Promise<{ readonly [name: string]: HostArray }>;

/** Loss sum, count and gradients of a row. */
function prepare(name: string, dtype: FloatDType, packed: boolean): Run {
  const { module } = modelFamily(name.split(" ")[0]!).build(models[name as keyof typeof models], {
    task: "language-model",
    vocab,
  });
  const values = new Map(
    [...module.parameters()].map(([one, { shape, init }]) => [one, initialize(init, one, shape, dtype, 3)]),
  );
  const task = languageModelTask(context, { packed });
  const graph = trace(
    { ...task.feeds(1), ...Object.fromEntries(values) },
    (inputs) => {
      const parameters = new Map([...values.keys()].map((one) => [one, inputs[one]!]));
      const { sum, count } = functionalCall(module, parameters, () => task.loss(module, inputs));
      gradients([sum], [...parameters.values()]).forEach((grad, at) => void markOutput(`gradient ${at}`, grad!));
      return { sum, count };
    },
    { floatDType: dtype },
  );
  return async (batch) => {
    const feeds = { ...batch, ...Object.fromEntries(values) };
    return dtype === "f64" ? runReference(graph, feeds) : await runNative(graph, feeds);
  };
}

/** The targets of one document of a packed row alone. */
function only(batch: Batch, document: number): Batch {
  const { documents, targets } = batch as { documents: HostArray; targets: HostArray };
  const kept = toNumbers(targets).map((target, at) => (documents.data[at] === document ? target : -1));
  return { ...batch, targets: fromNumbers("i32", [1, context], kept) };
}

const [padded, packed] = [new PaddedSequences(sequences, context), new PackedSequences(sequences, context)];
const inputs = (batch: Batch) => `${batch.tokens!.data.filter((_, at) => batch.targets!.data[at] !== -1)}`;

test("seven documents are packed into three rows", () => {
  expect(packed).toMatchObject({ length: 3, fill: 61 / 72 });
});

describe.each(Object.keys(models))("%s", (name) => {
  test.each([
    ["f64", 1e-10],
    ["f32", 1e-6],
  ] as const)("in %s, within %d", async (dtype, absolute) => {
    if (dtype === "f32" && nativeEngine() === undefined) return;
    const [alone, together] = [prepare(name, dtype, false), prepare(name, dtype, true)];
    const found = new Map<string, Batch>();
    for (let row = 0; row < packed.length; row++) {
      const batch = await packed.collate([row]);
      for (let document = 0; document <= Math.max(...toNumbers(batch.documents)); document++) {
        const one = only(batch, document);
        found.set(inputs(one), one);
      }
    }
    expect(found.size).toBe(sequences.length);
    for (let at = 0; at < sequences.length; at++) {
      const row = await padded.collate([at]);
      const [wanted, got] = [await alone(row), await together(found.get(inputs(row))!)];
      for (const output of Object.keys(wanted))
        assertClose(got[output]!, toNumbers(wanted[output]!), {
          absolute,
          relative: absolute,
          what: `${at} ${output}`,
        });
    }
  });
});
