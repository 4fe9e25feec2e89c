// vmap: every op, from its samples, over a batch of examples, against the examples one by one; then nesting, axes and refusals.
import {
  AthanorError,
  assign,
  type EvaluateOptions,
  evaluate,
  fromNumbers,
  grad,
  type HostArray,
  iota,
  type Tensor,
  take,
  toNumbers,
  uniform,
  valueAndGrad,
  vmap,
} from "athanor";
import { describe, expect, test } from "vitest";
import { fusedMulti, type Op } from "../../src/core/index.ts";
import { drawInputs, type OpCase, opCases } from "../support/op-cases.ts";

const numExamples = 3;
/** What vmap must refuse rather than do wrongly: ops without a rule or a composition, and compositions that draw at random. */
const isRefused = ({ op, sample }: OpCase) =>
  (op.batch === undefined && op.expand === undefined && !["elementwise", "reduce", "view"].includes(op.kind)) ||
  op.name === "dropout" ||
  Boolean(sample.attrs?.dropoutStream);

/** Several draws of a case's inputs: floats differ; whole numbers, which may be indices, are the sample's. */
function examplesOf(one: OpCase): HostArray[][] {
  return Array.from({ length: numExamples }, (_, at) =>
    drawInputs({ ...one, name: `${one.name} example ${at}` }, "f64"),
  );
}

const apply =
  (one: OpCase) =>
  (...inputs: Tensor[]): readonly Tensor[] =>
    fusedMulti(one.op as Op, inputs, one.sample.attrs ?? {});

const stack = (arrays: readonly HostArray[]): HostArray => {
  const [{ dtype, shape }] = arrays as [HostArray];
  return fromNumbers(
    dtype,
    [arrays.length, ...shape],
    arrays.flatMap((array) => Array.from(toNumbers(array))),
  );
};
const named = (arrays: readonly HostArray[]) => Object.fromEntries(arrays.map((array, at) => [`x${at}`, array]));
const options: EvaluateOptions = { dtype: "f64" };

const cases = opCases().filter(({ sample }) => sample.inputs.length > 0);

describe("every op over a batch of examples is each of them", () => {
  test.each(cases.map((one) => [one.name, one] as const))("%s", (_, one) => {
    const examples = examplesOf(one);
    const inputs = examples[0]!.map((_, at) => stack(examples.map((example) => example[at]!)));
    const run = () => evaluate(vmap(apply(one)), named(inputs), options);
    if (isRefused(one)) {
      expect(run).toThrow(/\[vmap\/op\]/);
      return;
    }
    const together = run();
    examples.forEach((example, row) => {
      evaluate(apply(one), named(example), options).forEach(({ data, shape }, at) => {
        const { data: all, shape: whole } = together[at]!;
        expect(whole).toEqual([numExamples, ...shape]);
        data.forEach((value, i) => {
          const got = all[row * data.length + i]!;
          const isSame = Object.is(got, value) || Math.abs(got - value) <= 1e-12 * Math.max(1, Math.abs(value));
          if (!isSame) expect.fail(`output ${at}, example ${row}, element ${i}: ${got} against ${value}`);
        });
      });
    });
  });

  test("also where one operand is the same for all", () => {
    for (const one of cases) {
      if (one.sample.inputs.length < 2 || isRefused(one)) continue;
      const examples = examplesOf(one).map((example) => example.with(1, examplesOf(one)[0]![1]!));
      const inputs = examples[0]!.map((shared, at) => (at === 1 ? shared : stack(examples.map((each) => each[at]!))));
      const inAxes = inputs.map((_, at) => (at === 1 ? null : 0));
      const together = evaluate(vmap(apply(one), { inAxes }), named(inputs), options);
      const last = evaluate(apply(one), named(examples.at(-1)!), options);
      last.forEach(({ data }, at) => {
        const tail = together[at]!.data.slice(-data.length || Number.POSITIVE_INFINITY);
        data.forEach((value, i) => {
          if (!Object.is(tail[i], value)) expect(tail[i], one.name).toBeCloseTo(value, 11);
        });
      });
    }
  });
});

const rows = [
  [1, 2],
  [3, -1],
  [0.5, 4],
];

