// The language's errors as people read them: what, where, expected, got, and what to do.
import { expect, test } from "vitest";
import { AthanorError, fromNumbers } from "../base/index.ts";
import {
  argMax,
  assign,
  attention,
  concat,
  constant,
  crossEntropy,
  currentTrace,
  dropoutOf,
  feed,
  gelu,
  grad,
  layerNorm,
  markOutput,
  matmul,
  pad,
  reshape,
  rotary,
  scatterAdd,
  sgd,
  softmax,
  sumSquares,
  type Tensor,
  take,
  takeAlong,
  trace,
  uniform,
  updateSlice,
  variable,
  where,
  withScope,
} from "./index.ts";

const types = {
  x: { dtype: "f32", shape: [2, 3] },
  y: { dtype: "f32", shape: [4, 3] },
  ids: { dtype: "i32", shape: [5] },
  mask: { dtype: "bool", shape: [2, 3] },
} as const;
type Inputs = { [name in keyof typeof types]: Tensor };

/** What JavaScript makes of an operator between tensors, past the type checker. */
function operator(of: (a: number, b: number) => number, ...operands: unknown[]): unknown {
  return Reflect.apply(of, undefined, operands);
}

const twice = (x: Tensor): [Tensor, Tensor] => [x, x];
const thrice = (x: Tensor): [Tensor, Tensor, Tensor] => [x, x, x];

/** The message of what `body` throws, its line numbers left out. */
function messageOf(body: (inputs: Inputs) => unknown): string {
  try {
    trace(types, (inputs) => body(inputs) as Tensor);
  } catch (error) {
    if (!(error instanceof AthanorError)) throw error;
    return error.message.replace(/errors\.test\.ts:\d+/, "errors.test.ts:LINE");
  }
  throw new Error("nothing was thrown");
}

test("the line that is named is the user's", () => {
  const line = Number(/:(\d+):\d+\)?$/.exec(new Error().stack!.split("\n")[1]!)![1]) + 3;
  let message = "";
  try {
    trace(types, ({ x, y }) => x.add(y));
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message).toContain(`at        src/core/errors.test.ts:${line}\n`);
});

test.each<[string, (inputs: Inputs) => unknown]>([
  ["matrices that do not fit", ({ x, y }) => x.matmul(y)],
  ["a vector as a matrix", ({ x, ids }) => matmul(x, ids)],
  ["batches that do not fit", ({ x }) => x.reshape(3, 1, 2).matmul(x.reshape(2, 2, 1).transpose().reshape(2, 2, 1))],
  ["shapes that do not broadcast", ({ x, y }) => x.add(y)],
  ["dtypes that differ", ({ x, ids }) => x.sum().add(ids)],
  ["a number where a mask is wanted", ({ x }) => where(x, x, 0)],
  ["a mask where a number is wanted", ({ mask }) => mask.add(mask)],
  ["a whole number where a fraction is wanted", ({ ids }) => ids.exp()],
  ["a sum of a mask", ({ mask }) => mask.sum()],
  ["a mean of whole numbers", ({ ids }) => ids.mean()],
  ["an operator", ({ x, y }) => operator((a, b) => a + b, x, y)],
  ["an operand that is no tensor", ({ x }) => x.add("1" as never)],
  ["an axis outside", ({ x }) => x.sum({ axis: 2 })],
  ["an axis of a scalar", ({ x }) => argMax(x.sum())],
  ["a reshape to another size", ({ x }) => reshape(x, [4, -1])],
  ["a permutation that is none", ({ x }) => x.permute(0, 0)],
  ["a slice outside", ({ x }) => x.slice(1, 1, 9)],
  ["parts that are not equal", ({ x }) => x.split(2, 1)],
  ["joined tensors that differ", ({ x, ids }) => concat([x, ids.cast("f32").reshape(1, 5)])],
  ["nothing to join", () => concat([])],
  ["negative padding", ({ x }) => pad(x, 0, -1, 0)],
  ["a broadcast to less", ({ x }) => x.broadcastTo([3])],
  ["indices that are fractions", ({ x, y }) => take(x, y)],
  ["a norm of another width", ({ x }) => layerNorm(x, constant([1, 1]), constant([0, 0]))],
  ["a softmax of a scalar", ({ x }) => softmax(x.sum())],
  ["a value that does not fit into a cache", ({ x, y }) => updateSlice(x, y, constant(0, "i32"), 0)],
  [
    "heads that do not divide",
    ({ x }) =>
      attention(
        x.reshape(1, 1, 3, 2),
        ...twice(x.reshape(1, 1, 2, 3).transpose().reshape(1, 3, 1, 2).slice(1, 0, 2).reshape(1, 1, 2, 2)),
      ),
  ],
  [
    "documents of fewer positions",
    ({ x, ids }) => attention(...thrice(x.reshape(1, 2, 1, 3)), { documents: ids.reshape(1, -1).slice(1, 0, 1) }),
  ],
  ["a turn of half a pair", ({ x }) => rotary(x.reshape(1, 2, 1, 3), { width: 3 })],
  [
    "a turn at other positions",
    ({ x, ids }) => rotary(x.reshape(1, 2, 1, 3), { width: 2, positions: ids.reshape(-1, 1) }),
  ],
  ["a window of half a key", ({ x }) => attention(...thrice(x.reshape(1, 2, 1, 3)), { window: 0.5 })],
  [
    "a mask of another shape",
    ({ x, mask }) => attention(...thrice(x.reshape(1, 2, 1, 3)), { mask: mask.reshape(1, 1, 3, 2) }),
  ],
  [
    "dropout without random inputs",
    ({ x }) => attention(...thrice(x.reshape(1, 2, 1, 3)), { dropout: { rate: constant(0.1), stream: "d" } }),
  ],
  ["logits and targets exchanged", ({ x }) => crossEntropy(x, x.sum({ axis: 1 }))],
  [
    "one sample id per row",
    ({ x, ids }) => dropoutOf(x, constant(0.5), constant(fromNumbers("i32", [3], [1, 2, 3])), ids, "d"),
  ],
  ["a key of two words", ({ ids }) => uniform(constant(fromNumbers("i32", [2], [1, 2])), ids, [5, 2], "u")],
  ["one index per row", ({ x, ids }) => takeAlong(x, ids)],
  ["a source that is not its index's", ({ x, ids }) => scatterAdd(ids, x, 4)],
  ["rows of a scalar", ({ x, ids }) => take(x.sum(), ids)],
  [
    "an optimizer's slots of another shape",
    ({ x, y }) => sgd([x, y, constant(1), constant(1)], { momentum: 0, dampening: 0, nesterov: false, weightDecay: 0 }),
  ],
  [
    "a rate that is no scalar",
    ({ x }) => sgd([x, x, constant(1), x], { momentum: 0, dampening: 0, nesterov: false, weightDecay: 0 }),
  ],
  ["the place of the largest of nothing", ({ x }) => x.slice(0, 1, 1).argMax(0)],
  ["squares of whole numbers", ({ ids }) => sumSquares(ids)],
  ["an activation of whole numbers", ({ ids }) => gelu(ids)],
  ["the largest of nothing", ({ x }) => x.slice(0, 1, 1).max()],
  ["a variable of another type", ({ x }) => assign("w", variable("w", "f32", [2]).add(x.sum()).cast("f64"))],
  ["two next values of a variable", ({ x }) => ["w", "w"].map((name) => assign(name, x))],
  ["a gradient of many numbers", ({ x }) => grad((v) => v.mul(2))(x)],
  ["a gradient without arguments", ({ x }) => grad(() => x.sum())()],
  ["a gradient of what has none", ({ x }) => grad((v) => updateSlice(v, v, constant(0, "i32"), 0).sum())(x)],
  ["an async function", async ({ x }) => x],
  ["a number as an output", () => 5],
  ["null as an output", () => null],
  ["an object of numbers", ({ x }) => ({ x, y: 5 })],
  ["two outputs of one name", ({ x }) => ["x", "x"].map((name) => markOutput(name, x))],
  ["two feeds of one name", ({ x }) => x.add(feed("x", types.x))],
])("%s", (_, body) => {
  expect(`\n${messageOf(body)}\n`).toMatchSnapshot();
});

