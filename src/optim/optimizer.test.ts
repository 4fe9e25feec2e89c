// Optimizers against PyTorch's 100-step paths, presets against the same rules chained from small transforms, and wrong settings.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { clockStart, fromNumbers, type HostArray, RandomStream, toNumbers, valueAt } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { assign, constant, courseOfFeed, feed, gradients, type Tensor, trace, variable } from "../core/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import {
  adadelta,
  adagrad,
  adam,
  adamax,
  adamw,
  addDecayedWeights,
  clipByGlobalNorm,
  momentum,
  nadam,
  Optimizer,
  optimizerNames,
  type ParameterSelector,
  parseOptimizer,
  radam,
  ratesByDepth,
  rmsprop,
  scaleByAdam,
  scaleByLearningRate,
  sgd,
} from "./index.ts";

const golden = JSON.parse(readFileSync("test/golden/optimizers.json", "utf8"));

type Values = { [name: string]: HostArray };
type Problem = (parameters: ReadonlyMap<string, Tensor>) => Tensor;

/** Runs `steps` updates on the reference engine in f64; `visit` sees the parameters before each step, and after the last. */
function run(
  optimizer: Optimizer,
  start: Values,
  loss: Problem,
  options: {
    steps: number;
    lr: number;
    count?: number;
    visit?: (values: Values, loss: number, gradNorm: number) => void;
    /** Filled with the weights to evaluate with after the last step. */
    evaluated?: Values;
  },
): Values {
  const { steps, lr, count = 1, visit, evaluated } = options;
  const types = Object.entries(start).map(([name, { shape }]) => ({ name, dtype: "f64" as const, shape }));
  const slots = optimizer.slotTypes(types);
  const graph = trace(
    {},
    () => {
      const parameters = new Map(types.map(({ name, dtype, shape }) => [name, variable(name, dtype, shape)]));
      const value = loss(parameters);
      const grads = gradients([value.mul(count)], [...parameters.values()]);
      const result = optimizer.update({
        parameters,
        gradients: new Map([...parameters.keys()].map((name, at) => [name, grads[at]!])),
        gradientScale: value.mul(0).add(1 / count),
        slot: (name) => {
          const type = slots.find((slot) => slot.name === name)!;
          return variable(name, type.dtype, type.shape);
        },
        scalar: (name) => feed(name, { dtype: "f64", shape: [] }),
        key: () => constant(fromNumbers("i32", [3], [5, 0, 2])),
      });
      for (const [name, tensor] of [...result.values, ...result.slots]) assign(name, tensor);
      return { loss: value, gradNorm: result.gradNorm };
    },
    { floatDType: "f64" },
  );
  const engine = new ReferenceEngine();
  const store = engine.createStore();
  store.declare([...types, ...slots]);
  for (const [name, value] of Object.entries(start)) store.write(name, value);
  const program = engine.load(compile(graph, engine.target, { verify: true }), store);
  const read = () => Object.fromEntries(Object.keys(start).map((name) => [name, store.read(name)]));
  for (let step = 0; step < steps; step++) {
    const before = read();
    const clock = { ...clockStart, step };
    const scalars = optimizer.scalarsAt(step, lr, clock);
    const feeds = Object.fromEntries(
      program.plan.feeds.map(({ name }) => {
        const course = courseOfFeed(name);
        return [name, fromNumbers("f64", [], [course === undefined ? scalars[name]! : valueAt(course, clock)])];
      }),
    );
    const { outputs } = engine.runNow({ program, feeds });
    visit?.(before, toNumbers(outputs.loss!)[0]!, toNumbers(outputs.gradNorm!)[0]!);
  }
  if (evaluated !== undefined) {
    const averages = trace(
      {},
      () => {
        const parameters = new Map(types.map(({ name, dtype, shape }) => [name, variable(name, dtype, shape)]));
        const slot = (name: string) => variable(name, "f64", slots.find((one) => one.name === name)!.shape);
        return Object.fromEntries([...optimizer.evaluated(parameters, slot)].map(([name, one]) => [name, one.mul(1)]));
      },
      { floatDType: "f64" },
    );
    const reader = engine.load(compile(averages, engine.target, { verify: true }), store);
    Object.assign(evaluated, engine.runNow({ program: reader, feeds: {} }).outputs);
  }
  return read();
}

