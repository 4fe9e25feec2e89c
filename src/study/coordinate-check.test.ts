// The coordinate check: flat under muP, rising without it, and the layers as they were before.
import { expect, test } from "vitest";
import { fromNumbers } from "../base/index.ts";
import type { Tensor } from "../core/index.ts";
import { Gpt } from "../models/index.ts";
import { crossEntropy, initialize, Mlp, meanSquaredError } from "../nn/index.ts";
import { coordinateCheck } from "./coordinate-check.ts";

const build = (width: number) => new Mlp([16, width, width, 4]);
const options = {
  widths: [32, 64, 128, 256],
  x: initialize("normal", "x", [8, 16], "f64", 1),
  target: initialize("normal", "target", [8, 4], "f64", 1),
  loss: meanSquaredError,
};

test("under muP steps move every layer as much at any width, and without it wide layers more and more", () => {
  const [right, plain] = [true, false].map((mup) => coordinateCheck(build, { ...options, mup }));
  expect(right!.map(({ layer }) => layer)).toEqual(["layers.0", "layers.1", "layers.2"]);
  for (const { layer, slope } of right!) expect(Math.abs(slope), layer).toBeLessThan(0.2);
  for (const { layer, slope } of plain!.slice(1)) expect(slope, layer).toBeGreaterThan(0.35);
  for (const { changes } of [...right!, ...plain!]) {
    expect(changes).toHaveLength(4);
    for (const change of changes) expect(change).toBeGreaterThan(0);
  }
  expect(right!.map(({ changes }) => changes[0])).toEqual(plain!.map(({ changes }) => changes[0])); // the base is the base
});

test("a slope is that of least squares, and a check leaves the model's layers alone", () => {
  const model = build(32);
  const fields = Object.keys(model.layers[0]!);
  const [first] = coordinateCheck(() => model, { ...options, widths: [2, 8], mup: false, seeds: [1], steps: 1 });
  expect(first!.slope).toBeCloseTo(Math.log(first!.changes[1]! / first!.changes[0]!) / Math.log(4), 12);
  expect(Object.keys(model.layers[0]!)).toEqual(fields);
});

test("the same of a GPT, whose starts have one size at every width, and whose heads grow in number", () => {
  const gpt = (width: number) =>
    new Gpt({
      ...{ vocab: 11, context: 8, layers: 1, heads: width / 8, width, dropout: 0, bias: true, normBias: true },
      ...{ activation: "gelu", tiedHead: false, eps: 1e-5 },
    });
  const ids = (shift: number) => Array.from({ length: 16 }, (_, at) => (7 * at + shift * at * at) % 11);
  const given = {
    widths: [16, 32, 64, 128],
    x: fromNumbers("i32", [2, 8], ids(1)),
    target: fromNumbers("i32", [2, 8], ids(3)),
    loss: (output: Tensor, target: Tensor) => crossEntropy(output, target),
    seeds: [1, 2],
  };
  const [right, plain] = [true, false].map((mup) => coordinateCheck(gpt, { ...given, mup }));
  const of = (found: typeof right, layer: string) => found!.find((one) => one.layer === layer)!.slope;
  for (const layer of ["h.0.attn.c_attn", "h.0.attn.c_proj", "h.0.mlp.c_fc", "h.0.mlp.c_proj"]) {
    expect(Math.abs(of(right, layer)), layer).toBeLessThan(0.25);
    expect(of(plain, layer), layer).toBeGreaterThan(0.35);
  }
});
