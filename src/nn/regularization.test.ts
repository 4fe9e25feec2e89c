// What regularizes: masks by the counter generator, moments that are kept, penalties and their slopes, mixed rows.
import { describe, expect, test } from "vitest";
import { fromNumbers, hashName, philox, RandomStream, wordToUniform } from "../base/index.ts";
import { gradients, type Tensor } from "../core/index.ts";
import { evaluate, type FeedValue } from "../engine/index.ts";
import {
  AlphaDropout,
  DropPath,
  functionalCall,
  GaussianDropout,
  GaussianNoise,
  limitNorms,
  Mlp,
  mixup,
  SpatialDropout,
  TokenDropout,
  weightPenalty,
} from "./index.ts";

interface Run {
  readonly mode?: "train" | "eval";
  readonly seed?: number;
  readonly step?: number;
  readonly rows: readonly number[];
}

/** `fn` of x in a trace with random inputs. */
function run(fn: (x: Tensor) => Tensor, x: FeedValue, { mode = "train", seed = 1, step = 1, rows }: Run) {
  const key = fromNumbers("i32", [3], [seed, 0, step]);
  const ids = fromNumbers("i32", [rows.length], [...rows]);
  const random = (inputs: { [name: string]: Tensor }) => ({ key: inputs.key!, rows: inputs.rows! });
  return evaluate((input) => fn(input!), { x, key, rows: ids }, { mode, random });
}

const layer = (module: { forward(x: Tensor): Tensor }) => (x: Tensor) => module.forward(x);
const filled = (shape: readonly number[], value: number): FeedValue =>
  shape.length === 0 ? value : Array.from({ length: shape[0]! }, () => filled(shape.slice(1), value));

describe("layers that drop whole parts", () => {
  const [rows, tokens, channels, rate] = [40, 25, 30, 0.25];
  const ids = Array.from({ length: rows }, (_, row) => 3 * row + 1);
  test.each<[string, { forward(x: Tensor): Tensor }, (row: number, t: number, c: number) => number, number]>([
    ["SpatialDropout", new SpatialDropout(rate), (row, _, c) => row * channels + c, rows * channels],
    ["TokenDropout", new TokenDropout(rate), (row, t) => row * tokens + t, rows * tokens],
    ["DropPath", new DropPath(rate), (row) => row, rows],
  ])("%s", (_name, module, partOf, numParts) => {
    const { data, shape } = run(layer(module), filled([rows, tokens, channels], 2), { rows: ids });
    expect(shape).toEqual([rows, tokens, channels]);
    const parts = new Map<number, Set<number>>();
    data.forEach((value, at) => {
      const part = partOf(Math.floor(at / tokens / channels), Math.floor(at / channels) % tokens, at % channels);
      parts.set(part, (parts.get(part) ?? new Set()).add(value));
    });
    expect(parts.size).toBe(numParts);
    const kept = [...parts.values()].map((found) => [...found]);
    for (const found of kept) expect(found).toHaveLength(1); // all of a part, or nothing
    const dropped = kept.filter(([value]) => value === 0).length / numParts;
    expect(Math.abs(dropped - rate)).toBeLessThan(4 * Math.sqrt((rate * (1 - rate)) / numParts));
    for (const [value] of kept) if (value !== 0) expect(value).toBeCloseTo(2 / (1 - rate), 6);
    const other = run(layer(module), filled([rows, tokens, channels], 2), { rows: [...ids].reverse() }).data;
    const perRow = tokens * channels;
    expect(other.slice(0, perRow)).toEqual(data.slice(-perRow)); // a mask follows its row
  });
});

