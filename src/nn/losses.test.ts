// Every loss against PyTorch's values and gradients (test/golden/losses.py) to 1e-12, and what must be refused.
import { describe, expect, test } from "vitest";
import { type LossCase, lossCases, unpack, unpackAll } from "../../test/support/golden-losses.ts";
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { gradients, type Tensor } from "../core/index.ts";
import { type Evaluated, evaluate } from "../engine/index.ts";
import * as classification from "./classification-losses.ts";
import * as distribution from "./distribution-losses.ts";
import * as overlap from "./overlap-losses.ts";
import * as pair from "./pair-losses.ts";
import * as preference from "./preference-losses.ts";
import * as regression from "./regression-losses.ts";

type Loss = (...inputs: (Tensor | object)[]) => Tensor;
const losses = { ...regression, ...classification, ...distribution, ...pair, ...overlap, ...preference } as unknown as {
  readonly [name: string]: Loss;
};

/** The loss and its gradients on a case's inputs, in which `spoil` may change something. */
function run(one: LossCase, spoil = (inputs: { [name: string]: HostArray }) => inputs) {
  const { inputs, tensors, grads, cotangent, options } = one;
  const [names, extra, wrt] = [inputs, tensors, grads].map((places) => Object.keys(places)) as [
    string[],
    string[],
    string[],
  ];
  const feeds = { ...spoil(unpackAll(inputs)), ...unpackAll(tensors, "option "), cotangent: unpack(cotangent) };
  return evaluate((...given) => {
    const values = given.slice(0, names.length);
    const settings = { ...options, ...Object.fromEntries(extra.map((name, at) => [name, given[names.length + at]!])) };
    const value = losses[one.loss]!(...values, settings);
    const found = gradients(
      [value],
      wrt.map((name) => values[names.indexOf(name)]!),
      [given.at(-1)!],
    );
    return { output: value, ...Object.fromEntries(wrt.map((name, at) => [`grad ${name}`, found[at]!])) };
  }, feeds) as { [name: string]: Evaluated };
}

/** 1e-12 of the tensor's largest value. */
function expectCase(results: { [name: string]: Evaluated }, { output, grads }: LossCase): void {
  const wanted = { output: unpack(output), ...unpackAll(grads, "grad ") };
  for (const [key, array] of Object.entries(wanted)) {
    const { shape } = array;
    const data = toNumbers(array);
    expect(results[key]!.shape, key).toEqual(shape);
    const scale = Math.max(...data.map(Math.abs));
    data.forEach((value, at) => {
      const error = Math.abs(results[key]!.data[at]! - value);
      if (!(error <= 1e-12 * scale)) expect.fail(`${key}[${at}] is ${results[key]!.data[at]}, wanted ${value}`);
    });
  }
}

test("every loss has figures, and every figure a loss", () => {
  expect(new Set(lossCases.map(({ loss }) => loss))).toEqual(new Set(Object.keys(losses)));
});

describe.each(Object.keys(losses))("%s has PyTorch's values and gradients", (loss) => {
  for (const one of lossCases.filter((item) => item.loss === loss)) {
    test(one.name, () => expectCase(run(one), one));
  }
});

test("what a mask leaves out may be anything: NaN there reaches neither the loss nor a gradient", () => {
  const masked = lossCases.filter(({ tensors }) => tensors.mask !== undefined);
  expect(new Set(masked.map(({ loss }) => loss))).toEqual(new Set(Object.keys(losses)));
  for (const one of masked) {
    const mask = toNumbers(unpack(one.tensors.mask!));
    const results = run(one, (inputs) =>
      Object.fromEntries(
        Object.entries(inputs).map(([name, array]) => {
          const perLoss = array.data.length / mask.length;
          if (array.dtype !== "f64" || !Number.isInteger(perLoss)) return [name, array];
          const spoilt = toNumbers(array).map((value, at) => (mask[Math.floor(at / perLoss)] ? value : Number.NaN));
          return [name, fromNumbers("f64", array.shape, Array.from(spoilt))];
        }),
      ),
    );
    expectCase(results, one);
  }
});

