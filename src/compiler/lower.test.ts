// Lowering: where values end up. Each program is compared with its meaning on dense and on strided targets; what is written
// in place is read from the plan.
import { describe, expect, test } from "vitest";
import { checkCompilation, type TracedProgram } from "../../test/support/check-compilation.ts";
import { compileStrided, stridedTarget } from "../../test/support/strided-interpreter.ts";
import { fromNumbers, type HostArray } from "../base/index.ts";
import {
  adamw,
  assign,
  attention,
  concat,
  constant,
  gradients,
  iota,
  markOutput,
  scatterAdd,
  type Tensor,
  trace,
  variable,
  withScope,
  zeros,
} from "../core/index.ts";
import { compile } from "./compile.ts";
import type { Plan } from "./plan.ts";

const f32 = (shape: readonly number[], ...values: number[]): HostArray => fromNumbers("f32", shape, values);
const counting = (...shape: number[]): HostArray =>
  f32(shape, ...Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i + 1));

/** Traces `body` on feeds and variables. */
function program(
  feeds: Record<string, HostArray>,
  variables: Record<string, HostArray>,
  body: (inputs: Record<string, Tensor>) => Record<string, Tensor> | undefined,
): TracedProgram {
  const graph = trace(feeds, (given) => {
    const old = Object.entries(variables).map(
      ([name, { dtype, shape }]) => [name, variable(name, dtype, shape)] as const,
    );
    return body({ ...given, ...Object.fromEntries(old) });
  });
  return { graph, feeds, variables };
}

const guarded = (tensor: Tensor): void => {
  tensor.graph.guard = tensor.id;
};
const kernels = ({ code }: Plan): string[] => code.map(({ kernel }) => kernel);
const numbers = (array: HostArray | undefined): number[] => Array.from(array!.data as Float32Array);

describe("variables", () => {
  test("two may change places, and a third take part", () => {
    const { variables } = checkCompilation(
      program({}, { a: counting(2), b: f32([2], 8, 9), c: f32([2], 5, 5) }, ({ a, b }) => {
        assign("a", b!);
        assign("b", a!);
        assign("c", a!);
        return undefined;
      }),
    );
    expect(Object.values(variables).map(numbers)).toEqual([
      [8, 9],
      [1, 2],
      [1, 2],
    ]);
  });

  test("an output that names one is its value before the run", () => {
    const { outputs, variables } = checkCompilation(
      program({}, { w: counting(3) }, ({ w }) => {
        assign("w", w!.mul(2));
        return { old: w!, view: w!.reshape(3, 1), next: w!.mul(2) };
      }),
    );
    expect(numbers(outputs.old)).toEqual([1, 2, 3]);
    expect(numbers(variables.w)).toEqual([2, 4, 6]);
  });

  test("one may take the transpose of itself, and of its sum with itself", () => {
    const own = program({}, { w: counting(3, 3), u: counting(3, 3) }, ({ w, u }) => {
      assign("w", w!.transpose());
      assign("u", u!.add(u!.transpose()).mul(0.5));
      return undefined;
    });
    expect(numbers(checkCompilation(own).variables.w)).toEqual([1, 4, 7, 2, 5, 8, 3, 6, 9]);
  });

  test("one that is given itself is left alone", () => {
    const same = program({}, { w: counting(3) }, ({ w }) => {
      assign("w", w!);
      return undefined;
    });
    checkCompilation(same);
    expect(compileStrided(same.graph).code).toEqual([]);
  });

  test("several may take one value, which may be an output too", () => {
    const shared = program({ x: counting(2) }, { a: counting(2), b: counting(2) }, ({ x, a }) => {
      const next = a!.add(x!).exp();
      assign("a", next);
      assign("b", next);
      return { next };
    });
    checkCompilation(shared);
  });

  test("feeds, constants and fills may be assigned", () => {
    const filled = program(
      { x: counting(2) },
      { a: counting(2), b: counting(2), c: counting(2), d: counting(2) },
      ({ x }) => {
        assign("a", x!);
        assign("b", constant([5, 6]));
        assign("c", zeros([2]));
        assign("d", iota([2], 0).cast("f32"));
        return undefined;
      },
    );
    checkCompilation(filled);
    const plan = compileStrided(filled.graph);
    expect(kernels(plan).sort()).toEqual(["copy", "copy", "fill", "iota", "tape"]);
    expect(plan.arenaBytes, "only iota's integers are kept apart").toBe(64);
  });

  test("two next values for one are refused", () => {
    const twice = program({}, { w: counting(2) }, ({ w }) => {
      assign("w", w!.mul(2));
      // the language refuses a second one; a pass could still make it
      const second = { ...w!.graph.nodes.at(-1)!, id: w!.graph.nodes.length, inputs: [w!.id] };
      w!.graph.nodes.push(second);
      return undefined;
    });
    expect(() => compileStrided(twice.graph)).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [trace/assigned-twice] variable w is given two next values
        expected  one assign() per variable and program
        fix       combine the values first, or use two variables]
    `);
  });

  test("two types for one are refused", () => {
    const mixed = program({}, {}, () => {
      const a = variable("w", "f32", [2]);
      const [b] = a.graph.add(a.graph.producer(a.id).op, [], { name: "w", dtype: "f32", shape: [3] });
      a.graph.outputs.set("b", b!);
      return { a };
    });
    expect(() => compileStrided(mixed.graph)).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [shape/variable] variable w is used with two types
        expected  f32[2]
        got       f32[3]]
    `);
  });
});

