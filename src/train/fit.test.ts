// fit(): what it refuses, what iterating and awaiting do, and losses of one's own. Its figures are in test/pure/published-errors.test.ts.
import { expect, test } from "vitest";
import { AthanorError } from "../base/index.ts";
import { softmax, type Tensor } from "../core/index.ts";
import { categoricalCrossEntropy, dense, Linear, meanSquaredError, Sequential, sequential } from "../nn/index.ts";
import { sgd } from "../optim/index.ts";
import { classIds, type FitOptions, fit } from "./fit.ts";

const line = { x: [[1], [2], [3], [4]], y: [[2], [4], [6], [8]] };
const options = { loss: meanSquaredError, precision: "f64", parameters: { weight: [[0]], bias: [0] } } as const;

test.each<[string, () => unknown]>([
  ["data/rows", () => fit(new Linear(1, 1), { x: [[1], [2]], y: [[1]] }, options)],
  ["data/empty", () => fit(sequential([dense(1)]), { x: [], y: [] }, options)],
  ["data/class-id", () => classIds([0, 1, -1])],
  ["data/class-id", () => classIds([0.5])],
  ["config/epochs", () => fit(new Linear(1, 1), line, { ...options, epochs: 1.5 })],
  ["fit/parameters", () => fit(new Linear(1, 1), line, { ...options, parameters: { wieght: [[0]] } })],
  ["fit/parameters", () => fit(new Linear(1, 1), line, { ...options, parameters: { weight: [0] } })],
  ["nn/units", () => dense(0)],
  ["nn/units", () => sequential([])],
  ["nn/symmetry", () => sequential([dense(4, "relu", { init: "zeros" }), dense(1)]).build(2)],
])("%s is refused", (code, body) => {
  let caught: unknown;
  try {
    body();
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(AthanorError);
  expect(caught).toMatchObject({ code, fix: expect.any(String) });
});

test("works while somebody asks: a reader that leaves ends it, awaiting goes on to the end", async () => {
  const read = async (leaveAt: number) => {
    const seen: number[] = [];
    const fitting = fit(new Linear(1, 1), line, { ...options, epochs: 5 });
    for await (const { epoch } of fitting) {
      seen.push(epoch);
      if (epoch === leaveAt) break;
    }
    return { seen, weight: (await fitting).parameters.get("weight")!.data[0] };
  };
  const [left, whole, awaited] = [
    await read(2),
    await read(9),
    (await fit(new Linear(1, 1), line, { ...options, epochs: 5 })).parameters.get("weight")!.data[0],
  ];
  expect([left.seen, whole.seen]).toEqual([
    [1, 2],
    [1, 2, 3, 4, 5],
  ]);
  expect(whole.weight).toBe(awaited);
  expect(left.weight).not.toBe(awaited);
});

test("what it starts from may come from another fit", async () => {
  const half = { ...options, optimizer: sgd({ lr: 0.01 }), epochs: 5 };
  const first = await fit(new Linear(1, 1), line, half);
  const second = await fit(new Linear(1, 1), line, { ...half, parameters: first.parameters });
  const whole = await fit(new Linear(1, 1), line, { ...half, epochs: 10 });
  expect(second.parameters).toEqual(whole.parameters);
});

test("a loss of one's own is a function of elements or rows", async () => {
  const losses: { [name: string]: FitOptions["loss"] } = {
    elements: (prediction: Tensor, target: Tensor) => prediction.sub(target).square(),
    rows: (prediction: Tensor, target: Tensor) => prediction.sub(target).square().sum({ axis: -1 }),
    library: meanSquaredError,
  };
  const ends = await Promise.all(
    Object.values(losses).map(
      async (loss) => (await fit(new Linear(1, 1), line, { ...options, loss, epochs: 3 })).parameters,
    ),
  );
  expect(ends[0]).toEqual(ends[2]);
  expect(ends[1]).toEqual(ends[2]);
});

test("averaged weights are what is evaluated, and what is predicted with", async () => {
  const optimizer = sgd({ lr: 0.05, average: { ema: { decay: 0.9 } } });
  const model = await fit(new Linear(1, 1), line, { ...options, optimizer, epochs: 5 });
  const squares = (await model.predict(line.x)).map(([value], row) => (value! - line.y[row]![0]!) ** 2);
  expect(await model.evaluate(line)).toBeCloseTo(squares.reduce((sum, one) => sum + one, 0) / 4, 12);
  const plain = await fit(new Linear(1, 1), line, { ...options, optimizer: sgd({ lr: 0.05 }), epochs: 5 });
  expect(await plain.predict(line.x)).not.toEqual(await model.predict(line.x));
});

test("one-hot rows and class ids are the same targets", async () => {
  const model = sequential([dense(3, "softmax")]);
  const given = { loss: categoricalCrossEntropy, precision: "f64", epochs: 3 } as const;
  const [hot, ids] = [
    await fit(model, { x: line.x, y: [0, 1, 2, 0].map((id) => [0, 1, 2].map((at) => Number(at === id))) }, given),
    await fit(model, { x: line.x, y: classIds([0, 1, 2, 0]) }, given),
  ];
  const [a, b] = [(await hot.predict(line.x)).flat(), (await ids.predict(line.x)).flat()];
  a.forEach((value, at) => {
    expect(value).toBeCloseTo(b[at]!, 12);
  });
});

test("probabilities are asked for where a loss takes them", () => {
  const given = { x: line.x, y: classIds([0, 1, 2, 0]) };
  for (const activation of ["identity", "sigmoid"] as const)
    expect(() => fit(sequential([dense(3, activation)]), given, { loss: categoricalCrossEntropy })).toThrow(
      expect.objectContaining({
        code: "train/loss",
        expected: 'dense(3, "softmax") at the end',
        got: `dense(3, "${activation}")`,
      }),
    );
  const own = new Sequential(new Linear(1, 3), (x: Tensor) => softmax(x));
  expect(() => fit(own, given, { loss: categoricalCrossEntropy })).not.toThrow();
});

test.each([
  ["too wide", [[1, 2]], "[rows, 1]", "[1, 2]"],
  ["not in a list", [1], "[rows, 1]", "[1]"],
])("rows that are %s are not predicted from", async (_, x, expected, got) => {
  const model = await fit(new Linear(1, 1), line, options);
  await expect(model.predict(x)).rejects.toMatchObject({ code: "data/rows", expected, got });
  await expect(model.evaluate({ x, y: line.y.slice(0, 1) })).rejects.toMatchObject({ code: "data/rows" });
});

test("a misspelt option and a loss that is none are refused", () => {
  const misspelt = { ...options, optimiser: sgd() };
  expect(() => fit(new Linear(1, 1), line, misspelt)).toThrow(
    expect.objectContaining({ code: "config/options", got: "optimiser", fix: "did you mean optimizer?" }),
  );
  const without = { ...options, loss: undefined } as unknown as typeof options;
  expect(() => fit(new Linear(1, 1), line, without)).toThrow(
    expect.objectContaining({ code: "config/options", where: "options.loss" }),
  );
});