describe("layers that keep moments", () => {
  const [rows, width] = [20, 2000];
  const stream = new RandomStream(5, "inputs");
  const input = Array.from({ length: rows }, (_, row) =>
    Array.from({ length: width }, (__, at) => stream.normal(at, row)),
  );
  const ids = input.map((_, row) => row);
  const moments = (data: readonly number[]) => {
    const mean = data.reduce((sum, x) => sum + x, 0) / data.length;
    return { mean, variance: data.reduce((sum, x) => sum + (x - mean) ** 2, 0) / data.length };
  };

  test.each([0.1, 0.5])(
    "AlphaDropout at rate %f keeps mean 0 and variance 1, element by element as the paper",
    (rate) => {
      const { data } = run(layer(new AlphaDropout(rate)), input, { rows: ids, seed: 3, step: 2 });
      const { mean, variance } = moments(data);
      expect(Math.abs(mean)).toBeLessThan(0.03);
      expect(Math.abs(variance - 1)).toBeLessThan(0.05);
      const lowest = -1.7580993408473766; // −λα, as PyTorch writes it
      const a = 1 / Math.sqrt((lowest ** 2 * rate + 1) * (1 - rate));
      const block = new Uint32Array(4);
      for (const [row, at] of [
        [0, 0],
        [3, 1],
        [19, 1999],
        [7, 1000],
        [7, 1001],
      ] as const) {
        philox(block, at >> 2, row, 2, hashName(""), 3, 0);
        const x = wordToUniform(block[at % 4]!) >= rate ? input[row]![at]! : lowest;
        expect(data[row * width + at]).toBeCloseTo(a * x - a * lowest * rate, 12);
      }
    },
  );

  test("GaussianDropout has mean 1 and variance rate / (1 − rate), GaussianNoise its deviation", () => {
    const ones = filled([rows, width], 1);
    const size = rows * width;
    const times = moments(run(layer(new GaussianDropout(0.2)), ones, { rows: ids }).data);
    expect(Math.abs(times.mean - 1)).toBeLessThan((4 * 0.5) / Math.sqrt(size));
    expect(Math.abs(times.variance - 0.25)).toBeLessThan(4 * 0.25 * Math.sqrt(2 / size));
    const plus = moments(run(layer(new GaussianNoise(0.3)), ones, { rows: ids }).data);
    expect(Math.abs(plus.mean - 1)).toBeLessThan((4 * 0.3) / Math.sqrt(size));
    expect(Math.abs(plus.variance - 0.09)).toBeLessThan(4 * 0.09 * Math.sqrt(2 / size));
  });
});

test("in eval mode, and at 0, all are the identity; rates out of range are refused", () => {
  const x = [
    [
      [1, 2],
      [3, 4],
    ],
  ];
  for (const make of [SpatialDropout, TokenDropout, DropPath, AlphaDropout, GaussianDropout, GaussianNoise]) {
    expect(run(layer(new make(0.9)), x, { mode: "eval", rows: [0] }).data).toEqual([1, 2, 3, 4]);
    expect(run(layer(new make(0)), x, { rows: [0] }).data).toEqual([1, 2, 3, 4]);
    expect(() => new make(-0.1)).toThrow(/nn\/(dropout|noise)/);
    expect(() => new make(Number.NaN)).toThrow(/nn\/(dropout|noise)/);
  }
});

describe("weightPenalty", () => {
  const model = new Mlp([2, 2, 1]);
  const weights = {
    a: [
      [1, -2],
      [0.5, 0],
    ],
    b: [3, -3],
    c: [[-1], [4]],
    d: [7],
  };
  const penalty = (options: Parameters<typeof weightPenalty>[1]) =>
    evaluate((...given) => {
      const bound = new Map([...model.parameters().keys()].map((name, at) => [name, given[at]!]));
      const value = functionalCall(model, bound, () => weightPenalty(model, options));
      const [slope, bias] = gradients([value], [given[0]!, given[1]!]);
      const found: { [name: string]: Tensor } = { value, slope: slope! };
      return bias === undefined ? found : { ...found, bias };
    }, weights);

  test("is its formula, of matrices alone, and its slope that of an optimizer's l2", () => {
    expect(penalty({ l1: 0.1 }).value!.value).toBeCloseTo(0.1 * 8.5, 14);
    expect(penalty({ l2: 0.2 }).value!.value).toBeCloseTo(0.1 * (1 + 4 + 0.25 + 1 + 16), 14);
    const both = penalty({ l1: 0.1, l2: 0.2 });
    expect(both.value!.value).toBeCloseTo(0.85 + 2.225, 14);
    [0.1 + 0.2, -0.1 - 0.4, 0.1 + 0.1, 0].forEach((slope, at) => {
      expect(both.slope!.data[at]).toBeCloseTo(slope, 14);
    });
    expect(both).not.toHaveProperty("bias");
  });

  test("takes the parameters that are selected, and some there must be", () => {
    const select = (name: string) => name === "layers.0.bias" || name === "layers.0.weight";
    const { value, bias } = penalty({ l2: 1, select }) as unknown as {
      [name: string]: { value: number; data: number[] };
    };
    expect(value!.value).toBeCloseTo((5.25 + 18) / 2, 14);
    expect(bias!.data).toEqual([3, -3]);
    expect(() => penalty({ l2: 1, select: () => false })).toThrow("[nn/loss]");
    expect(() => penalty({ l2: -1 })).toThrow("l2 ≥ 0");
  });
});

