// Faults of widely copied tutorial code, by the numbers of docs/guide/strategies.md: each is refused before the first step, with what is
// wrong, or cannot be made and the right value is reached. The right values come from running the corrected originals in NumPy.
import {
  AthanorError,
  adam,
  binaryCrossEntropy,
  categoricalCrossEntropy,
  classIds,
  crossEntropy,
  dense,
  dropout,
  evaluate,
  type FitOptions,
  fit,
  fromNumbers,
  grad,
  Linear,
  meanSquaredError,
  NumpyRandom,
  sequential,
  sgd,
  softmax,
  type Tensor,
  toNumbers,
} from "athanor";
import { describe, expect, test } from "vitest";

const line = { x: [[1], [2], [3], [4]], y: [[2], [4], [6], [8]] };
const [W, b] = new NumpyRandom(0).randn(2) as [number, number];
const whole = {
  loss: meanSquaredError,
  batch: "all",
  precision: "f64",
  parameters: { weight: [[W]], bias: [b] },
} as const satisfies FitOptions;

/** Weight, bias and loss of the line after gradient descent. */
async function lineBy(options: Partial<FitOptions>) {
  const model = await fit(new Linear(1, 1), line, { ...whole, epochs: 1000, ...options });
  const [weight, bias] = [...model.parameters.values()].map((value) => toNumbers(value)[0]!);
  return { weight: weight!, bias: bias!, loss: await model.evaluate(line) };
}

function errorOf(body: () => unknown): AthanorError {
  try {
    body();
  } catch (error) {
    if (error instanceof AthanorError) return error;
    throw error;
  }
  return expect.fail("was not refused");
}

test("NumPy's numbers of a seed are NumPy's", () => {
  const random = new NumpyRandom(0);
  expect(random.randn(4)).toEqual([1.764052345967664, 0.4001572083672233, 0.9787379841057392, 2.240893199201458]);
  const uniform = new NumpyRandom(0).rand(700); // past the first 624 words of its state
  expect(uniform[2]).toBe(0.6027633760716439);
  expect(uniform.at(-1)).toBe(0.8427768626848423);
  expect(new NumpyRandom(2 ** 32 - 1).rand(1)[0]).toBe(0.0976320289940138);
  for (const seed of [-1, 0.5, 2 ** 32, Number.NaN])
    expect(errorOf(() => new NumpyRandom(seed))).toMatchObject({ code: "data/seed", got: String(seed) });
});

describe("E1: a weight as wide as other data", () => {
  test("is refused with both shapes", () => {
    const error = errorOf(() => fit(new Linear(10, 1), line, { ...whole, parameters: {} }));
    expect(error).toMatchObject({ code: "shape/matmul-inner", got: "a f64[4,1], b f64[10,1]" });
  });

  test("cannot be written where the width comes from the data", async () => {
    const model = await fit(sequential([dense(1)]), line, { ...whole, parameters: {}, epochs: 1 });
    expect(model.parameters.get("layers.0.weight")!.shape).toEqual([1, 1]);
  });
});

test("E2: targets (4) against predictions (4,1) are refused, not broadcast to (4,4)", () => {
  const error = errorOf(() => fit(new Linear(1, 1), { x: line.x, y: [2, 4, 6, 8] }, whole));
  expect(error).toMatchObject({
    code: "shape/loss",
    got: "prediction f64[4,1], target f64[4]",
    fix: "reshape the target to (4,1)",
  });
});

test("E3: the bias has a gradient of its own, not the mean of the weight's", async () => {
  const { weight, bias, loss } = await lineBy({ optimizer: sgd({ lr: 0.01 }) });
  expect(weight).toBeCloseTo(1.9926967095706, 12);
  expect(bias).toBeCloseTo(0.0214725644745, 12);
  expect(loss).toBeCloseTo(7.70045352e-5, 13);
  const right = await lineBy({ optimizer: sgd({ lr: 0.05 }), epochs: 3000 });
  for (const [value, end] of [
    [right.weight, 2],
    [right.bias, 0],
    [right.loss, 0],
  ] as const)
    expect(value).toBeCloseTo(end, 12);
});

