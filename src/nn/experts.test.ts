// Experts that multiply the tokens sent to them: outputs and gradients are those of the formula, in which every expert sees every token; an
// expert without tokens has gradients of 0; weights in few bits, adapters, and both.
import { describe, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { fromNumbers, type HostArray, RandomStream, sizeOf, toNumbers } from "../base/index.ts";
import {
  constant,
  gradients,
  matmul,
  type QuantizedParts,
  quantizedFormats,
  quantizedMatmul,
  stopGradient,
  type Tensor,
  trace,
} from "../core/index.ts";
import {
  addLora,
  Experts,
  functionalCall,
  isLoraName,
  isQuantizedPart,
  type Module,
  quantizeLayers,
  storedParts,
} from "./index.ts";

const settings = { count: 5, chosen: 2, width: 6, hidden: 8 };
const [rows, lonely] = [9, 3];
const stream = new RandomStream(5, "experts");
let drawn = 0;
const draw = (shape: readonly number[]) =>
  fromNumbers(
    "f64",
    shape,
    Float64Array.from({ length: sizeOf(shape) }, () => stream.normal(drawn++)),
  );
const x = draw([rows, settings.width]);
const values = new Map([...new Experts(settings).parameters()].map(([name, { shape }]) => [name, draw(shape)]));
// the first channel of every token is 1, and speaks against one expert
for (let row = 0; row < rows; row++) x.data[row * settings.width] = 1;
values.get("gate.weight")!.data[lonely] = -100;

/** For each token and expert 1 where it is among the best, found with plain loops. */
const mask = Array.from({ length: rows }, (_, row) => {
  const [inputs, gate] = [toNumbers(x), toNumbers(values.get("gate.weight")!)];
  const logits = Array.from({ length: settings.count }, (_, expert) => {
    let sum = 0;
    for (let k = 0; k < settings.width; k++)
      sum += inputs[row * settings.width + k]! * gate[k * settings.count + expert]!;
    return sum;
  });
  const least = logits.toSorted((a, b) => b - a)[settings.chosen - 1]!;
  return logits.map((logit) => Number(logit >= least));
}).flat();

/** Every expert sees every token; `weightOf` is what a layer's matrix is. */
const formulaOf =
  (weightOf: (given: ReadonlyMap<string, Tensor>, path: string) => Tensor, normalized = true) =>
  (x: Tensor, given: ReadonlyMap<string, Tensor>): Tensor => {
    const scores = matmul(x, given.get("gate.weight")!).exp();
    const chosen = scores.mul(constant(fromNumbers("f64", [rows, settings.count], mask)));
    const weights = chosen.div((normalized ? chosen : scores).sum({ axis: 1, keepDim: true }));
    const parts = Array.from({ length: settings.count }, (_, expert) => {
      const by = (from: Tensor, layer: string) => matmul(from, weightOf(given, `experts.${expert}.${layer}`));
      const up = by(x, "w1");
      return by(up.mul(up.sigmoid()).mul(by(x, "w3")), "w2").mul(weights.slice(1, expert, expert + 1));
    });
    return parts.reduce((sum, part) => sum.add(part));
  };
const whole = (given: ReadonlyMap<string, Tensor>, path: string) => given.get(`${path}.weight`)!;
const formula = formulaOf(whole);

/** What `apply` makes of the tokens, and the gradients of the sum of its fourth powers by all it is given. */
function run(tensors: ReadonlyMap<string, HostArray>, apply: (x: Tensor, given: Map<string, Tensor>) => Tensor) {
  const feeds = { ...Object.fromEntries(tensors), x };
  const graph = trace(
    feeds,
    (inputs: { readonly [name: string]: Tensor }) => {
      const given = new Map([...tensors.keys()].map((name) => [name, inputs[name]!]));
      const y = apply(inputs.x!, given);
      const asked = [...given, ["x", inputs.x!] as const].filter(([name]) => !isQuantizedPart(name));
      const grads = gradients(
        [y.square().square().sum()],
        asked.map(([, tensor]) => tensor),
      );
      return { y, ...Object.fromEntries(asked.map(([name], at) => [`d ${name}`, grads[at]!])) };
    },
    { floatDType: "f64" },
  );
  return Object.entries(runReference(graph, feeds)).map(([name, value]) => [name, toNumbers(value)] as const);
}
const mixture = (model: Experts) => (x: Tensor, given: Map<string, Tensor>) =>
  functionalCall(model as Module, given, () => model.forward(x).mixed);

test("outputs and gradients equal the formula's; an expert without tokens has gradients of 0", () => {
  const found = new Map(run(values, mixture(new Experts(settings))));
  for (const [name, wanted] of run(values, formula))
    assertClose(found.get(name)!, wanted, { absolute: 1e-10, relative: 1e-10, what: name });
  const isIdle = (expert: number) => found.get(`d experts.${expert}.w2.weight`)!.every((value) => value === 0);
  expect([0, 1, 2, 3, 4].map(isIdle)).toEqual([false, false, false, true, false]);
});

test("weights that are shares of a softmax of all experts do not add up to 1", () => {
  const found = new Map(run(values, mixture(new Experts({ ...settings, normalized: false }))));
  for (const [name, wanted] of run(values, formulaOf(whole, false)))
    assertClose(found.get(name)!, wanted, { absolute: 1e-10, relative: 1e-10, what: name });
});

const f64 = (array: HostArray) => (array.dtype === "f32" ? fromNumbers("f64", array.shape, toNumbers(array)) : array);

/** The matrix [inputs, outputs] that parts stand for, in f64: the plain product of the identity by it. */
function exactly(parts: ReadonlyMap<string, HostArray>, path: string): HostArray {
  const { shape } = values.get(path)!;
  const own = [...parts]
    .filter(([name]) => name.startsWith(`${path}.`))
    .map(([name, value]) => [name.split(".").at(-1), value]);
  const identity = Float64Array.from({ length: shape[0]! ** 2 }, (_, at) => Number(at % (shape[0]! + 1) === 0));
  const feeds = { ...Object.fromEntries(own), x: fromNumbers("f64", [shape[0]!, shape[0]!], identity) };
  const graph = trace(feeds, ({ x, ...given }: { readonly [name: string]: Tensor }) => ({
    y: quantizedMatmul(x!, given as unknown as QuantizedParts<Tensor>),
  }));
  return runReference(graph, feeds).y!;
}

describe.each(quantizedFormats)("%s", (format) => {
  const model = new Experts(settings);
  const paths = quantizeLayers(model, format);
  const parts = new Map(Array.from(storedParts(model, values), ([name, value]) => [name, f64(value)]));
  const rounded = new Map(values);
  for (const path of paths) rounded.set(path, exactly(parts, path));

  test("experts are those of the matrices that the bits stand for, forward and back", () => {
    expect(paths).toHaveLength(3 * settings.count); // the gate is at its top
    const found = new Map(run(parts, mixture(model)));
    const wanted = run(rounded, formula).filter(([name]) => found.has(name));
    expect(wanted.map(([name]) => name)).toEqual(["y", "d gate.weight", "d x"]);
    for (const [name, value] of wanted)
      assertClose(found.get(name)!, value, { absolute: 1e-9, relative: 1e-9, what: name });
    const exact = new Map(run(values, formula)).get("y")!;
    expect(Math.max(...Array.from(found.get("y")!, (y, at) => Math.abs(y - exact[at]!)))).toBeGreaterThan(1e-3);
  });

  test("with adapters they are those matrices and what is added", () => {
    const adapted = new Experts(settings);
    quantizeLayers(adapted, format);
    addLora(adapted, lora);
    checkAdapters(adapted, parts, rounded);
  });
});

const lora = {
  ...{ rank: 2, alpha: 6, rankStabilized: false, dropout: 0, targets: ["experts.*"] },
  ...{ magnitude: false, init: "zero" as const },
};

/** What the adapters of a model make of its experts, and all gradients, against the formula with the matrix that layer and adapter are. */
function checkAdapters(model: Experts, kept: ReadonlyMap<string, HostArray>, base: ReadonlyMap<string, HostArray>) {
  const adapters = new Map(
    [...model.parameters()].filter(([name]) => isLoraName(name)).map(([name, { shape }]) => [name, draw(shape)]),
  );
  const found = new Map(run(new Map([...kept, ...adapters]), mixture(model)));
  const sum = (given: ReadonlyMap<string, Tensor>, path: string): Tensor => {
    const [weight, at] = [whole(given, path), (name: string) => given.get(`${path}.lora.${name}`)];
    const [A, B, A0, B0, magnitude] = ["A", "B", "A0", "B0", "magnitude"].map(at);
    if (A === undefined) return weight;
    const product = A0 === undefined ? matmul(A, B!) : matmul(A, B!).sub(matmul(A0, B0!));
    const merged = weight.add(product.mul(lora.alpha / lora.rank));
    return magnitude === undefined
      ? merged
      : merged.mul(magnitude.div(stopGradient(merged.square().sum({ axis: 0 }).sqrt())));
  };
  const wanted = run(new Map([...base, ...adapters]), formulaOf(sum)).filter(([name]) => found.has(name));
  expect(wanted.length).toBeGreaterThan(adapters.size);
  for (const [name, value] of wanted)
    assertClose(found.get(name)!, value, { absolute: 1e-9, relative: 1e-9, what: name });
}

test.each([
  ["low-rank adapters", {}],
  ["DoRA", { magnitude: true }],
  ["PiSSA", { init: "pissa" as const }],
  ["adapters of some experts alone", { targets: ["experts.2.w1", "experts.4.*"] }],
])("%s add to each expert what they would to its matrix", (_, changes) => {
  const model = new Experts(settings);
  addLora(model, { ...lora, ...changes });
  checkAdapters(model, values, values);
});

test("a token's dropout masks are its own, however tokens are sorted", () => {
  const model = new Experts(settings);
  addLora(model, { ...lora, dropout: 0.5 });
  const all = new Map([...model.parameters()].map(([name, { shape }]) => [name, values.get(name) ?? draw(shape)]));
  const outputs = (inputs: HostArray, mode: "train" | "eval") => {
    const feeds = { ...Object.fromEntries(all), x: inputs, key: fromNumbers("i32", [3], [1, 2, 3]) };
    const rowIds = fromNumbers(
      "i32",
      [rows],
      Array.from({ length: rows }, (_, at) => at),
    );
    const graph = trace(
      { ...feeds, rowIds },
      (given: { readonly [name: string]: Tensor }) => {
        const tensors = new Map([...all.keys()].map((name) => [name, given[name]!]));
        return { y: mixture(model)(given.x!, tensors) };
      },
      { floatDType: "f64", mode, random: (given) => ({ key: given.key!, rows: given.rowIds! }) },
    );
    return toNumbers(runReference(graph, { ...feeds, rowIds }).y!);
  };
  const other = { ...x, data: x.data.slice() } as typeof x;
  for (let at = 4 * settings.width + 1; at < 5 * settings.width; at++) other.data[at] = -3 * Number(x.data[at]!);
  const [found, again] = [outputs(x, "train"), outputs(other, "train")];
  const row = (of: ArrayLike<number>, at: number) =>
    Array.from(of).slice(at * settings.width, (at + 1) * settings.width);
  for (let at = 0; at < rows; at++) {
    if (at === 4) expect(row(found, at)).not.toEqual(row(again, at));
    else assertClose(row(found, at), row(again, at), { absolute: 1e-12, what: `token ${at}` });
    expect(row(found, at)).not.toEqual(row(outputs(x, "eval"), at));
  }
});