const f64 = (rows: number[][] | number[]): HostArray =>
  Array.isArray(rows[0])
    ? fromNumbers("f64", [rows.length, rows[0].length], (rows as number[][]).flat())
    : fromNumbers("f64", [rows.length], rows as number[]);

const numbers = (array: HostArray): number[] => Array.from(toNumbers(array));

/** f(x) = x·A·x / 2 − b·x. */
const quadratic: Problem = (parameters) => {
  const { A, b } = golden.problems.quadratic;
  const x = parameters.get("x")!.reshape(1, -1);
  const constants = { A: constantMatrix(A), b: constantMatrix([b]) };
  return x.matmul(constants.A).mul(x).sum().mul(0.5).sub(constants.b.mul(x).sum());
};

/** mean((tanh(X W1 + b1) W2 + b2 − y)²). */
const network: Problem = (parameters) => {
  const { X, y } = golden.problems.network;
  const [W1, b1, W2, b2] = ["W1", "b1", "W2", "b2"].map((name) => parameters.get(name)!) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  const hidden = constantMatrix(X).matmul(W1).add(b1).tanh();
  return hidden.matmul(W2).add(b2).sub(constantMatrix(y)).square().mean();
};

function constantMatrix(rows: number[][]): Tensor {
  return constant(f64(rows));
}

const rules: {
  [golden: string]: {
    by: string;
    lr: number;
    config: { [name: string]: object };
    quadratic?: { path: number[][]; evaluated?: { x: number[] } };
    network: { losses: number[]; final: { [name: string]: number[] }; evaluated?: { [name: string]: number[] } };
  };
} = JSON.parse(readFileSync("test/golden/optimizer-rules.json", "utf8")).optimizers;

for (const [name, { by, lr, config, quadratic: flat, network: net }] of Object.entries(rules)) {
  test(`${name} follows the path of 100 steps (${by}), and is evaluated with its weights`, () => {
    const evaluated: Values = {};
    if (flat !== undefined) {
      const seen: Values[] = [];
      const start = { x: f64(golden.problems.quadratic.start) };
      const visit = (values: Values) => seen.push(values);
      const end = run(parseOptimizer(config), start, quadratic, { steps: 100, lr, visit, evaluated });
      const path = [...seen.slice(1), end].flatMap((values) => numbers(values.x!));
      assertClose(path, flat.path.flat(), { absolute: 1e-10, what: "path" });
      if (flat.evaluated) assertClose(evaluated.x!, flat.evaluated.x, { absolute: 1e-10, what: "evaluated x" });
    }
    const { X: _, y: __, ...weights } = golden.problems.network;
    const from = Object.fromEntries(Object.entries(weights).map(([key, value]) => [key, f64(value as number[][])]));
    const losses: number[] = [];
    const visit = (_: Values, loss: number) => losses.push(loss);
    const last = run(parseOptimizer(config), from, network, { steps: 100, lr, count: 7, visit, evaluated });
    assertClose(losses, net.losses, { absolute: 1e-10, what: "losses" });
    for (const [key, value] of Object.entries(net.final)) {
      assertClose(last[key]!, value, { absolute: 1e-10, what: key });
      if (net.evaluated)
        assertClose(evaluated[key]!, net.evaluated[key]!, { absolute: 1e-10, what: `evaluated ${key}` });
    }
  });
}

const changing: {
  [name: string]: { config: object; lr: number; losses: number[]; final: { [name: string]: number[] } };
} = JSON.parse(readFileSync("test/golden/courses.json", "utf8")).optimizers;