describe("a variable's next value made in steps", () => {
  const tied = (more: (old: Tensor, x: Tensor) => Record<string, Tensor>) =>
    program({ x: counting(3, 2), g: counting(3, 4) }, { grad: counting(4, 2) }, ({ x, g, grad }) => {
      const dense = g!.transpose().matmul(x!); // (4, 2)
      assign("grad", dense.add(scatterAdd(constant([1, 3, 1], "i32"), x!, 4)));
      return more(grad!, x!);
    });

  test("lies in the variable from its first step on", () => {
    const inPlace = tied(() => ({}));
    const plan = compileStrided(inPlace.graph);
    expect(kernels(plan)).toEqual(["matmul", "scatterAdd"]);
    const written = plan.code.flatMap(({ outputs }) => outputs.map((at) => plan.tensors[at]!.space));
    expect(written).toEqual(["variable", "variable"]);
    expect(plan.arenaBytes).toBe(0);
    checkCompilation(inPlace);
  });

  test("is kept apart while the old value is still read, and when the guard may forbid it", () => {
    const readLater = tied((old, x) => ({ last: old.add(x.transpose().matmul(x).sum()) }));
    checkCompilation(readLater);
    const { outputs } = compileStrided(readLater.graph).code[0]!;
    expect(outputs.map((at) => compileStrided(readLater.graph).tensors[at]!.space)).toEqual(["arena"]);
    for (const isFinite of [true, false]) {
      const { variables } = checkCompilation(
        tied((_, x) => {
          guarded(x.sum().less(isFinite ? 1e9 : -1e9));
          return {};
        }),
      );
      expect(numbers(variables.grad)[0]).toBe(isFinite ? 61 : 1);
    }
  });

  test("takes the memory of one operand alone", () => {
    const both = program({ x: counting(2, 2) }, { w: counting(2, 2) }, ({ x }) => {
      assign("w", x!.matmul(x!).mul(2).add(x!.transpose().matmul(x!)));
      return undefined;
    });
    checkCompilation(both);
  });
});

describe("an optimizer's update", () => {
  const slots = { p: counting(4, 4), m: counting(4, 4), v: counting(4, 4), g: counting(4, 4) };
  const update = (guard: (g: Tensor) => void) =>
    program({ lr: f32([], 0.1) }, slots, ({ p, m, v, g, lr }) => {
      const [p2, m2, v2] = adamw([p!, g!, m!, v!, constant(1), lr!, constant(1), constant(1)], {
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weightDecay: 0.1,
      });
      assign("p", p2!);
      assign("m", m2!);
      assign("v", v2!);
      assign("g", zeros([4, 4]));
      guard(g!);
      return undefined;
    });

  test("writes parameter and slots where they are, and clears the gradient after it was read", () => {
    const plan = compileStrided(update(() => undefined).graph);
    expect(kernels(plan)).toEqual(["adamw", "fill"]);
    expect(plan.code[0]!.outputs.slice(0, 3).map((at) => plan.tensors[at])).toEqual(
      [0, 2, 3].map((at) => plan.tensors[plan.code[0]!.inputs[at]!]),
    );
    expect(plan.arenaBytes).toBe(64); // the scalar that tells whether the moments are finite
    checkCompilation(update(() => undefined));
  });

  test("waits for its guard, and changes nothing when it is false", () => {
    for (const isFinite of [true, false]) {
      const guardedUpdate = update((g) => guarded(g.sum().less(isFinite ? 1e9 : -1e9)));
      const { committed, variables } = checkCompilation(guardedUpdate);
      expect(committed).toBe(isFinite);
      expect(numbers(variables.g)[3]).toBe(isFinite ? 0 : 4);
      const plan = compileStrided(guardedUpdate.graph);
      expect(plan.code.map(({ kernel, commit }) => `${kernel}${commit ? " commits" : ""}`)).toEqual([
        "sum",
        "tape",
        "adamw commits",
        "fill commits",
      ]);
      expect(plan.tensors[plan.guard]).toEqual(plan.tensors[plan.code[1]!.outputs[0]!]);
    }
  });

  test("computes before the guard what an output needs too", () => {
    const watched = program({ x: counting(2) }, { w: counting(2) }, ({ x, w }) => {
      const step = x!.mul(2);
      assign("w", w!.sub(step));
      guarded(x!.sum().less(0));
      return { step };
    });
    const { outputs } = checkCompilation(watched);
    expect(numbers(outputs.step)).toEqual([2, 4]);
  });
});