describe("E4: the reduction is the loss's, and the gradient follows from it", () => {
  test("a mean has the mean's gradient, however many rows there are", () => {
    for (const copies of [1, 25]) {
      const x = Array.from({ length: copies }, () => [1, 2, 3, 4]).flat();
      const loss = (w: Tensor, x: Tensor) => meanSquaredError(x.mul(w), x.mul(2));
      const [slope, h] = [evaluate(grad(loss), { w: 1.5, x }).value, 1e-6];
      const at = (w: number) => evaluate(loss, { w, x }).value;
      expect(slope).toBeCloseTo((at(1.5 + h) - at(1.5 - h)) / (2 * h), 7);
      expect(slope).toBeCloseTo(-7.5, 12); // (2/n) Σ (ŷ − y) x
    }
  });

  test("a hundred rows do not multiply the learning rate", async () => {
    const random = new NumpyRandom(0);
    const [x, noise] = [random.rand(100), random.randn(100)];
    const data = { x: x.map((value) => [value]), y: x.map((value, row) => [value - 2 + noise[row]!]) };
    const parameters = { weight: [[0]], bias: [0] };
    const optimizer = sgd({ lr: 0.1 });
    const model = await fit(new Linear(1, 1), data, { ...whole, parameters, optimizer, epochs: 10_000 });
    expect(toNumbers(model.parameters.get("weight")!)[0]).toBeCloseTo(0.93693502, 8);
    expect(toNumbers(model.parameters.get("bias")!)[0]).toBeCloseTo(-1.77784892, 8);
  });

  test("a loss that is reduced already is refused", () => {
    const loss = (prediction: Tensor, target: Tensor) => meanSquaredError(prediction, target, { reduction: "sum" });
    expect(errorOf(() => fit(new Linear(1, 1), line, { ...whole, loss }))).toMatchObject({ code: "train/loss" });
  });
});

describe("E5: a decay's first change is at k, not at 0", () => {
  test.each([
    [0.9, 1.9999999995967, 11],
    [0.5, 1.9996521695259, 12],
  ])("0.1 × %d every 100", async (factor, expected, digits) => {
    const { weight, bias } = await lineBy({ optimizer: sgd({ lr: { step: { peak: 0.1, factor, every: 100 } } }) });
    expect(Math.abs(weight - expected)).toBeLessThan(10 ** -digits); // the fault ends 3e-9 away
    if (factor === 0.5) expect(bias).toBeCloseTo(0.0010226640105, 12);
  });

  test("epochs are a unit of their own", async () => {
    const rates: number[] = [];
    const lr = { step: { peak: 0.1, factor: 0.5, every: 2, unit: "epochs" } } as const;
    for await (const { learningRate } of fit(new Linear(1, 1), line, {
      ...whole,
      optimizer: sgd({ lr }),
      batch: 2,
      epochs: 5,
    }))
      rates.push(learningRate);
    expect(rates).toEqual([0.1, 0.1, 0.05, 0.05, 0.025]);
  });
});

describe("E6: a rate that reaches 0 or turns negative", () => {
  test("is refused before the first step, with the step", () => {
    const lr = { subtract: { peak: 0.1, amount: 0.1, every: 100 } };
    const error = errorOf(() => fit(new Linear(1, 1), line, { ...whole, optimizer: sgd({ lr }), epochs: 1000 }));
    expect(error).toMatchObject({ code: "optim/learning-rate", got: "0 at step 100 of 1000" });
    for (const wrong of [-0.1, 0, Number.NaN]) expect(() => sgd({ lr: wrong })).toThrow(AthanorError);
  });

  test("has a floor instead", async () => {
    const lr = { subtract: { peak: 0.1, amount: 0.03, every: 100, floor: 0.01 } };
    const rates: number[] = [];
    for await (const { epoch, learningRate } of fit(new Linear(1, 1), line, {
      ...whole,
      optimizer: sgd({ lr }),
      epochs: 600,
    }))
      if (epoch % 100 === 0) rates.push(Number(learningRate.toPrecision(12)));
    expect(rates).toEqual([0.1, 0.07, 0.04, 0.01, 0.01, 0.01]);
  });
});

