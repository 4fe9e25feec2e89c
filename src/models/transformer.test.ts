// The encoder–decoder against PyTorch's transformer layers (names, logits, loss, gradients, counts), what it may not see, and settings.
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { runReference } from "../../test/support/run-reference.ts";
import {
  normPlaces,
  tinyTransformer,
  tinyTransformerModel,
  traceTinyTransformer,
} from "../../test/support/tiny-transformer.ts";
import { fromNumbers, sizeOf, toNumbers } from "../base/index.ts";
import { modelFamily, Transformer, type TransformerConfig, transformerPresets } from "./index.ts";

const { config, batch, cases } = tinyTransformer;

test.each(normPlaces)("norms %s: names, logits, loss and gradient norms equal PyTorch's", (place) => {
  const wanted = cases[place];
  const found = [...tinyTransformerModel(place).parameters()].map(([name, { shape }]) => ({ name, shape }));
  expect(found).toEqual(wanted.parameters.map(({ name, shape }) => ({ name, shape })));
  const { graph, feeds } = traceTinyTransformer(place, "f64");
  const outputs = runReference(graph, feeds);
  assertClose(outputs.logits!, wanted.logits, { absolute: 1e-11, what: "logits" });
  assertClose(outputs.loss!, [wanted.loss], { absolute: 1e-12, what: "loss" });
  const norms = wanted.parameters.map(({ name }) => toNumbers(outputs[`norm ${name}`]!)[0]!);
  assertClose(norms, wanted.gradNorms, { absolute: 1e-12, relative: 1e-11, what: "gradient norms" });
});

test("a target token changes no earlier logit, and what is padding changes none", () => {
  const { graph, feeds } = traceTinyTransformer("post", "f64");
  const logits = (changed: object) => toNumbers(runReference(graph, { ...feeds, ...changed }).logits!);
  const [time, width] = [config.targetContext, config.vocab];
  const before = logits({});
  const tokens = tinyTransformer.tokens.map((id, at) => (at % time === 3 ? (id + 5) % 17 : id));
  const after = logits({ tokens: fromNumbers("i32", [batch, time], tokens) });
  for (let row = 0; row < batch; row++) {
    const at = (position: number) => (row * time + position) * width;
    expect(after.slice(at(0), at(3))).toEqual(before.slice(at(0), at(3)));
    expect(after.slice(at(3), at(4))).not.toEqual(before.slice(at(3), at(4)));
  }
  // one place more of padding in every source; the last one of row 0 is a token, and is seen
  const source = tinyTransformer.source.map((id, at) => (at === config.context - 1 ? 3 : id));
  const other = logits({ source: fromNumbers("i32", [batch, config.context], source) });
  expect(other.slice(0, width)).not.toEqual(before.slice(0, width));
  expect(other.slice(time * width)).toEqual(before.slice(time * width));
});

function numParameters(config: TransformerConfig): number {
  return [...new Transformer(config).parameters().values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

test("the published sizes: PyTorch's nn.Transformer() beside its table, and the paper's 65 and 213 million", () => {
  const words = { vocab: 37000, start: 36998, end: 36999 };
  const base = { ...transformerPresets.base, ...words };
  expect(numParameters({ ...base, preNorm: true }) - 37000 * 512).toBe(44_140_544);
  expect(Math.abs(numParameters(base) / 65e6 - 1)).toBeLessThan(0.03);
  expect(Math.abs(numParameters({ ...transformerPresets.big, ...words }) / 213e6 - 1)).toBeLessThan(0.02);
});

test("settings: what is left out follows from what is given, and what cannot be is refused", () => {
  const build = (given: object, vocab?: number) =>
    modelFamily("transformer").build(given, {
      task: "sequence-to-sequence",
      ...(vocab === undefined ? {} : { vocab }),
    });
  const small = { layers: 2, heads: 2, width: 8, context: 9 };
  const built = build({ ...small, decoderLayers: 1 }, 30);
  expect(built.config).toMatchObject({
    ...{ encoderLayers: 2, decoderLayers: 1, hidden: 32, targetContext: 9, preNorm: false },
    ...{ vocab: 32, start: 30, end: 31, dropout: 0 },
  });
  expect(build(built.config as object, 30).config).toEqual(built.config);
  expect(build({ ...small, start: 0, end: 1 }, 30).config).toMatchObject({ vocab: 30, start: 0, end: 1 });
  expect(build({ preset: "base" }, 30).config).toMatchObject({ width: 512, hidden: 2048, dropout: 0.1, context: 256 });
  expect(() => build({ ...small, width: 9 }, 30)).toThrow("must be a multiple of heads (2), got 9");
  expect(() => build({ heads: 2 }, 30)).toThrow("missing; a positive whole number, or give a preset");
  expect(() => build({ ...small, vocab: 31 }, 30)).toThrow("the vocabulary has no place for all tokens");
  expect(() => build({ ...small, start: 3, end: 3 }, 30)).toThrow("the vocabulary has no place for all tokens");
  expect(() => build(small)).toThrow("the size of the vocabulary is not known");
});
