// The coordinate check: flat under muP, rising without it, and the layers as they were before.
import { expect, test } from "vitest";
import { initialize, Mlp, meanSquaredError } from "../nn/index.ts";
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