describe("E7: a batch larger than the data", () => {
  test.each([10, 100, 1000])("%d from 4 rows is refused with the count", (batch) => {
    const error = errorOf(() => fit(new Linear(1, 1), line, { ...whole, batch }));
    expect(error).toMatchObject({ code: "data/short-batch", expected: `at least ${batch} rows`, got: "4" });
  });

  test("is made smaller, or repeats rows, when asked to", async () => {
    const all = await lineBy({ epochs: 10 });
    // the same rows, in another order of summing
    for (const onShort of ["truncate", "wrap"] as const) {
      const { weight } = await lineBy({ batch: 8, onShort, epochs: 10 });
      expect(weight).toBeCloseTo(all.weight, 12);
    }
  });
});

test("E8: batch sizes are compared from one start, over equal rows, by the loss on all of them", async () => {
  const optimizer = sgd({ lr: 0.01 });
  for (const batch of [1, 2, 4]) {
    const options = { ...whole, optimizer, batch, epochs: 6, seed: 3 };
    const steps: number[] = [];
    const fitting = fit(new Linear(1, 1), line, options);
    for await (const { step } of fitting) steps.push(step);
    expect(steps.at(-1)).toBe((6 * 4) / batch);
    const again = await fit(new Linear(1, 1), line, options); // nothing is kept from the one before
    const model = await fitting;
    expect(again.parameters).toEqual(model.parameters);
    const [weight, bias] = [...model.parameters.values()].map((value) => toNumbers(value)[0]!);
    const mean = [1, 2, 3, 4].reduce((sum, x) => sum + (weight! * x + bias! - 2 * x) ** 2, 0) / 4;
    expect(await model.evaluate(line)).toBeCloseTo(mean, 12);
  }
});

test("E9: the bias is the layer's, in training and prediction alike", async () => {
  const shifted = { x: line.x, y: line.y.map(([value]) => [value! + 3]) };
  const optimizer = sgd({ lr: 0.1 });
  const model = await fit(sequential([dense(1)]), shifted, { ...whole, parameters: {}, optimizer, epochs: 1000 });
  expect((await model.predict([[0], [10]])).flat().map((value) => Number(value.toFixed(6)))).toEqual([3, 23]);
  const without = await fit(sequential([dense(1, "identity", { bias: false })]), shifted, {
    ...whole,
    parameters: {},
    optimizer: sgd({ lr: 0.05 }),
    epochs: 1000,
  });
  expect(await without.predict([[0]])).toEqual([[0]]);
});

test("E10: parameters are floating, whatever they are given as", async () => {
  const integers = { weight: fromNumbers("i32", [1, 1], [1]), bias: fromNumbers("i32", [1], [0]) };
  const [asIntegers, asFloats] = [
    await lineBy({ parameters: integers, epochs: 10 }),
    await lineBy({ parameters: { weight: [[1]], bias: [0] }, epochs: 10 }),
  ];
  expect(asIntegers).toEqual(asFloats);
  expect(Number.isInteger(asIntegers.weight)).toBe(false);
});

test("E12: the update goes down: its gradient is the derivative of the loss", async () => {
  const model = await fit(new Linear(1, 1, { bias: false }), line, {
    ...whole,
    parameters: { weight: [[0]] },
    optimizer: sgd({ lr: 0.01 }),
    epochs: 50,
  });
  // θ + η (2/m) Σ (y − ŷ) x; the other sign and half the slope end at −72.4
  expect(toNumbers(model.parameters.get("weight")!)[0]).toBeCloseTo(2 - 2 * 0.85 ** 50, 12);
});

