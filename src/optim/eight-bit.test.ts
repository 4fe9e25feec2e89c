// Eight-bit slots: the map of codes and a 100-step path against the published scheme written out in numpy, and what is kept in them.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { fromNumbers, sizeOf, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import {
  assign,
  constant,
  dequantizeBlocks,
  feed,
  quantizeBlocks,
  type Tensor,
  trace,
  variable,
} from "../core/index.ts";
import { evaluate, ReferenceEngine } from "../engine/index.ts";
import { adamw, adamwUpdate, constantSchedule, inEightBits, lion, Optimizer } from "./index.ts";

const golden = JSON.parse(readFileSync("test/golden/eight-bit.json", "utf8"));

test.each(["signed", "unsigned"])("%s codes stand for the values of the dynamic tree", (kind) => {
  const codes = fromNumbers(
    "u8",
    [256],
    Array.from({ length: 256 }, (_, code) => code),
  );
  const values = (codes: Tensor, scales: Tensor) => dequantizeBlocks(codes, scales, { signed: kind === "signed" });
  const { data } = evaluate(values, { codes, scales: [1] });
  assertClose(data, golden.maps[kind], { absolute: 0, what: kind });
});

test("what is stored is the nearest value of the map; blocks do not touch one another", () => {
  const x = Array.from({ length: 300 }, (_, at) => (at < 256 ? 1 : 1e-3) * Math.sin(at * at));
  const again = (tensor: Tensor) => dequantizeBlocks(...quantizeBlocks(tensor, { signed: true }), { signed: true });
  const { data } = evaluate(again, { x });
  const map: number[] = golden.maps.signed;
  const expected = x.map((value, at) => {
    const scale = Math.max(...(at < 256 ? x.slice(0, 256) : x.slice(256)).map(Math.abs));
    return (
      scale * map.reduce((best, one) => (Math.abs(one - value / scale) < Math.abs(best - value / scale) ? one : best))
    );
  });
  assertClose(data, expected, { absolute: 1e-15, what: "x" });
});

test("without a sign what is above 0 is never kept as 0, however much larger its block's largest is", () => {
  const again = (tensor: Tensor) => dequantizeBlocks(...quantizeBlocks(tensor, { signed: false }), { signed: false });
  const { data } = evaluate(again, { x: [1, 0.9e-7, 1e-30, 0] });
  const least = golden.maps.unsigned[1];
  assertClose(data, [1, least, least, 0], { absolute: 0, what: "x" });
});

test("a block that is not finite has a scale that is not, so that the update's guard sees it", () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const { data } = evaluate((x) => quantizeBlocks(x!, { signed: true })[1], { x: [1, bad, 2] });
    expect(Number.isFinite(data[0])).toBe(false);
  }
});

test("Adam in eight bits follows the published scheme for 100 steps, written out in numpy", () => {
  const { problem, options, path, losses } = golden;
  const { lr, beta1, beta2, eps, every } = options;
  const numbers = { beta1, beta2, eps, weightDecay: 0, decay: "none" } as const;
  const kept = { signed: ["adam.m"], unsigned: ["adam.v"], least: 256 };
  const optimizer = new Optimizer({
    chain: [inEightBits(adamwUpdate(numbers), kept)],
    learningRate: constantSchedule(lr),
  });
  const shape = [problem.start.length];
  const vector = (values: number[]) => constant(fromNumbers("f64", shape, values));
  const types = [{ name: "x", dtype: "f64" as const, shape }];
  const slots = optimizer.slotTypes(types);
  expect(slots).toEqual([
    { name: "adam.m.x", dtype: "u8", shape: [600] },
    { name: "adam.mScale.x", dtype: "f64", shape: [3] },
    { name: "adam.v.x", dtype: "u8", shape: [600] },
    { name: "adam.vScale.x", dtype: "f64", shape: [3] },
  ]);
  const graph = trace(
    {},
    () => {
      const x = variable("x", "f64", shape);
      const { values, slots: next } = optimizer.update({
        parameters: new Map([["x", x]]),
        gradients: new Map([["x", x.sub(vector(problem.target)).mul(vector(problem.curvature))]]),
        gradientScale: constant(1, "f64"),
        slot: (name) => {
          const { dtype, shape } = slots.find((slot) => slot.name === name)!;
          return variable(name, dtype, shape);
        },
        scalar: (name) => feed(name, { dtype: "f64", shape: [] }),
      });
      for (const [name, tensor] of [...values, ...next]) assign(name, tensor);
    },
    { floatDType: "f64" },
  );
  const engine = new ReferenceEngine();
  const store = engine.createStore();
  store.declare([...types, ...slots]);
  store.write("x", fromNumbers("f64", shape, problem.start));
  const program = engine.load(compile(graph, engine.target, { verify: true }), store);
  const walked: number[][] = [];
  for (let step = 0; step < 100; step++) {
    const scalars = optimizer.scalarsAt(step, lr);
    const feeds = Object.fromEntries(
      program.plan.feeds.map(({ name }) => [name, fromNumbers("f64", [], [scalars[name]!])]),
    );
    engine.runNow({ program, feeds });
    if (step % 10 === 9) walked.push(Array.from(toNumbers(store.read("x"))).filter((_, at) => at % every === 0));
  }
  assertClose(walked.flat(), path.flat(), { absolute: 1e-11, what: "path" });
  const end = toNumbers(store.read("x"));
  const loss = end.reduce((sum, x, at) => sum + (problem.curvature[at] * (x - problem.target[at]) ** 2) / 2, 0);
  assertClose([loss], [losses.end], { relative: 1e-9, what: "loss" });
});

test("large parameters have two bytes and a little per number, small ones keep their slots whole", () => {
  const types = [
    { name: "w", dtype: "f32" as const, shape: [64, 64] },
    { name: "b", dtype: "f32" as const, shape: [64] },
  ];
  const bytes = { u8: 1, f32: 4 } as { readonly [dtype: string]: number };
  const slotBytes = (optimizer: Optimizer) =>
    optimizer.slotTypes(types).reduce((sum, { dtype, shape }) => sum + bytes[dtype]! * sizeOf(shape), 0);
  expect(slotBytes(adamw({ slots: "8bit" }))).toBe(2 * (4096 + 16 * 4) + 2 * 64 * 4);
  expect(slotBytes(adamw())).toBe(2 * 4 * (4096 + 64));
  expect(slotBytes(lion({ slots: "8bit" }))).toBe(4096 + 16 * 4 + 64 * 4);
});
