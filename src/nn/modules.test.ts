// Modules as trees of names, dropout's masks, and what a model may not do.
import { expect, test } from "vitest";
import { fromNumbers, hashName, philox, toNumbers, wordToUniform } from "../base/index.ts";
import { attention, currentScope, type Tensor, trace, zeros } from "../core/index.ts";
import { evaluate, type FeedValue } from "../engine/index.ts";
import {
  CausalSelfAttention,
  call,
  Dropout,
  dense,
  functionalCall,
  initialize,
  KeyValuePrefix,
  Linear,
  Mlp,
  Module,
  Parameter,
  Sequential,
} from "./index.ts";

type OneInput = { forward(x: Tensor): Tensor } & Module;

/** Runs a module in f64 on parameters that start from `seed`; `rows` are the sample ids, for masks. */
function run(
  model: OneInput,
  x: FeedValue,
  options: { mode?: "train" | "eval"; seed?: number; step?: number; rows?: readonly number[] } = {},
): { shape: readonly number[]; data: number[] } {
  const { mode = "eval", seed = 1, step = 0, rows = [] } = options;
  const parameters = [...model.parameters()].map(
    ([name, { shape, init }]) => [name, initialize(init, name, shape, "f64", seed)] as const,
  );
  const feeds = {
    x,
    key: fromNumbers("i32", [3], [seed, 0, step]),
    rows: fromNumbers("i32", [rows.length], rows),
    ...Object.fromEntries(parameters),
  };
  return evaluate(
    (input, _key, _rows, ...given) =>
      functionalCall(model, new Map(parameters.map(([name], at) => [name, given[at]!])), () => model.forward(input!)),
    feeds,
    { mode, random: (inputs) => ({ key: inputs.key!, rows: inputs.rows! }) },
  );
}

test("a prefix is its weight, or what its projection makes of it, place by place", () => {
  const plain = new KeyValuePrefix({ tokens: 2, channels: 8 });
  const prefix = new KeyValuePrefix({ tokens: 2, channels: 8, projection: { width: 3, hidden: 5 } });
  const shapes = (module: Module) => [...module.parameters()].map(([name, { shape }]) => `${name} ${shape}`);
  expect(shapes(plain)).toEqual(["weight 2,8"]);
  expect(shapes(prefix)).toEqual([
    "weight 2,3",
    "inner.weight 3,5",
    "inner.bias 5",
    "outer.weight 5,8",
    "outer.bias 8",
  ]);
  const value = (name: string, at: number) => Math.sin(hashName(name) + at);
  const tensors = [...prefix.parameters()].map(([name, { shape }]) => {
    const size = shape.reduce((product, dim) => product * dim, 1);
    return [
      name,
      fromNumbers(
        "f64",
        shape,
        Array.from({ length: size }, (_, at) => value(name, at)),
      ),
    ] as const;
  });
  const made = evaluate(
    (...given) =>
      functionalCall(prefix, new Map(tensors.map(([name], at) => [name, given[at]!])), () => prefix.forward()),
    Object.fromEntries(tensors),
  );
  for (let place = 0; place < 2; place++)
    for (let channel = 0; channel < 8; channel++) {
      let sum = value("outer.bias", channel);
      for (let h = 0; h < 5; h++) {
        let inner = value("inner.bias", h);
        for (let c = 0; c < 3; c++) inner += value("weight", 3 * place + c) * value("inner.weight", 5 * c + h);
        sum += Math.tanh(inner) * value("outer.weight", 8 * h + channel);
      }
      expect(made.data[8 * place + channel]).toBeCloseTo(sum, 12);
    }
});

test("a layer's parameters are named by its fields, in their order; a tied one appears once", () => {
  class Block extends Module {
    readonly attn = new CausalSelfAttention(4, { heads: 2, bias: false });
    readonly extras = { scale: new Parameter([4], { init: "ones" }), list: [new Linear(4, 1)] };
    readonly tied = this.extras.scale;
    forward(): void {}
  }
  expect([...new Block().parameters().keys()]).toEqual([
    "attn.c_attn.weight",
    "attn.c_proj.weight",
    "extras.scale",
    "extras.list.0.weight",
    "extras.list.0.bias",
  ]);
});

test("nodes carry the path of the module that made them", () => {
  const scopes: string[] = [];
  class Probe extends Module {
    forward(x: Tensor): Tensor {
      scopes.push(currentScope());
      return x;
    }
  }
  class Outer extends Module {
    readonly blocks = [new Sequential(new Probe()), new Sequential(new Probe())];
    forward(x: Tensor): Tensor {
      return this.blocks.reduce((value, block) => call(block, value), x);
    }
  }
  run(new Outer(), [1]);
  expect(scopes).toEqual(["blocks.0.layers.0", "blocks.1.layers.0"]);
});