test.each(Object.entries(changing))(
  "%s whose settings change follows PyTorch's path",
  (_, { config, lr, losses, final }) => {
    const { X: _x, y: _y, ...weights } = golden.problems.network;
    const from = Object.fromEntries(Object.entries(weights).map(([key, value]) => [key, f64(value as number[][])]));
    const seen: number[] = [];
    const visit = (__: Values, loss: number) => seen.push(loss);
    const last = run(parseOptimizer(config), from, network, { steps: 100, lr, count: 7, visit });
    assertClose(seen, losses.slice(0, 100), { absolute: 1e-12, what: "losses" });
    for (const [key, value] of Object.entries(final)) assertClose(last[key]!, value, { absolute: 1e-12, what: key });
  },
);

test.each([
  { adam: { betas: [0.9, 0.999] } },
  { lion: {} },
  { muon: {} },
  { rmsprop: { momentum: 0.9 } },
  { lars: { momentum: 0.9 } },
])("a course that stays where it is is the number: %j", (config) => {
  const still = (value: number) => ({ linear: { from: value, to: value, end: 1, unit: "steps" } });
  const [name, settings] = Object.entries(config)[0]! as [string, { betas?: number[]; momentum?: number }];
  const { betas, momentum } = settings;
  const course = {
    ...{ weightDecay: still(0.1) },
    ...(betas ? { betas: betas.map(still) } : {}),
    ...(momentum ? { momentum: still(momentum) } : {}),
  };
  const { X: _, y: __, ...weights } = golden.problems.network;
  const from = Object.fromEntries(Object.entries(weights).map(([key, value]) => [key, f64(value as number[][])]));
  const end = (given: object) =>
    run(parseOptimizer({ [name]: { ...settings, ...given } }), from, network, { steps: 20, lr: 0.01 });
  const [number, varied] = [end({ weightDecay: 0.1 }), end(course)];
  for (const [key, value] of Object.entries(number))
    assertClose(varied[key]!, toNumbers(value), { absolute: 1e-13, what: key });
});

test("every optimizer that a recipe may name has a golden path", () => {
  const configs = [...Object.values(presets), ...Object.values(rules)].map(({ config }) => Object.keys(config)[0]!);
  expect([...new Set(configs)].sort()).toEqual([...optimizerNames].sort());
});

const presets: { [golden: string]: Optimizer } = {
  sgd: sgd(),
  momentum: sgd({ momentum: 0.9 }),
  nesterov: sgd({ momentum: 0.9, nesterov: true }),
  "momentum-l2": sgd({ momentum: 0.9, l2: 5e-4 }),
  adam: adam(),
  "adam-l2": adam({ l2: 0.01 }),
  adamw: adamw({ betas: [0.9, 0.95], weightDecay: 0.1, decay: "all" }),
  "adam-amsgrad": adam({ betas: [0.9, 0.99], amsgrad: true }),
  adamax: adamax(),
  nadam: nadam(),
  radam: radam(),
  adagrad: adagrad(),
  adadelta: adadelta(),
  rmsprop: rmsprop(),
  "rmsprop-centered": rmsprop({ centered: true, momentum: 0.9 }),
};

const chains: { [golden: string]: Optimizer } = {
  sgd: new Optimizer({ chain: [scaleByLearningRate()] }),
  momentum: new Optimizer({ chain: [momentum(0.9), scaleByLearningRate()] }),
  nesterov: new Optimizer({ chain: [momentum(0.9, { nesterov: true }), scaleByLearningRate()] }),
  "momentum-l2": new Optimizer({ chain: [addDecayedWeights(5e-4), momentum(0.9), scaleByLearningRate()] }),
  adam: new Optimizer({ chain: [scaleByAdam({ beta1: 0.9, beta2: 0.999, eps: 1e-8 }), scaleByLearningRate()] }),
  "adam-l2": new Optimizer({
    chain: [addDecayedWeights(0.01), scaleByAdam({ beta1: 0.9, beta2: 0.999, eps: 1e-8 }), scaleByLearningRate()],
  }),
  adamw: new Optimizer({
    chain: [scaleByAdam({ beta1: 0.9, beta2: 0.95, eps: 1e-8 }), addDecayedWeights(0.1), scaleByLearningRate()],
  }),
};