test("the gradient of every example, with weights that are the same for all", () => {
  const loss = (w: Tensor, x: Tensor) => x.mul(w).sum().tanh();
  const all = evaluate(vmap(grad(loss), { inAxes: [null, 0] }), { w: [0.3, -0.2], rows });
  const each = rows.map((x) => evaluate(grad(loss), { w: [0.3, -0.2], x }).data);
  expect(all.shape).toEqual([3, 2]);
  all.data.forEach((value, at) => {
    expect(value).toBeCloseTo(each.flat()[at]!, 14);
  });
});

test("nests: with itself, around and inside of gradients; tensors from outside are the same for all", () => {
  const outer = (a: Tensor, b: Tensor) => vmap((x) => vmap((y) => x.mul(y))(b))(a);
  expect(evaluate(outer, { a: [1, 2, 3], b: [10, 20] }).data).toEqual([10, 20, 20, 40, 30, 60]);
  const second = vmap(grad(grad((x) => x.sin())));
  const points = [0, 0.5, 1];
  evaluate(second, { points }).data.forEach((value, at) => {
    expect(value).toBeCloseTo(-Math.sin(points[at]!), 15);
  });
  // d/dw Σ_i w²·x_i = 2 w Σ x_i
  const around = grad((w, x) => vmap((one) => w.square().mul(one))(x).sum());
  expect(evaluate(around, { w: 3, x: [1, 2, 4] }).value).toBeCloseTo(42, 12);
  const hessian = vmap(
    (direction, x) =>
      grad((y) =>
        grad((z) => z.square().mul(z).sum())(y)
          .mul(direction)
          .sum(),
      )(x),
    {
      inAxes: [0, null],
    },
  );
  expect(
    evaluate(hessian, {
      directions: [
        [1, 0],
        [0, 1],
      ],
      x: [2, 5],
    }).data,
  ).toEqual([12, 0, 0, 30]);
});

test("examples lie along any axis, and results may be several", () => {
  const columns = vmap((x) => x.sum(), { inAxes: [-1] });
  expect(evaluate(columns, { rows }).data).toEqual([4.5, 5]);
  const [value, slope] = evaluate(
    (x) => {
      const both = vmap((one) => {
        const { value, grad } = valueAndGrad((z) => z.square().sum())(one);
        return [value, grad];
      });
      return both(x);
    },
    { rows },
  );
  expect(value!.data).toEqual([5, 10, 16.25]);
  expect(slope!.data).toEqual(rows.flat().map((one) => 2 * one));
  expect(
    evaluate(
      vmap((x) => x.sum().mul(0).add(7)),
      { x: [1, 2] },
    ).data,
  ).toEqual([7, 7]);
  expect(
    evaluate(
      vmap((...given) => given[1]!, { inAxes: [0, null] }),
      { x: [1, 2], y: 5 },
    ).data,
  ).toEqual([5, 5]);
});

test("refusals say what and why", () => {
  const code = (body: () => unknown) => {
    try {
      body();
    } catch (error) {
      if (error instanceof AthanorError) return [error.code, error.fix];
    }
    return [];
  };
  expect(
    code(() =>
      evaluate(
        vmap((a, b) => a.add(b)),
        { a: [1, 2], b: [1, 2, 3] },
      ),
    ),
  ).toEqual(["vmap/examples", expect.stringContaining("inAxes")]);
  expect(
    code(() =>
      evaluate(
        vmap((a) => a),
        { a: 1 },
      ),
    )[0],
  ).toBe("vmap/examples");
  expect(
    code(() =>
      evaluate(
        vmap((a) => a, { inAxes: [null] }),
        { a: 1 },
      ),
    )[0],
  ).toBe("vmap/examples");
  const lookUp = vmap((x) => take(x, iota([2], 0)));
  expect(code(() => evaluate(lookUp, { rows }))).toEqual(["vmap/op", expect.stringContaining("outside")]);
  const write = vmap((x: Tensor) => {
    assign("last", x.mul(2));
    return x;
  });
  expect(code(() => evaluate(write, { rows }))[0]).toBe("vmap/op");
  const draw = vmap((x: Tensor) => x.add(uniform(iota([3], 0), iota([2], 0), [2], "noise").cast(x.dtype)));
  expect(evaluate(draw, { rows }).shape).toEqual([3, 2]); // what does not depend on the example is drawn once
});