test("dropout's mask is the counter generator's, by row's sample id, and the mean is kept", () => {
  const rate = 0.3;
  const model = new Sequential(new Dropout(rate));
  const width = 10_000;
  const ones = [11, 5].map(() => new Array<number>(width).fill(1));
  const { data } = run(model, ones, { mode: "train", seed: 9, step: 4, rows: [11, 5] });
  const block = new Uint32Array(4);
  [11, 5].forEach((id, row) => {
    for (const e of [0, 1, 2, 3, 4, 999, 9999]) {
      philox(block, e >> 2, id, 4, hashName("layers.0"), 9, 0);
      const kept = wordToUniform(block[e % 4]!) >= Math.fround(rate);
      expect(data[row * width + e]).toBeCloseTo(kept ? 1 / (1 - rate) : 0, 6);
    }
  });
  const zeros = data.filter((x) => x === 0).length / data.length;
  expect(Math.abs(zeros - rate)).toBeLessThan(0.01);
  expect(Math.abs(data.reduce((sum, x) => sum + x, 0) / data.length - 1)).toBeLessThan(0.02);
});

test("masks differ by layer, step, seed and row, and follow a row wherever it stands in a batch", () => {
  const model = new Sequential(new Dropout(0.5), new Dropout(0.5));
  const ones = [0, 1].map(() => new Array<number>(64).fill(1));
  const one = { mode: "train", seed: 1, step: 1, rows: [3, 8] } as const;
  const mask = (layers: Sequential, options: Parameters<typeof run>[2]) => run(layers, ones, options).data;
  const first = mask(model, one);
  expect(mask(model, one)).toEqual(first);
  expect(first.filter((x) => x !== 0).length).toBeLessThan(50); // two masks over one another: about 32 of 128 stay
  expect(mask(model, { ...one, step: 2 })).not.toEqual(first);
  expect(mask(model, { ...one, seed: 2 })).not.toEqual(first);
  expect(mask(model, { ...one, rows: [8, 3] })).toEqual([...first.slice(64), ...first.slice(0, 64)]);
});

test("in eval mode, or at rate 0, dropout is the identity and asks for no random inputs", () => {
  const x = [[1, 2, 3]];
  expect(run(new Sequential(new Dropout(0.9)), x).data).toEqual([1, 2, 3]);
  expect(run(new Sequential(new Dropout(0)), x, { mode: "train", rows: [0] }).data).toEqual([1, 2, 3]);
  const type = { x: { dtype: "f32", shape: [1, 3] } } as const;
  const dropout = new Dropout(0.5);
  expect(() => trace(type, ({ x: input }) => dropout.forward(input), { mode: "train" })).toThrow(
    "dropout needs random inputs",
  );
  for (const rate of [1, -0.1, Number.NaN]) expect(() => new Dropout(rate)).toThrow("0 ≤ rate < 1");
});

test("attention with a window: a token sees itself and the one before", () => {
  const x = [Array.from({ length: 5 }, (_, t) => [Math.sin(t), Math.cos(2 * t), 0.1 * t, 1])];
  const changed = x.map((row) => row.map((token, t) => (t === 1 ? token.map((value) => value + 1) : token)));
  const model = new CausalSelfAttention(4, { heads: 2, window: 2 });
  const [before, after] = [run(model, x).data, run(model, changed).data];
  const token = (values: ArrayLike<number>, t: number) => Array.from(values).slice(4 * t, 4 * t + 4);
  for (const t of [0, 3, 4]) expect(token(after, t)).toEqual(token(before, t));
  for (const t of [1, 2]) expect(token(after, t)).not.toEqual(token(before, t));
});

test("over a cache a token sees the window before its own position, wherever its row stands", () => {
  // equal scores, and values that name their position: what comes out shows what was seen
  const values = Array.from({ length: 2 * 36 }, (_, i) => Number(Math.floor(i / 6) % 6 === i % 6));
  const seen = evaluate(
    (position, v) => {
      const q = zeros([2, 2, 1, 6], "f64");
      return attention(q, zeros([2, 6, 1, 6], "f64"), v!, { causal: true, window: 3, mask: position! }).greater(0);
    },
    { position: fromNumbers("i32", [2], [0, 3]), v: fromNumbers("f64", [2, 6, 1, 6], values) },
  );
  const [first, second] = [
    [1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0],
    [0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0],
  ];
  expect(Array.from(seen.data, Number)).toEqual([...first!, ...second!]);
});