for (const [kind, optimizers] of Object.entries({ presets, chains })) {
  for (const [name, optimizer] of Object.entries(optimizers)) {
    test(`${kind}: ${name} follows PyTorch's path for 100 steps`, () => {
      const record = golden.optimizers[name];
      const { lr } = record.options;
      const { path } = record.quadratic;
      const seen: Values[] = [];
      const start = { x: f64(golden.problems.quadratic.start) };
      const end = run(optimizer, start, quadratic, { steps: 100, lr, visit: (values) => seen.push(values) });
      [...seen.slice(1), end].forEach((values, step) => {
        assertClose(numbers(values.x!), path[step], { absolute: 1e-11, what: `step ${step}` });
      });

      const { X: _, y: __, ...weights } = golden.problems.network;
      const losses: number[] = [];
      const from = Object.fromEntries(Object.entries(weights).map(([key, value]) => [key, f64(value as number[][])]));
      // count 7: sums of gradients with the scale that makes them means
      const last = run(optimizer, from, network, { steps: 100, lr, count: 7, visit: (__, loss) => losses.push(loss) });
      assertClose(losses, record.network.losses.slice(0, 100), { absolute: 1e-11, what: "losses" });
      for (const [key, value] of Object.entries(record.network.final)) {
        assertClose(numbers(last[key]!), value as number[], { absolute: 1e-10, what: key });
      }
    });
  }
}

test("Adam's first step has the size of the learning rate; without bias correction it has not", () => {
  const start = { x: f64([3, -2]) };
  const loss: Problem = (parameters) => parameters.get("x")!.square().sum();
  const end = run(adam(), start, loss, { steps: 1, lr: 0.01 });
  assertClose(numbers(end.x!), [3 - 0.01, -2 + 0.01], { absolute: 1e-6 * 0.01, what: "x" });
  const uncorrected = new Optimizer({
    chain: [
      { ...scaleByAdam({ beta1: 0.9, beta2: 0.999, eps: 1e-8 }), scalarsAt: () => ({ "adam.c1": 1, "adam.c2": 1 }) },
      scaleByLearningRate(),
    ],
  });
  const other = numbers(run(uncorrected, start, loss, { steps: 1, lr: 0.01 }).x!);
  expect(Math.abs(3 - other[0]! - 0.01)).toBeGreaterThan(1e-3);
});

test("clipping scales all gradients by one factor, and not at all below the limit", () => {
  const start = { a: f64([3]), b: f64([[4]]) };
  const loss: Problem = (parameters) =>
    [...parameters.values()].map((x) => x.square().sum().mul(0.5)).reduce((x, y) => x.add(y));
  for (const [clip, factor] of [
    [1, 1 / (5 + 1e-6)],
    [6, 1],
  ] as const) {
    const norms: number[] = [];
    const end = run(sgd({ clip }), start, loss, {
      steps: 1,
      lr: 0.5,
      count: 3,
      visit: (_, __, norm) => norms.push(norm),
    });
    assertClose(norms, [5], { absolute: 1e-14, what: "norm before clipping" });
    assertClose(numbers(end.a!), [3 - 0.5 * 3 * factor], { absolute: 1e-14, what: "a" });
    assertClose(numbers(end.b!), [4 - 0.5 * 4 * factor], { absolute: 1e-14, what: "b" });
  }
});

test("presets and chains agree with clipping, decay of matrices and frozen parameters together", () => {
  const start = {
    "w.weight": f64([
      [1, -2],
      [0.5, 3],
    ]),
    "w.bias": f64([0.3, -0.1]),
    "e.weight": f64([[2]]),
  };
  const loss: Problem = (parameters) =>
    [...parameters.values()].map((x) => x.square().sum().add(x.sin().sum())).reduce((x, y) => x.add(y));
  const freeze: ParameterSelector = ["e.*"];
  const preset = adamw({ betas: [0.8, 0.9], eps: 1e-6, weightDecay: 0.3, clip: 0.7, freeze: ["e.*"] });
  const chain = new Optimizer({
    chain: [
      clipByGlobalNorm(0.7),
      scaleByAdam({ beta1: 0.8, beta2: 0.9, eps: 1e-6 }),
      addDecayedWeights(0.3, "matrices"),
      scaleByLearningRate(),
    ],
    freeze,
  });
  const [one, other] = [preset, chain].map((optimizer) => run(optimizer, start, loss, { steps: 10, lr: 0.05 }));
  for (const name of Object.keys(start))
    assertClose(numbers(one![name]!), numbers(other![name]!), { absolute: 1e-13, what: name });
  expect(numbers(one!["e.weight"]!)).toEqual([2]);
  const free = run(adamw({ betas: [0.8, 0.9], eps: 1e-6, weightDecay: 0.3, clip: 0.7 }), start, loss, {
    steps: 10,
    lr: 0.05,
  });
  expect(numbers(free["e.weight"]!)).not.toEqual([2]);
});

