// Layers whose weights are kept in few bits: their product and its gradient are those of the matrix that the bits stand for.
import { describe, expect, test } from "vitest";
import { fromNumbers, type HostArray, RandomStream, toNumbers } from "../base/index.ts";
import { concat, constant, grad, quantizedFormats, type Tensor } from "../core/index.ts";
import { evaluate } from "../engine/index.ts";
import {
  Embedding,
  functionalCall,
  initialTensors,
  Linear,
  Module,
  QuantizedWeight,
  quantizeLayers,
  quantizeVocabulary,
  storedParts,
  wholeParameters,
  wholeTensors,
} from "./index.ts";

class Nested extends Module {
  readonly block = { first: new Linear(6, 4, { bias: false }) };
  readonly head = new Linear(4, 3);

  forward(x: Tensor): Tensor {
    return this.head.forward(this.block.first.forward(x).tanh());
  }
}

const stream = new RandomStream(3, "x");
const x = fromNumbers(
  "f32",
  [2, 5, 6],
  Array.from({ length: 60 }, (_, at) => stream.normal(at)),
);
const f64 = (array: HostArray) => (array.dtype === "f32" ? fromNumbers("f64", array.shape, toNumbers(array)) : array);

/** The model's output, and the gradient of the sum of its squares by x, in f64. */
function run(model: Nested, tensors: ReadonlyMap<string, HostArray>): number[][] {
  const names = [...model.parameters().keys()];
  const feeds = { x: f64(x), ...Object.fromEntries(names.map((name) => [name, f64(tensors.get(name)!)])) };
  const apply = (input: Tensor, given: readonly Tensor[]) =>
    functionalCall(model, new Map(names.map((name, at) => [name, given[at]!])), () => model.forward(input));
  return [
    evaluate((input, ...given) => apply(input!, given), feeds).data,
    evaluate((input, ...given) => grad((one: Tensor) => apply(one, given).square().sum())(input!), feeds).data,
  ];
}

describe.each(quantizedFormats)("%s", (format) => {
  const plain = new Nested();
  const whole = new Map(
    Array.from(
      initialTensors(plain, () => "f32", 7),
      ([name, value]) => [name, copy(value)],
    ),
  );
  const quantized = new Nested();
  const paths = quantizeLayers(quantized, format);
  const parts = new Map(storedParts(quantized, whole));

  test("layers of blocks are kept so, the head is not; each counts as the matrix that it is", () => {
    expect(paths).toEqual(["block.first.weight"]);
    expect(quantized.block.first.weight).toBeInstanceOf(QuantizedWeight);
    expect([...parts.keys()]).toEqual([...quantized.parameters().keys()]);
    const shapes = (model: Module) => [...wholeParameters(model)].map(([name, { shape }]) => [name, [...shape]]);
    expect(shapes(quantized)).toEqual(shapes(plain));
    expect([...quantized.parameters().values()].map(({ isConstant }) => isConstant).lastIndexOf(true)).toBe(
      format === "int8" ? 1 : 3,
    );
  });

  test("outputs and gradients are those of the matrix", () => {
    const again = wholeTensors(parts);
    expect(toNumbers(again.get("block.first.weight")!)).not.toEqual(toNumbers(whole.get("block.first.weight")!));
    const [got, wanted] = [run(quantized, parts), run(plain, again)];
    got.forEach((values, at) => values.forEach((value, i) => expect(value).toBeCloseTo(wanted[at]![i]!, 5)));
  });

  test("initial weights are the codes of what they would be", () => {
    for (const [name, value] of initialTensors(quantized, () => "f32", 7)) expect(value, name).toEqual(parts.get(name));
  });
});

test("a vocabulary's table and head are kept in int8: rows, scores and initial codes are those of the rounded table", () => {
  class Tied extends Module {
    readonly words = new Embedding(9, 6);
    readonly places = new Embedding(9, 6); // as large, and no vocabulary
    readonly head = new Linear(6, 9);

    forward(): Tensor {
      const [x, y] = [this.words.forward(constant([0, 8, 3], "i32")), this.words.attend(this.places.table)];
      return concat([x.reshape(-1), y.reshape(-1), this.words.table.reshape(-1), this.head.forward(x).reshape(-1)]);
    }
  }
  const outputs = (model: Tied, tensors: ReadonlyMap<string, HostArray>) => {
    const names = [...model.parameters().keys()];
    const apply = (...given: Tensor[]) =>
      functionalCall(model, new Map(names.map((name, at) => [name, given[at]!])), () => model.forward());
    return evaluate(apply, Object.fromEntries(names.map((name) => [name, f64(tensors.get(name)!)]))).data;
  };
  const plain = new Tied();
  const whole = new Map(
    Array.from(
      initialTensors(plain, () => "f32", 7),
      ([name, value]) => [name, copy(value)],
    ),
  );
  const quantized = new Tied();
  quantizeVocabulary([quantized.words, quantized.head]);
  expect([...quantized.parameters().keys()]).toEqual([
    ...["words.weight.codes", "words.weight.scales", "places.weight"],
    ...["head.weight.codes", "head.weight.scales", "head.bias"],
  ]);
  const parts = new Map(storedParts(quantized, whole));
  for (const [name, value] of initialTensors(quantized, () => "f32", 7)) expect(value, name).toEqual(parts.get(name));
  // each row is rounded by itself, to 127 steps either way
  const rounded = new Map(whole);
  const [words, head] = ["words.weight", "head.weight"].map((name) => toNumbers(whole.get(name)!));
  const round = (values: number[]) => {
    const scale = Math.max(...values.map(Math.abs)) / 127;
    return values.map((value) => Math.round(value / scale) * scale);
  };
  const row = (at: number) => round(Array.from(words!.slice(6 * at, 6 * at + 6)));
  const column = (at: number) => round(Array.from({ length: 6 }, (_, k) => head![9 * k + at]!));
  const nine = Array.from({ length: 9 }, (_, at) => at);
  rounded.set("words.weight", fromNumbers("f64", [9, 6], nine.flatMap(row)));
  const columns = nine.map(column);
  rounded.set(
    "head.weight",
    fromNumbers(
      "f64",
      [6, 9],
      [0, 1, 2, 3, 4, 5].flatMap((k) => columns.map((one) => one[k]!)),
    ),
  );
  const [got, wanted, exact] = [outputs(quantized, parts), outputs(plain, rounded), outputs(plain, whole)];
  got.forEach((value, at) => expect(value).toBeCloseTo(wanted[at]!, 6));
  expect(Math.max(...got.map((value, at) => Math.abs(value - exact[at]!)))).toBeGreaterThan(1e-5);
});

const copy = (value: HostArray): HostArray => ({ ...value, data: value.data.slice() }) as HostArray;