describe("E13: modes, epoch losses and order", () => {
  const rows = Array.from({ length: 40 }, (_, row) => [row / 40]);
  const data = { x: rows, y: rows };
  const net = sequential([dense(16, "tanh"), dropout(0.5), dense(1)]);

  test("dropout acts in training, and not in evaluation or prediction", async () => {
    const options = { ...whole, parameters: {}, optimizer: sgd({ lr: 1e-12 }), batch: 40, epochs: 3 } as const;
    const losses: number[] = [];
    const fitting = fit(net, data, options);
    for await (const { loss } of fitting) losses.push(loss);
    const model = await fitting;
    expect(new Set(losses).size).toBe(3);
    expect(await model.evaluate(data)).toBe(await model.evaluate(data));
    expect(await model.predict(rows)).toEqual(await model.predict(rows));
  });

  test("an epoch's loss weighs its batches by their rows", async () => {
    // 3 rows in batches of 2 and 1, in a model that does not move: the mean over all
    const three = { x: [[1], [2], [3]], y: [[0], [0], [6]] };
    const options = { ...whole, parameters: { weight: [[1]], bias: [0] }, optimizer: sgd({ lr: 1e-300 }), batch: 2 };
    for await (const { loss, step } of fit(new Linear(1, 1), three, { ...options, epochs: 3 })) {
      expect(loss).toBeCloseTo((1 + 4 + 9) / 3, 12);
      expect(step % 2).toBe(0);
    }
  });

  test("rows come in another order at each epoch, by the seed", async () => {
    const ends = await Promise.all([1, 1, 2].map((seed) => lineBy({ batch: 1, epochs: 5, seed })));
    expect(ends[0]).toEqual(ends[1]);
    expect(ends[0]).not.toEqual(ends[2]);
  });
});

test("E15: all rows, one row, a few: three settings, and with all of them the order does not matter", async () => {
  const ends = async (batch: FitOptions["batch"]) =>
    await Promise.all([1, 2, 3].map((seed) => lineBy({ batch: batch!, epochs: 4, seed })));
  const distinct = async (batch: FitOptions["batch"]) => new Set((await ends(batch)).map(({ weight }) => weight)).size;
  expect([await distinct("all"), await distinct(1), await distinct(2)]).toEqual([1, 3, 3]);
});

describe("E18: prediction and target exchanged", () => {
  const logits = [
    [0.9, 0.1],
    [0.8, 0.2],
    [0.7, 0.3],
    [0.6, 0.4],
  ].map((row) => row.map(Math.log));
  const target = classIds([0, 1, 1, 1]);

  test("are refused by name", () => {
    expect(evaluate((x, t) => crossEntropy(x, t), { logits, target }).value).toBeCloseTo(0.9587654910730045, 14);
    const error = errorOf(() => evaluate((x, t) => crossEntropy(t, x), { logits, target }));
    expect(error).toMatchObject({ code: "shape/cross-entropy" });
    expect(error.fix).toContain("(logits, target)");
  });

  test("and so is a softmax where unnormalized scores belong", () => {
    const model = sequential([dense(2, "softmax")]);
    const options = { ...whole, parameters: {}, optimizer: adam() };
    const data = { x: line.x, y: target };
    expect(errorOf(() => fit(model, data, { ...options, loss: crossEntropy })).code).toBe("nn/probabilities");
    expect(() => fit(model, data, { ...options, loss: categoricalCrossEntropy })).not.toThrow();
  });
});

describe("E19: certain answers", () => {
  const certain = (p: number[], t: number[]) =>
    evaluate((p, t) => binaryCrossEntropy(p, t, { from: "probabilities" }), { p, t }).value;
  const categorical = (p: number[][], ids: number[]) =>
    evaluate((p, t) => categoricalCrossEntropy(p, t), { p, t: classIds(ids) }).value;
  const corners = [
    [1, 0],
    [0, 1],
  ];

  test("right ones cost nothing, and a wrong one what a clip at 2⁻⁵² makes of it", () => {
    expect(certain([1, 0], [1, 0])).toBeCloseTo(0, 15);
    expect(categorical(corners, [0, 1])).toBeCloseTo(0, 15);
    expect(certain([1, 1], [1, 0])).toBeCloseTo(18.021826694558577, 12);
    expect(categorical(corners, [0, 0])).toBeCloseTo(18.021826694558577, 12);
  });

  test("from a softmax nothing is clipped: scores of ±1e4 are exact", () => {
    const loss = evaluate((x, t) => categoricalCrossEntropy(softmax(x), t), { x: [[1e4, -1e4]], t: classIds([1]) });
    expect(loss.value).toBeCloseTo(2e4, 9);
  });
});