test("gradient noise is drawn by its address, with the deviation of the step", () => {
  const start = { x: f64([1, 2, 3]) };
  const zero: Problem = (parameters) => parameters.get("x")!.mul(0).sum();
  const end = run(sgd({ noise: { size: 4, decay: 0.5 } }), start, zero, { steps: 1, lr: 1 });
  const stream = new RandomStream(5, "noise.x");
  const drawn = [0, 1, 2].map((row) => row + 1 - 2 * stream.normal(0, row, 2));
  assertClose(numbers(end.x!), drawn, { absolute: 1e-6, what: "x" });
});

test("a norm for each parameter alone", () => {
  const start = { a: f64([3]), b: f64([[0.5]]) };
  const loss: Problem = (parameters) =>
    [...parameters.values()].map((x) => x.square().sum().mul(0.5)).reduce((x, y) => x.add(y));
  const end = run(sgd({ clip: { parameterNorm: 1 } }), start, loss, { steps: 1, lr: 0.1 });
  assertClose(numbers(end.a!), [3 - 0.1 * (3 / (3 + 1e-6))], { absolute: 1e-14, what: "a" });
  assertClose(numbers(end.b!), [0.5 - 0.1 * 0.5], { absolute: 1e-14, what: "b" });
});

test.each(["sgd", "adamw"])("%s with maxNorm: no output's weights are longer, and shorter ones are left", (name) => {
  const start = {
    w: f64([
      [3, 0.1],
      [4, 0.2],
    ]),
    b: f64([9]),
  };
  const still: Problem = (parameters) => [...parameters.values()].map((x) => x.mul(0).sum()).reduce((x, y) => x.add(y));
  const optimizer = parseOptimizer({ [name]: { maxNorm: 1, decay: "none", average: { ema: { decay: 0.5 } } } });
  const evaluated: Values = {};
  const end = run(optimizer, start, still, { steps: 1, lr: 0.1, evaluated });
  assertClose(numbers(end.w!), [0.6, 0.1, 0.8, 0.2], { absolute: 1e-15, what: "w" });
  expect(numbers(end.b!)).toEqual([9]);
  // decay (1 + t) / (10 + t) = 0.1 after the first update
  assertClose(numbers(evaluated.w!), [0.6 + 0.24, 0.1, 0.8 + 0.32, 0.2], { absolute: 1e-14, what: "average" });
});

test("rates by depth: 1 at the output, the factor once more for each block further from it", () => {
  const names = ["wte.weight", "h.0.mlp.weight", "h.1.mlp.weight", "lnF.weight"];
  const rates = ratesByDepth(0.5)(names.map((name) => ({ name, shape: [2] })));
  expect(names.map((name) => rates.get(name))).toEqual([0.125, 0.25, 0.5, 1]);
});

test("decoupled decay and an l2 penalty are different words: only the first leaves Adam's update alone", () => {
  const start = { x: f64([[2]]) };
  const loss: Problem = (parameters) => parameters.get("x")!.sum();
  const first = (options: object) => numbers(run(adam(options), start, loss, { steps: 1, lr: 0.1 }).x!)[0]!;
  expect(first({})).toBeCloseTo(2 - 0.1, 8);
  expect(first({ weightDecay: 0.5 })).toBeCloseTo(2 - 0.1 - 0.1 * 0.5 * 2, 8);
  expect(first({ l2: 0.5 })).toBeCloseTo(2 - 0.1, 8); // the first step has the length of the rate, whatever the gradient
});