test("limitNorms shortens the columns that are too long and no other", () => {
  const weight = [
    [3, 0.1, 0],
    [4, 0.2, 0],
  ];
  const { data } = evaluate((w) => limitNorms(w!, 2), { weight });
  [1.2, 0.1, 0, 1.6, 0.2, 0].forEach((value, at) => {
    expect(data[at]).toBeCloseTo(value, 14);
  });
  expect(() => evaluate((w) => limitNorms(w!, 0), { weight })).toThrow("max > 0");
});

describe("mixup", () => {
  const x = [[[1, 2]], [[3, 5]], [[-1, 0]]];
  const ids = [4, 9, 2];
  const shares = (alpha: 1 | 0.5) =>
    ids.map((id) => {
      const block = new Uint32Array(4);
      philox(block, 0, id, 6, hashName(".mixup"), 8, 0);
      const u = wordToUniform(block[0]!);
      return alpha === 1 ? u : Math.sin((Math.PI / 2) * u) ** 2;
    });
  const mix = (alpha: 1 | 0.5, part: "x" | "targets", mode: "train" | "eval" = "train") =>
    run((input) => mixup(input, input.reshape(3, 2).mul(10), { alpha })[part], x, {
      seed: 8,
      step: 6,
      rows: ids,
      mode,
    });

  test.each([1, 0.5] as const)("rows and targets by one share each, of Beta(%f, %f)", (alpha) => {
    const wanted = shares(alpha).flatMap((share, row) =>
      [0, 1].map((at) => share * x[row]![0]![at]! + (1 - share) * x[(row + 1) % 3]![0]![at]!),
    );
    wanted.forEach((value, at) => {
      expect(mix(alpha, "x").data[at]).toBeCloseTo(value, 12);
      expect(mix(alpha, "targets").data[at]).toBeCloseTo(10 * value, 11);
    });
    expect(mix(alpha, "x").shape).toEqual([3, 1, 2]);
  });

  test("shares of ½ are as Beta(½, ½): mean ½, variance ⅛; of 1 uniform: variance 1/12", () => {
    const many = Array.from({ length: 4000 }, (_, row) => row);
    for (const [alpha, variance] of [
      [1, 1 / 12],
      [0.5, 1 / 8],
    ] as const) {
      const rows = many.map((row) => [row % 2]); // 0 and 1 in turns: a mixed row is the share, or 1 less it
      const { data } = run((input) => mixup(input, input, { alpha }).x, rows, { rows: many });
      const mean = data.reduce((sum, value) => sum + value, 0) / 4000;
      expect(Math.abs(mean - 0.5)).toBeLessThan(4 * Math.sqrt(variance / 4000));
      const spread = data.reduce((sum, value) => sum + (value - 0.5) ** 2, 0) / 4000;
      expect(Math.abs(spread / variance - 1)).toBeLessThan(0.06);
    }
  });

  test("eval mode leaves both as they were; rows must agree", () => {
    expect(mix(1, "x", "eval").data).toEqual([1, 2, 3, 5, -1, 0]);
    expect(() => run((input) => mixup(input, input.reshape(2, 3)).x, x, { rows: ids })).toThrow(
      "of x and targets alike",
    );
    expect(() => run((input) => mixup(input, input, { alpha: 0.2 as 1 }).x, x, { rows: ids })).toThrow(
      "alpha 1 or 0.5",
    );
  });
});
