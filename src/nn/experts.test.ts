// Experts that multiply the tokens sent to them: outputs and gradients are those of the formula, in which every expert sees every token; an
// expert without tokens has gradients of 0; weights in few bits.
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { fromNumbers, type HostArray, RandomStream, sizeOf, toNumbers } from "../base/index.ts";
import { constant, gradients, matmul, type Tensor, trace } from "../core/index.ts";
import {
  Experts,
  functionalCall,
  isQuantizedPart,
  type Module,
  quantizeLayers,
  storedParts,
  wholeTensors,
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

function formula(x: Tensor, given: ReadonlyMap<string, Tensor>): Tensor {
  const scores = matmul(x, given.get("gate.weight")!)
    .exp()
    .mul(constant(fromNumbers("f64", [rows, settings.count], mask)));
  const weights = scores.div(scores.sum({ axis: 1, keepDim: true }));
  const parts = Array.from({ length: settings.count }, (_, expert) => {
    const by = (from: Tensor, layer: string) => matmul(from, given.get(`experts.${expert}.${layer}.weight`)!);
    const up = by(x, "w1");
    return by(up.mul(up.sigmoid()).mul(by(x, "w3")), "w2").mul(weights.slice(1, expert, expert + 1));
  });
  return parts.reduce((sum, part) => sum.add(part));
}

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

test("experts in few bits are those of the matrices that the bits stand for", () => {
  const model = new Experts(settings);
  expect(quantizeLayers(model, "int8")).toHaveLength(3 * settings.count); // the gate is at its top
  const parts = new Map(storedParts(model, values));
  const f64 = (array: HostArray) => (array.dtype === "f32" ? fromNumbers("f64", array.shape, toNumbers(array)) : array);
  const widened = new Map([...parts].map(([name, value]) => [name, f64(value)]));
  const whole = new Map([...wholeTensors(parts)].map(([name, value]) => [name, f64(value)]));
  const [[, found], [, wanted]] = [run(widened, mixture(model))[0]!, run(whole, mixture(new Experts(settings)))[0]!];
  assertClose(found, wanted, { absolute: 1e-5, relative: 1e-5, what: "outputs" });
});