test("slots are named by rule and parameter", () => {
  const types = [{ name: "h.0.weight", dtype: "f32" as const, shape: [2, 3] }];
  expect(adamw().slotTypes(types)).toEqual([
    { name: "adam.m.h.0.weight", dtype: "f32", shape: [2, 3] },
    { name: "adam.v.h.0.weight", dtype: "f32", shape: [2, 3] },
  ]);
  expect(sgd().slotTypes(types)).toEqual([]);
  expect(
    sgd({ momentum: 0.9 })
      .slotTypes(types)
      .map(({ name }) => name),
  ).toEqual(["sgd.velocity.h.0.weight"]);
});

test("a configuration comes back as plain data with its defaults, and means the same again", () => {
  const config = parseOptimizer(
    { adamw: { lr: { cosine: { peak: 1e-3, warmup: 10 } }, clip: 1 } },
    { steps: 100 },
  ).config;
  expect(JSON.parse(JSON.stringify(config))).toEqual({
    adamw: {
      lr: { cosine: { peak: 1e-3, warmup: 10, floor: 0, unit: "steps" } },
      betas: [0.9, 0.999],
      eps: 1e-8,
      amsgrad: false,
      l2: 0,
      weightDecay: 0.01,
      decay: "matrices",
      clip: 1,
      centralize: false,
      rates: [],
      freeze: "none",
      slots: "full",
    },
  });
  expect(parseOptimizer(config, { steps: 100 }).config).toEqual(config);
  expect(Object.keys(parseOptimizer("sgd").config)).toEqual(["sgd"]);
});

test("all problems of a configuration are told at once, with the nearest known key", () => {
  const wrong = { adamw: { lr: -1, beta: [0.9, 0.95], epsilon: 1e-8, weightDecay: "0.1", betas: [0.9, 1] } };
  expect(() => parseOptimizer(wrong)).toThrowErrorMatchingInlineSnapshot(`
    [AthanorError: [config/invalid] 5 settings are wrong
      at        optimizer
      got       adamw.lr: must be greater than 0, got -1
                adamw.weightDecay: expected number or object, got "0.1"
                adamw.betas.1: must be less than 1, got 1
                adamw.beta: unknown key; did you mean betas?
                adamw.epsilon: unknown key; known: lr, weightDecay, l2, decay, clip, centralize, noise, rates, layerDecay, maxNorm, lookahead, average, sharpness, freeze, betas, eps, amsgrad, slots
      fix       mend what is listed; nothing has been started]
  `);
  expect(() => parseOptimizer({ adam: {}, sgd: {} })).toThrow(/exactly one of sgd, adam, .*, got sgd and adam/);
  expect(() => parseOptimizer({ adm: {} })).toThrow("did you mean adam?");
  expect(() => parseOptimizer({ sgd: { nesterov: true } })).toThrow("needs a momentum above 0");
  expect(() => parseOptimizer({ sgd: { lr: Number.NaN } })).toThrow(/lr: .*NaN/);
});

test.each(["scheduleFreeSgd", "scheduleFreeAdamw"])(
  "%s keeps its own average, and takes no other rule behind it",
  (name) => {
    for (const other of [
      { rates: [{ select: "all", by: 2 }] },
      { layerDecay: 0.5 },
      { maxNorm: 1 },
      { lookahead: {} },
      { average: { ema: {} } },
    ])
      expect(() => parseOptimizer({ [name]: other })).toThrow(
        expect.objectContaining({ code: "config/invalid", where: `optimizer.${name}`, got: Object.keys(other)[0] }),
      );
  },
);

test("a pattern that matches no parameter is an error", () => {
  const types = [{ name: "wte.weight", dtype: "f32" as const, shape: [2, 3] }];
  expect(() => adamw({ freeze: ["wpe.*"] }).slotTypes(types)).toThrow("a pattern matches no parameter");
  expect(() => adamw({ freeze: "all" }).slotTypes(types)).toThrow("every parameter is frozen");
});