test("attention: no token sees a later one, and dropout on probabilities acts in train mode", () => {
  const x = [0, 1].map((b) => Array.from({ length: 5 }, (_, t) => [Math.sin(b + t), Math.cos(2 * t), 0.1 * t, b]));
  const changed = x.map((row) => row.map((token, t) => (t === 3 ? token.map((value) => value + 1) : token)));
  const model = new CausalSelfAttention(4, { heads: 2 });
  const [before, after] = [run(model, x).data, run(model, changed).data];
  for (let b = 0; b < 2; b++) {
    expect(after.slice(b * 20, b * 20 + 12)).toEqual(before.slice(b * 20, b * 20 + 12));
    for (const t of [3, 4])
      expect(after.slice(b * 20 + 4 * t, b * 20 + 4 * t + 4)).not.toEqual(
        before.slice(b * 20 + 4 * t, b * 20 + 4 * t + 4),
      );
  }
  const dropping = new CausalSelfAttention(4, { heads: 2, dropout: 0.5 });
  const train = (rows: readonly number[]) => run(dropping, x, { mode: "train", rows }).data;
  expect(run(dropping, x).data).toEqual(before);
  expect(train([0, 1])).not.toEqual(before);
  expect(train([0, 1])).toEqual(train([0, 1]));
  expect(train([0, 1])).not.toEqual(train([0, 2]));
  // Without the output's dropout: one token sees itself alone, so each head of each row is dropped whole or doubled.
  const alone = Object.assign(new CausalSelfAttention(4, { heads: 2, dropout: 0.5 }), {
    resid_dropout: new Dropout(0),
  });
  Object.assign(alone.c_proj, { forward: (value: Tensor) => value });
  const single = Array.from({ length: 16 }, (_, b) => [[1, 2, 3, b]]);
  const rows = single.map((_, b) => b);
  const [kept, dropped] = [run(alone, single).data, run(alone, single, { mode: "train", rows }).data];
  const factors = dropped.map((value, at) => value / kept[at]!);
  expect(new Set(factors.map((factor) => Number(factor.toFixed(9))))).toEqual(new Set([0, 2]));
  for (let at = 0; at < factors.length; at += 2) expect(factors[at + 1]).toBeCloseTo(factors[at]!, 9);
  expect(() => new CausalSelfAttention(6, { heads: 4 })).toThrow("a divisor of 6");
});

test("a perceptron is its layers written out", () => {
  const model = new Mlp([3, 4, 2], { activation: "tanh" });
  const x = [0.5, -1, 2];
  const value = (name: string) =>
    toNumbers(initialize(model.parameters().get(name)!.init, name, model.parameters().get(name)!.shape, "f64", 1));
  const layer = (input: readonly number[], at: number, outputs: number) => {
    const [weight, bias] = [value(`layers.${at}.weight`), value(`layers.${at}.bias`)];
    return Array.from({ length: outputs }, (_, o) =>
      input.reduce((sum, z, i) => sum + z * weight[i * outputs + o]!, bias[o]!),
    );
  };
  const wanted = layer(layer(x, 0, 4).map(Math.tanh), 1, 2);
  const { data, shape } = run(model, [x]);
  expect(shape).toEqual([1, 2]);
  wanted.forEach((z, at) => {
    expect(data[at]).toBeCloseTo(z, 14);
  });
});

test("what a model may not do is said with its place", () => {
  class Hidden extends Module {
    readonly #weight = new Parameter([2], { init: "ones" });
    forward(x: Tensor): Tensor {
      return x.mul(this.#weight.tensor);
    }
  }
  expect(() => run(new Hidden(), [1, 2])).toThrow(/nn\/unreachable[\s\S]*hidden in a #private field/);
  const late = new Sequential();
  Object.assign(late, { forward: async (x: Tensor) => x });
  expect(() => run(late, [1])).toThrow(/trace\/async|Promise/);
  class Wrong extends Module {
    readonly inner = new Linear(3, 2);
    forward(x: Tensor): Tensor {
      return call(this.inner, x);
    }
  }
  expect(() => run(new Wrong(), [[1, 2]])).toThrow(/inner/);
  expect(() => new Linear(0, 2)).toThrow("positive whole dimensions");
  expect(() => dense(3, "rellu" as "relu")).toThrow(
    expect.objectContaining({ code: "nn/activation", where: 'dense(3, "rellu")', fix: "did you mean relu?" }),
  );
  expect(() => dense(3, 7 as never)).toThrow(/nn\/activation[\s\S]*identity, relu, .*softmax/);
  expect(() => new Linear(2, 2).forward({} as Tensor)).toThrow();
});
