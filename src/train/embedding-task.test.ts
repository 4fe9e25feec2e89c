// The loss of pairs of vectors, by its definition in plain numbers, and that rows which fill up a batch are no one's negatives.
import { expect, test } from "vitest";
import { concat, constant, currentTrace, normal, type Tensor, take, withContext } from "../core/index.ts";
import { evaluate } from "../engine/index.ts";
import { Module } from "../nn/index.ts";
import { embeddingTask } from "./embedding-task.ts";

const table = [
  [1, 0.2],
  [-0.5, 1],
  [0.3, -2],
  [2, 0.1],
  [-1, 1],
  [1, 1.5],
];

/** A text's vector is the table's row of its first token. */
class FirstToken extends Module {
  forward(tokens: Tensor): Tensor {
    return take(constant(table.flat(), "f64").reshape(6, 2), tokens.slice(1, 0, 1).reshape(-1));
  }
}

const cosine = ([a, b]: number[], [c, d]: number[]) => (a! * c! + b! * d!) / (Math.hypot(a!, b!) * Math.hypot(c!, d!));

/** Mean surprise of each row's own place among the others, and how often it is the largest. */
function picked(from: readonly number[], among: readonly number[], temperature: number) {
  const scores = from.map((q) => among.map((k) => cosine(table[q]!, table[k]!) / temperature));
  return {
    sum: scores.reduce((sum, row, at) => sum + Math.log(row.reduce((z, s) => z + Math.exp(s), 0)) - row[at]!, 0),
    correct: scores.filter((row, at) => row[at] === Math.max(...row)).length,
  };
}

test.each([true, false])("symmetric %s: of all keys of the batch, the own one is to be found", (symmetric) => {
  const [queries, keys] = [
    [0, 1, 2],
    [3, 5, 4],
  ];
  const task = embeddingTask(2, { temperature: 0.5, symmetric });
  const there = picked(queries!, keys!, 0.5);
  const back = picked(keys!, queries!, 0.5);
  const expected = symmetric ? (there.sum + back.sum) / 2 : there.sum;
  for (const filled of [0, 2]) {
    const column = (ids: readonly number[]) => [...ids, ...new Array(filled).fill(ids.at(-1))].map((id) => [id, -1]);
    const feeds = { queries: column(queries!), keys: column(keys!), targets: [0, 0, 0, ...new Array(filled).fill(-1)] };
    const int = (data: number[][] | number[]) => ({
      dtype: "i32" as const,
      shape: Array.isArray(data[0]) ? [data.length, 2] : [data.length],
      data: Int32Array.from(data.flat()),
    });
    const inputs = Object.fromEntries(Object.entries(feeds).map(([name, data]) => [name, int(data)]));
    const { data } = evaluate((...[queries, keys, targets]) => {
      const { sum, count, extra } = task.loss(new FirstToken(), { queries: queries!, keys: keys!, targets: targets! });
      return concat([sum, count, extra!.correct!].map((one) => one.reshape(1)));
    }, inputs);
    expect(data[0]).toBeCloseTo(expected, 12);
    expect(data.slice(1)).toEqual([3, there.correct]);
  }
  expect(there.correct).toBeGreaterThan(0);
  expect(there.correct).toBeLessThan(3);
});

test("each text of a pair draws its own random numbers", () => {
  class Noise extends Module {
    forward(tokens: Tensor): Tensor {
      const { key, rows } = currentTrace().random!;
      return normal(key, rows, [tokens.shape[0]!, 2], "noise");
    }
  }
  const task = embeddingTask(1, { temperature: 1, symmetric: false });
  const ids = (...data: number[]) => ({ dtype: "i32" as const, shape: [data.length], data: Int32Array.from(data) });
  const same = { dtype: "i32" as const, shape: [3, 1], data: Int32Array.of(1, 1, 1) };
  const inputs = { key: ids(1, 0, 0), rows: ids(0, 1, 2), queries: same, keys: same, targets: ids(0, 0, 0) };
  const { data } = evaluate((...[key, rows, queries, keys, targets]) => {
    const feeds = { queries: queries!, keys: keys!, targets: targets! };
    const { sum } = withContext({ mode: "train", random: { key: key!, rows: rows! } }, () =>
      task.loss(new Noise(), feeds),
    );
    return sum.reshape(1);
  }, inputs);
  // were both texts' numbers the same, every own cosine would be 1, the largest there is
  expect(data[0]).toBeGreaterThan(3 * Math.log(3));
});