describe("refused", () => {
  const column = [[1], [2], [3], [4]];
  const flat = [2, 4, 6, 8];
  const ids = fromNumbers("i32", [2], [0, 1]);
  const call =
    (loss: Loss, feeds: { [name: string]: HostArray | number[] | number[][] }, options: object = {}) =>
    () =>
      evaluate((...given) => loss(...given, options), feeds as { [name: string]: HostArray });

  test("shapes that would broadcast, by every loss", () => {
    for (const [name, loss] of Object.entries(losses)) {
      const numInputs = Object.keys(lossCases.find((one) => one.loss === name)!.inputs).length;
      const feeds = Object.fromEntries(
        Array.from({ length: numInputs }, (_, at) => [`x${at}`, at === 1 ? flat : column]),
      );
      expect(call(loss, feeds), name).toThrow(/\[shape\/(loss|cross-entropy)\][\s\S]*expected[\s\S]*got[\s\S]*fix/);
    }
  });

  test("with the reshape that would help, or the order of the arguments", () => {
    expect(call(losses.meanSquaredError!, { a: column, b: flat })).toThrow("reshape the target to (4,1)");
    const logits = [
      [0, 1],
      [2, 3],
    ];
    expect(call(losses.crossEntropy!, { ids, logits })).toThrow("the order is (logits, target)");
    expect(call(losses.crossEntropy!, { logits, ids: fromNumbers("i32", [1], [0]) })).toThrow("[shape/cross-entropy]");
  });

  test("weights and masks of another shape or dtype", () => {
    const given = (name: string) => () =>
      evaluate((a, option) => losses.meanSquaredError!(a!, a!, { [name]: option! }), { a: flat, option: column });
    expect(given("weights")).toThrow(/expected *weights f64\[4\]\n *got *weights f64\[4,1\]/);
    expect(given("mask")).toThrow(/expected *mask bool\[4\]\n *got *mask f64\[4,1\]/);
  });

  test.each<[string, string, object, string]>([
    ["a reduction", "meanSquaredError", { reduction: "avg" }, "mean, sum, none"],
    ["delta", "huberLoss", { delta: 0 }, "delta > 0"],
    ["beta", "smoothL1Loss", { beta: -1 }, "beta > 0"],
    ["eps", "meanAbsolutePercentageError", { eps: 0 }, "eps > 0"],
    ["q", "quantileLoss", { q: 1 }, "q between 0 and 1"],
    ["smoothing", "crossEntropy", { labelSmoothing: 1 }, "labelSmoothing from 0 to below 1"],
    ["z-loss", "crossEntropy", { zLoss: Number.NaN }, "zLoss ≥ 0"],
    ["positive weight", "binaryCrossEntropy", { positiveWeight: 0 }, "positiveWeight > 0"],
    ["gamma", "focalLoss", { gamma: -1 }, "gamma ≥ 0"],
    ["margin", "hingeLoss", { margin: 0 }, "margin > 0"],
    ["smooth", "diceLoss", { smooth: 0 }, "smooth > 0"],
    ["alpha", "tverskyLoss", { alpha: -1 }, "alpha ≥ 0"],
    ["temperature", "infoNceLoss", { temperature: 0 }, "temperature > 0"],
    ["beta", "simpoLoss", { beta: 0 }, "beta > 0"],
    ["gamma", "simpoLoss", { gamma: -1 }, "gamma ≥ 0"],
    ["smoothing", "cpoLoss", { labelSmoothing: 0.5 }, "labelSmoothing from 0 to below ½"],
  ])("%s out of its range", (_what, loss, options, message) => {
    const rows = [
      [0, 1],
      [1, 0],
    ];
    expect(call(losses[loss]!, { a: rows, b: rows }, options)).toThrow(message);
  });
});