describe("views", () => {
  test("cost nothing on a strided target", () => {
    const views = program({ x: counting(2, 3, 4) }, {}, ({ x }) => {
      const y = x!.permute(2, 0, 1).slice(0, 1, 3).reshape(2, 2, 3).transpose();
      return { y: y.add(x!.slice(2, 0, 2).permute(2, 1, 0).broadcastTo([2, 3, 2])) };
    });
    checkCompilation(views);
    expect(kernels(compileStrided(views.graph))).toEqual(["tape"]);
  });

  test("are copied once where a kernel or an output needs dense rows", () => {
    const copied = program({ x: counting(2, 3) }, {}, ({ x }) => {
      const turned = x!.transpose();
      return { turned, again: turned, flat: turned.reshape(6) };
    });
    checkCompilation(copied);
    expect(kernels(compileStrided(copied.graph))).toEqual(["copy"]);
  });

  test("gradients of a split are written into the joined tensor", () => {
    const model = program(
      { x: counting(2, 4, 6).dtype === "f32" ? f32([2, 4, 24], ...Array(192).fill(0.1)) : f32([0]) },
      {},
      ({ x }) => {
        const [q, k, v] = x!.split(3).map((part) => part.reshape(2, 4, 2, 4));
        const loss = attention(q!, k!, v!, { causal: true }).square().sum();
        return { grad: gradients([loss], [x!])[0]! };
      },
    );
    const plan = compileStrided(model.graph);
    expect(kernels(plan)).toEqual(["attention", "tape", "attentionGrad"]);
    const grad = plan.tensors[plan.outputs[0]!.tensor]!;
    const parts = plan.code[2]!.outputs.map((at) => plan.tensors[at]!);
    expect(parts.map(({ offset }) => offset - grad.offset)).toEqual([0, 8 * 4, 16 * 4]);
    expect(parts[0]!.strides).toEqual([4 * 24, 24, 4, 1]);
    checkCompilation(model);
  });

  test("a part that something else reads is copied", () => {
    const shared = program({ x: counting(2, 2) }, {}, ({ x }) => {
      const part = x!.exp();
      return { joined: concat([part, part.mul(2)], 1), part: part.reshape(4) };
    });
    checkCompilation(shared);
  });
});

describe("outputs", () => {
  test("may be feeds, constants, variables and fills, and one value twice", () => {
    const plain = program({ x: counting(2) }, { w: counting(3) }, ({ x, w }) => {
      const y = x!.exp();
      return { x: x!, w: w!, c: constant([1, 2]), z: zeros([2, 2]), s: constant(3), y, again: y };
    });
    const { outputs } = checkCompilation(plain);
    expect(numbers(outputs.z)).toEqual([0, 0, 0, 0]);
  });

  test("outlive everything that could take their memory", () => {
    const long = program({ x: counting(8) }, {}, ({ x }) => {
      const first = x!.square();
      let last = first;
      for (let i = 0; i < 6; i++) last = last.cumulativeSum().mul(0.5);
      markOutput("first", first);
      return { last };
    });
    const plan = compileStrided(long.graph);
    expect(plan.arenaBytes).toBe(3 * 64);
    checkCompilation(long);
  });

  test("may be empty, or of rank 0", () => {
    const none = program({ x: f32([0, 3]), s: f32([], 4) }, { w: f32([0]) }, ({ x, s, w }) => {
      assign("w", w!.mul(2));
      return { empty: x!.mul(2).transpose(), sum: x!.sum(), s: s!.mul(2), part: x!.slice(1, 1, 2) };
    });
    const { outputs } = checkCompilation(none);
    expect(numbers(outputs.sum)).toEqual([0]);
    expect(numbers(outputs.s)).toEqual([8]);
  });
});

test("a feed that nothing reads is still one of the program's feeds", () => {
  const unread = program({ x: counting(2), y: counting(3) }, {}, ({ x }) => ({ x: x!.mul(2) }));
  expect(compileStrided(unread.graph).feeds.map(({ name }) => name)).toEqual(["x", "y"]);
});

test("a dtype that the target does not compute in is refused with a way out", () => {
  const wide = trace({ x: { dtype: "f64", shape: [2] } }, ({ x }) => x.reshape(2, 1).exp());
  expect(() => compileStrided(wide)).toThrowErrorMatchingInlineSnapshot(`
    [AthanorError: [engine/dtype] the native engine does not compute in f64
      expected  f32, i32, u8, bool
      got       arithmetic on f64[2,1]
      fix       cast to f32, or choose engine "reference", which computes in every dtype]
  `);
  const moved = trace({ x: { dtype: "f64", shape: [2, 2] } }, ({ x }) => x.transpose());
  expect(kernels(compileStrided(moved))).toEqual(["copy"]);
});

test("an op without a kernel is refused with its place", () => {
  const graph = trace({ x: { dtype: "f32", shape: [2] } }, ({ x }) => withScope("h.0", () => x.cumulativeSum()));
  const target = { ...stridedTarget, hasKernel: (op: string) => op !== "cumsum" && stridedTarget.hasKernel(op) };
  expect(() => compile(graph, target)).toThrowErrorMatchingInlineSnapshot(`
    [AthanorError: [engine/no-kernel] the native engine has no kernel for cumsum
      at        h.0
      fix       run on the reference engine, or express it with other operations]
  `);
});