test("a tensor of another trace", () => {
  let kept: Tensor | undefined;
  trace(types, ({ x }) => {
    kept = x;
    return x;
  });
  expect(messageOf(({ x }) => x.add(kept!))).toMatchInlineSnapshot(`
    "[trace/foreign-tensor] an input of add belongs to another trace
      at        src/core/errors.test.ts:LINE
      got       Tensor(f32[2,3])
      fix       pass tensors in as inputs of the traced function; do not keep them between traces"
  `);
});

test("an output of another trace", () => {
  let kept: Tensor | undefined;
  trace(types, ({ x }) => {
    kept = x;
    return x;
  });
  expect(messageOf(() => kept)).toMatchInlineSnapshot(`
    "[trace/foreign-tensor] output "result" belongs to another trace
      at        src/core/errors.test.ts:LINE
      got       Tensor(f32[2,3])
      fix       return tensors that this function computed; do not keep them between traces"
  `);
});

test("the language outside of a trace", () => {
  expect(() => constant(1)).toThrowErrorMatchingInlineSnapshot(`
    [AthanorError: [trace/none] this can only be called while a function is traced
      fix       call it inside the function given to trace(), evaluate() or a model's forward]
  `);
  expect(() => currentTrace()).toThrow(/trace\/none/);
});

test("operators throw, templates print", () => {
  trace(types, ({ x }) => {
    expect(`${x}`).toBe("Tensor(f32[2,3])");
    expect(() => operator((a, b) => a * b, x, 2)).toThrow("write a.add(b)");
    expect(() => operator((a, b) => Number(a < b), x, 2)).toThrow("write a.add(b)");
    return x;
  });
});

test("a trace that failed leaves no trace or scope behind", () => {
  expect(() => trace(types, ({ x, y }) => withScope("h.0", () => x.add(y)))).toThrow(AthanorError);
  expect(() => currentTrace()).toThrow("while a function is traced");
  expect(trace({ a: types.x }, ({ a }) => a.exp()).nodes.at(-1)!.scope).toBe("");
});

test("fields are data, codes are stable", () => {
  try {
    trace(types, ({ x, y }) => x.matmul(y));
  } catch (error) {
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({
      code: "shape/matmul-inner",
      got: "a f32[2,3], b f32[4,3]",
    });
  }
});
