// Each pass on a small graph, before and after; both mean the same. The graphs show the rule, random graphs the rest.
import { describe, expect, test } from "vitest";
import { assertClose } from "../../../test/support/close.ts";
import { meaningOf } from "../../../test/support/graph-interpreter.ts";
import { stridedTarget } from "../../../test/support/strided-interpreter.ts";
import { type DType, fromNumbers, type HostArray, RandomStream, sizeOf } from "../../base/index.ts";
import {
  add,
  assign,
  concat,
  constant,
  crossEntropy,
  full,
  type Graph,
  gelu,
  gradients,
  layerNorm,
  matmulOf,
  scatterAdd,
  stopGradient,
  type Tensor,
  tap,
  trace,
  uniform,
  variable,
  verifyGraph,
  where,
  zeros,
} from "../../core/index.ts";
import { compile, optimize, passesFor } from "../compile.ts";
import type { Pass } from "../rewrite.ts";
import { referenceTarget } from "../target.ts";
import { addRows } from "./add-rows.ts";
import { chunkLogits } from "./chunk-logits.ts";
import { mergeCommonSubexpressions } from "./common-subexpressions.ts";
import { removeDeadCode } from "./dead-code.ts";
import { expandFused } from "./expand.ts";
import { foldCasts } from "./fold-casts.ts";
import { foldConstants } from "./fold-constants.ts";
import { fuseElementwise, singleTapes } from "./fuse.ts";
import { orderEffectsLast } from "./order.ts";
import { recompute, waitingIn } from "./recompute.ts";
import { simplify } from "./simplify.ts";
import { storeBf16 } from "./store-bf16.ts";

type Types = Record<string, { readonly dtype: DType; readonly shape: readonly number[] }>;
const x23: Types = { x: { dtype: "f32", shape: [2, 3] } };

function arrays(types: Iterable<[string, { dtype: DType; shape: readonly number[] }]>): Record<string, HostArray> {
  const random = new RandomStream(5, "passes");
  let position = 0;
  return Object.fromEntries(
    [...types].map(([name, { dtype, shape }]) => {
      const values = Array.from({ length: sizeOf(shape) }, () => Math.round(random.uniform(position++) * 12) / 4);
      return [name, fromNumbers(dtype, shape, values)];
    }),
  );
}

/** The graph after the pass, as text; before it, both are run and must agree to the last bit. */
function after(pass: Pass, graph: Graph, { bits = true } = {}): string {
  const before = graph.toString();
  const result = pass.run(graph);
  expect(graph.toString(), "a pass leaves its input alone").toBe(before);
  verifyGraph(result);
  const named = (op: string) =>
    graph
      .nodesOf(op)
      .map(({ attrs, outputs }): [string, { dtype: DType; shape: readonly number[] }] => [
        attrs.name as string,
        graph.value(outputs[0]!),
      ]);
  const [feeds, variables] = [arrays(named("input")), arrays(named("variable"))];
  const [wanted, found] = [meaningOf(graph, feeds, variables), meaningOf(result, feeds, variables)];
  for (const [name, value] of [...Object.entries(wanted.outputs), ...Object.entries(wanted.variables)])
    assertClose({ ...found.outputs, ...found.variables }[name]!, value, { relative: bits ? 0 : 1e-6, what: name });
  return `\n${result}\n`;
}

/** What `trace` makes of `body` on one f32[2,3] feed. */
const graphOf = (body: (x: Tensor) => Tensor | Record<string, Tensor>): Graph => trace(x23, ({ x }) => body(x!));

describe("expand", () => {
  const graph = graphOf((x) => layerNorm(x, constant([1, 2, 3]), constant([0, 0, 1]), 0.5));

  test("replaces fused ops that the target has no kernel for", () => {
    expect(after(expandFused(referenceTarget), graph, { bits: false })).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[3] = constant {value=f32[3](1, 2, 3)}
      %2:f32[3] = constant {value=f32[3](0, 0, 1)}
      %3:f32[2,1] = sum %0 {axes=[1]}
      %4:f32[] = constant {value=f32[](0.3333333432674408)}
      %5:f32[2,1] = broadcast %4 {shape=[2, 1]}
      %6:f32[2,1] = mul %3 %5
      %7:f32[2,3] = broadcast %6 {shape=[2, 3]}
      %8:f32[2,3] = sub %0 %7
      %9:f32[2,3] = square %8
      %10:f32[2,1] = sum %9 {axes=[1]}
      %11:f32[] = constant {value=f32[](0.3333333432674408)}
      %12:f32[2,1] = broadcast %11 {shape=[2, 1]}
      %13:f32[2,1] = mul %10 %12
      %14:f32[] = constant {value=f32[](0.5)}
      %15:f32[2,1] = broadcast %14 {shape=[2, 1]}
      %16:f32[2,1] = add %13 %15
      %17:f32[2,1] = rsqrt %16
      %18:f32[2,3] = broadcast %17 {shape=[2, 3]}
      %19:f32[2,3] = mul %8 %18
      %20:f32[2,3] = broadcast %1 {shape=[2, 3]}
      %21:f32[2,3] = mul %19 %20
      %22:f32[2,3] = broadcast %2 {shape=[2, 3]}
      %23:f32[2,3] = add %21 %22
      %24:f32[2] = reshape %6 {shape=[2]}
      %25:f32[2] = reshape %17 {shape=[2]}
      output result = %23
      "
    `);
  });

  test("leaves those it has", () => {
    expect(after(expandFused(stridedTarget), graph)).toContain("layerNorm");
  });
});

test("dead-code drops what nothing reads; feeds and assignments stay", () => {
  const types: Types = { ...x23, unread: { dtype: "f32", shape: [4] } };
  const graph = trace(types, ({ x }) => {
    tap("seen", x!.exp());
    variable("unused", "f32", [3]);
    const w = variable("w", "f32", [2, 3]);
    assign("w", w.add(x!));
    return x!.neg();
  });
  expect(after(removeDeadCode, graph)).toMatchInlineSnapshot(`
    "
    %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
    %1:f32[4] = input {name=unread, dtype=f32, shape=[4]}
    %2:f32[2,3] = variable {name=w, dtype=f32, shape=[2, 3]}
    %3:f32[2,3] = add %2 %0
    assign %3 {name=w, dtype=f32, shape=[2, 3]}
    %4:f32[2,3] = neg %0
    output result = %4
    "
  `);
});

test("order makes sums that only assignments wait for as soon as they can be; not of variables that are read elsewhere", () => {
  const graph = graphOf((x) => {
    const [first, second] = [x.exp(), x.mul(variable("bias", "f32", [3]))];
    assign("total", variable("total", "f32", [2, 3]).add(first));
    assign("bias", variable("bias", "f32", [3]).add(1));
    return second;
  });
  expect(after(orderEffectsLast, graph)).toMatchInlineSnapshot(`
    "
    %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
    %1:f32[2,3] = exp %0
    %2:f32[2,3] = variable {name=total, dtype=f32, shape=[2, 3]}
    %3:f32[2,3] = add %2 %1
    %4:f32[3] = variable {name=bias, dtype=f32, shape=[3]}
    %5:f32[2,3] = broadcast %4 {shape=[2, 3]}
    %6:f32[2,3] = mul %0 %5
    %7:f32[3] = variable {name=bias, dtype=f32, shape=[3]}
    %8:f32[] = constant {value=f32[](1)}
    %9:f32[3] = broadcast %8 {shape=[3]}
    %10:f32[3] = add %7 %9
    assign %3 {name=total, dtype=f32, shape=[2, 3]}
    assign %10 {name=bias, dtype=f32, shape=[3]}
    output result = %6
    "
  `);
});

describe("simplify", () => {
  test("removes what changes nothing", () => {
    const graph = graphOf((x) =>
      concat([stopGradient(x).add(0).mul(1).div(1).sub(0).neg().neg().permute(0, 1).broadcastTo([2, 3])], 0),
    );
    expect(after(simplify, graph)).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[] = constant {value=f32[](0)}
      %2:f32[2,3] = broadcast %1 {shape=[2, 3]}
      %3:f32[] = constant {value=f32[](1)}
      %4:f32[2,3] = broadcast %3 {shape=[2, 3]}
      %5:f32[] = constant {value=f32[](1)}
      %6:f32[2,3] = broadcast %5 {shape=[2, 3]}
      %7:f32[] = constant {value=f32[](0)}
      %8:f32[2,3] = broadcast %7 {shape=[2, 3]}
      %9:f32[2,3] = neg %0
      output result = %0
      "
    `);
  });

  test("joins views", () => {
    const graph = graphOf((x) => ({
      reshaped: x.reshape(6).reshape(3, 2).reshape(1, 6),
      back: x.reshape(6).reshape(2, 3),
      turned: x.reshape(1, 2, 3).permute(2, 0, 1).permute(1, 0, 2),
      round: x.transpose().transpose(),
    }));
    const text = after(simplify, graph);
    expect(after(removeDeadCode, simplify.run(graph))).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[1,6] = reshape %0 {shape=[1, 6]}
      %2:f32[1,2,3] = reshape %0 {shape=[1, 2, 3]}
      %3:f32[1,3,2] = permute %2 {order=[0, 2, 1]}
      output reshaped = %1
      output back = %0
      output turned = %3
      output round = %0
      "
    `);
    expect(text).toContain("output back = %0");
    expect(text).toContain("output round = %0");
  });

  test("keeps the shape that a neutral operand's other side was broadcast to", () => {
    const graph = graphOf((x) => x.sum({ axis: 0 }).add(zeros([4, 3])));
    expect(after(simplify, graph)).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[1,3] = sum %0 {axes=[0]}
      %2:f32[3] = reshape %1 {shape=[3]}
      %3:f32[4,3] = fill {shape=[4, 3], dtype=f32, value=0}
      %4:f32[4,3] = broadcast %2 {shape=[4, 3]}
      output result = %4
      "
    `);
  });

  test("makes truth a comparison", () => {
    expect(
      after(
        simplify,
        graphOf((x) => x.cast("bool")),
      ),
    ).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[2,3] = fill {shape=[2, 3], dtype=f32, value=0}
      %2:bool[2,3] = ne %0 %1
      output result = %2
      "
    `);
  });
});

describe("fold-constants", () => {
  test("computes with known numbers, in their dtype", () => {
    const graph = graphOf((x) => x.mul(constant(0.1).add(0.2).sqrt()).add(full([2, 3], 3).mul(2)));
    expect(after(foldConstants, graph)).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[] = constant {value=f32[](0.10000000149011612)}
      %2:f32[] = constant {value=f32[](0.20000000298023224)}
      %3:f32[] = constant {value=f32[](0.30000001192092896)}
      %4:f32[] = constant {value=f32[](0.547722578048706)}
      %5:f32[2,3] = broadcast %4 {shape=[2, 3]}
      %6:f32[2,3] = mul %0 %5
      %7:f32[2,3] = fill {shape=[2, 3], dtype=f32, value=3}
      %8:f32[] = constant {value=f32[](2)}
      %9:f32[2,3] = broadcast %8 {shape=[2, 3]}
      %10:f32[] = constant {value=f32[](6)}
      %11:f32[2,3] = broadcast %10 {shape=[2, 3]}
      %12:f32[2,3] = add %6 %11
      output result = %12
      "
    `);
  });

  test("rounds as running would: fills of f32 hold f32", () => {
    const graph = trace({}, () => ({ y: full([2], 0.1).mul(3), z: full([2], 16777217, "f32").add(1) }));
    after(foldConstants, graph);
  });

  test("leaves alone what does not fit a number", () => {
    const big = { dtype: "i64", shape: [], data: BigInt64Array.of(2n ** 60n) } as const;
    const graph = trace({}, () => ({ y: constant(big).equal(constant(big)) }));
    expect(foldConstants.run(graph).nodesOf("eq").length).toBe(1);
  });
});

describe("common-subexpressions", () => {
  test("computes equal expressions once", () => {
    const graph = graphOf((x) => x.exp().mul(2).add(x.exp().mul(2)).add(x.exp().mul(3)));
    expect(after(mergeCommonSubexpressions, graph)).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[2,3] = exp %0
      %2:f32[] = constant {value=f32[](2)}
      %3:f32[2,3] = broadcast %2 {shape=[2, 3]}
      %4:f32[2,3] = mul %1 %3
      %5:f32[2,3] = add %4 %4
      %6:f32[] = constant {value=f32[](3)}
      %7:f32[2,3] = broadcast %6 {shape=[2, 3]}
      %8:f32[2,3] = mul %1 %7
      %9:f32[2,3] = add %5 %8
      output result = %9
      "
    `);
  });

  test.each([
    ["the zeros", () => [constant([0, -0]), constant([-0, 0])]],
    ["fills with the two zeros", () => [full([2], 0), full([2], -0)]],
    ["dtypes", () => [constant(1, "f32"), constant(1, "i32")]],
    ["shapes", () => [zeros([2, 3]), zeros([3, 2])]],
    ["NaN and null", () => [constant(Number.NaN), constant(0)]],
    ["infinities", () => [full([2], Number.POSITIVE_INFINITY), full([2], Number.NEGATIVE_INFINITY)]],
    [
      "streams",
      () => {
        const [key, rows] = [constant(fromNumbers("i32", [3], [1, 2, 3])), constant(fromNumbers("i32", [2], [0, 1]))];
        return ["a", "b"].map((stream) => uniform(key, rows, [2, 2], stream));
      },
    ],
  ] as const)("keeps %s apart", (_, make) => {
    const graph = trace({}, () => Object.fromEntries(make().map((tensor, at) => [`y${at}`, tensor])));
    const result = mergeCommonSubexpressions.run(graph);
    expect(result.outputs.get("y0")).not.toBe(result.outputs.get("y1"));
  });

  test("merges equal constants, NaN among them, and large ones that are one array", () => {
    const large = fromNumbers("f32", [40], new Array(40).fill(1));
    const graph = trace({}, () => ({
      a: constant([Number.NaN, -0]),
      b: constant([Number.NaN, -0]),
      c: constant(large),
      d: constant(large),
      e: constant({ ...large, shape: [4, 10] }),
    }));
    expect([...mergeCommonSubexpressions.run(graph).outputs.values()]).toEqual([0, 0, 1, 1, 2]);
  });
});

test("order moves assignments behind all that reads the old values", () => {
  const graph = graphOf((x) => {
    const w = variable("w", "f32", [2, 3]);
    assign("w", x);
    return w.mul(2);
  });
  expect(after(orderEffectsLast, graph)).toMatchInlineSnapshot(`
    "
    %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
    %1:f32[2,3] = variable {name=w, dtype=f32, shape=[2, 3]}
    %2:f32[] = constant {value=f32[](2)}
    %3:f32[2,3] = broadcast %2 {shape=[2, 3]}
    %4:f32[2,3] = mul %1 %3
    assign %0 {name=w, dtype=f32, shape=[2, 3]}
    output result = %4
    "
  `);
});

describe("fuse", () => {
  test("makes one tape of a chain, its constants inside", () => {
    expect(
      after(
        fuseElementwise,
        graphOf((x) => gelu(x.mul(2).add(1)).sub(x)),
      ),
    ).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[] = constant {value=f32[](2)}
      %2:f32[2,3] = broadcast %1 {shape=[2, 3]}
      %3:f32[] = constant {value=f32[](1)}
      %4:f32[2,3] = broadcast %3 {shape=[2, 3]}
      %5:f32[2,3] = tape %0 {shape=[2, 3], steps=[const(2), const(1), mul(0 1), add(3 2), gelu(4), sub(5 0)], results=[6]}
      output result = %5
      "
    `);
  });

  test("gives out of the chain what others read", () => {
    const graph = graphOf((x) => {
      const a = x.exp();
      const b = a.add(1);
      return { a, sum: b.mul(a).sum() };
    });
    expect(after(fuseElementwise, graph)).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[] = constant {value=f32[](1)}
      %2:f32[2,3] = broadcast %1 {shape=[2, 3]}
      %3:f32[2,3], %4:f32[2,3] = tape %0 {shape=[2, 3], steps=[const(1), exp(0), add(2 1), mul(3 2)], results=[2, 4]}
      %5:f32[1,1] = sum %4 {axes=[0, 1]}
      %6:f32[] = reshape %5 {shape=[]}
      output a = %3
      output sum = %6
      "
    `);
  });

  test("does not move an operation behind one that needs it", () => {
    const graph = graphOf((x) => {
      const a = x.exp();
      const total = a.sum().broadcastTo([2, 3]);
      return a.div(total);
    });
    expect(after(fuseElementwise, graph)).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[2,3] = tape %0 {shape=[2, 3], steps=[exp(0)], results=[1]}
      %2:f32[1,1] = sum %1 {axes=[0, 1]}
      %3:f32[] = reshape %2 {shape=[]}
      %4:f32[2,3] = broadcast %3 {shape=[2, 3]}
      %5:f32[2,3] = tape %1 %4 {shape=[2, 3], steps=[div(0 1)], results=[2]}
      output result = %5
      "
    `);
  });

  test("keeps shapes, integers and roundings apart", () => {
    const graph = graphOf((x) => {
      const whole = x.mul(2.5).cast("i32").add(1).mul(3);
      return {
        y: whole
          .cast("f32")
          .mul(0.5)
          .add(add(x, 1).sum({ axis: 0, keepDim: true }).neg()),
      };
    });
    expect(after(fuseElementwise, graph)).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[] = constant {value=f32[](2.5)}
      %2:f32[2,3] = broadcast %1 {shape=[2, 3]}
      %3:f32[2,3] = tape %0 {shape=[2, 3], steps=[const(2.5), mul(0 1)], results=[2]}
      %4:i32[2,3] = tape %3 {shape=[2, 3], steps=[cast(0)], results=[1]}
      %5:i32[] = constant {value=i32[](1)}
      %6:i32[2,3] = broadcast %5 {shape=[2, 3]}
      %7:i32[] = constant {value=i32[](3)}
      %8:i32[2,3] = broadcast %7 {shape=[2, 3]}
      %9:i32[2,3] = tape %4 {shape=[2, 3], steps=[const(1), const(3), add(0 1), mul(3 2)], results=[4]}
      %10:f32[] = constant {value=f32[](0.5)}
      %11:f32[2,3] = broadcast %10 {shape=[2, 3]}
      %12:f32[] = constant {value=f32[](1)}
      %13:f32[2,3] = broadcast %12 {shape=[2, 3]}
      %14:f32[2,3] = tape %0 {shape=[2, 3], steps=[const(1), add(0 1)], results=[2]}
      %15:f32[1,3] = sum %14 {axes=[0]}
      %16:f32[1,3] = tape %15 {shape=[1, 3], steps=[neg(0)], results=[1]}
      %17:f32[2,3] = broadcast %16 {shape=[2, 3]}
      %18:f32[2,3] = tape %9 %17 {shape=[2, 3], steps=[const(0.5), cast(0), mul(3 2), add(4 1)], results=[5]}
      output y = %18
      "
    `);
  });

  test("reads conditions and their sides in one chain", () => {
    const graph = graphOf((x) => where(x.greater(1).and(x.less(2)), x, x.neg()));
    expect(after(fuseElementwise, graph)).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[] = constant {value=f32[](1)}
      %2:f32[2,3] = broadcast %1 {shape=[2, 3]}
      %3:f32[] = constant {value=f32[](2)}
      %4:f32[2,3] = broadcast %3 {shape=[2, 3]}
      %5:f32[2,3] = tape %0 {shape=[2, 3], steps=[const(1), const(2), gt(0 1), lt(0 2), and(3 4), neg(0), where(5 0 6)], results=[7]}
      output result = %5
      "
    `);
  });

  test("without fusion every operation is a tape of its own", () => {
    expect(
      after(
        singleTapes,
        graphOf((x) => x.mul(2).exp()),
      ),
    ).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[] = constant {value=f32[](2)}
      %2:f32[2,3] = broadcast %1 {shape=[2, 3]}
      %3:f32[2,3] = tape %0 {shape=[2, 3], steps=[const(2), mul(0 1)], results=[2]}
      %4:f32[2,3] = tape %3 {shape=[2, 3], steps=[exp(0)], results=[1]}
      output result = %4
      "
    `);
  });

  test("cuts chains that would be too long for one tape", () => {
    const graph = graphOf((x) => {
      let y = x;
      for (let i = 0; i < 100; i++) y = y.sin();
      return y;
    });
    after(fuseElementwise, graph);
    const tapes = fuseElementwise.run(graph).nodesOf("tape");
    expect(tapes.map(({ attrs }) => (attrs.steps as unknown[]).length)).toEqual([64, 36]);
  });
});

describe("chunk-logits", () => {
  const pass = chunkLogits({ chunkBytes: 32, leastBytes: 32 }); // the logits of two rows
  const kinds = { weight: [4, 3], transposed: [3, 4] } as const;
  const weightOf = (kind: keyof typeof kinds) => variable("w", "f32", kinds[kind]);
  const logitsOf = (x: Tensor, weight = weightOf("weight")): Tensor =>
    x.matmul(weight.shape[0] === 4 ? weight.transpose() : weight);
  const rows: Types = { x: { dtype: "f32", shape: [3, 3] }, targets: { dtype: "i32", shape: [3] } };
  const lossOf = (body: (x: Tensor, targets: Tensor) => Record<string, Tensor>): Graph =>
    removeDeadCode.run(simplify.run(trace(rows, ({ x, targets }) => body(x!, targets!))));
  const fusedIn = (graph: Graph) => pass.run(graph).nodesOf("linearCrossEntropy").length;

  test("joins product, loss and their gradients, and computes before them what flows into the loss", () => {
    const graph = lossOf((x, targets) => {
      const weight = variable("w", "f32", [4, 3]);
      const losses = crossEntropy(matmulOf(x, weight, false, true), targets, 1);
      const loss = losses.sum().div(targets.notEqual(1).cast("f32").sum());
      const [dx, dw] = gradients([loss], [x, weight]);
      assign("w", weight.sub(dw!));
      return { loss, dx: dx! };
    });
    expect(after(removeDeadCode, pass.run(graph))).toMatchInlineSnapshot(`
      "
      %0:f32[3,3] = input {name=x, dtype=f32, shape=[3, 3]}
      %1:i32[3] = input {name=targets, dtype=i32, shape=[3]}
      %2:f32[4,3] = variable {name=w, dtype=f32, shape=[4, 3]}
      %3:i32[] = constant {value=i32[](1)}
      %4:i32[3] = broadcast %3 {shape=[3]}
      %5:bool[3] = ne %1 %4
      %6:f32[3] = cast %5 {to=f32}
      %7:f32[1] = sum %6 {axes=[0]}
      %8:f32[] = reshape %7 {shape=[]}
      %9:f32[] = fill {shape=[], dtype=f32, value=1}
      %10:f32[] = div %9 %8
      %11:f32[1] = reshape %10 {shape=[1]}
      %12:f32[3] = broadcast %11 {shape=[3]}
      %13:f32[3], %14:f32[3], %15:f32[3,3], %16:f32[4,3] = linearCrossEntropy %0 %2 %1 %12 {ignoreIndex=1, chunkRows=2, roundsGrad=false}
      %17:f32[1] = sum %13 {axes=[0]}
      %18:f32[] = reshape %17 {shape=[]}
      %19:f32[] = div %18 %8
      %20:f32[4,3] = sub %2 %16
      assign %20 {name=w, dtype=f32, shape=[4, 3]}
      output loss = %19
      output dx = %15
      "
    `);
    after(pass, graph);
  });

  test("joins a product and a loss that nothing is differentiated by", () => {
    const graph = lossOf((x, targets) => ({ loss: crossEntropy(logitsOf(x, weightOf("transposed")), targets).sum() }));
    expect(after(removeDeadCode, pass.run(graph))).toMatchInlineSnapshot(`
      "
      %0:f32[3,3] = input {name=x, dtype=f32, shape=[3, 3]}
      %1:i32[3] = input {name=targets, dtype=i32, shape=[3]}
      %2:f32[3,4] = variable {name=w, dtype=f32, shape=[3, 4]}
      %3:f32[4,3] = permute %2 {order=[1, 0]}
      %4:f32[3], %5:f32[3] = linearCrossEntropy %0 %3 %1 {ignoreIndex=-1, chunkRows=2, roundsGrad=false}
      %6:f32[1] = sum %4 {axes=[0]}
      %7:f32[] = reshape %6 {shape=[]}
      output loss = %7
      "
    `);
    after(pass, graph);
  });

  test.each(["weight", "transposed"] as const)("means the same with a %s of its own", (kind) => {
    const graph = lossOf((x, targets) => {
      const weight = weightOf(kind);
      const losses = crossEntropy(logitsOf(x, weight), targets);
      const [dx, dw] = gradients([losses.mean()], [x, weight]);
      return { losses, dx: dx!, dw: dw! };
    });
    after(pass, graph);
    expect(fusedIn(graph)).toBe(1);
  });

  test("keeps the rounding of mixed precision", () => {
    const graph = lossOf((x, targets) => {
      const [w, u] = [weightOf("transposed"), variable("u", "f32", [3, 3])];
      const losses = crossEntropy(x.matmul(u).matmul(w), targets);
      const [dw, du] = gradients([losses.sum()], [w, u]);
      assign("w", dw!);
      assign("u", du!);
      return { losses };
    });
    const stored = [storeBf16, simplify, mergeCommonSubexpressions, removeDeadCode].reduce(
      (current, { run }) => run(current),
      graph,
    );
    after(pass, stored);
    const folded = [pass, simplify, removeDeadCode, foldCasts, removeDeadCode].reduce(
      (current, { run }) => run(current),
      stored,
    );
    expect(`\n${folded}\n`).toMatchInlineSnapshot(`
      "
      %0:f32[3,3] = input {name=x, dtype=f32, shape=[3, 3]}
      %1:i32[3] = input {name=targets, dtype=i32, shape=[3]}
      %2:f32[3,4] = variable {name=w, dtype=f32, shape=[3, 4]}
      %3:f32[3,3] = variable {name=u, dtype=f32, shape=[3, 3]}
      %4:bf16[3,3] = cast %0 {to=bf16}
      %5:bf16[3,3] = cast %3 {to=bf16}
      %6:bf16[3,3] = matmul %4 %5 {transposeA=false, transposeB=false, bf16Outputs=[0]}
      %7:bf16[3,4] = cast %2 {to=bf16}
      %8:f32[] = fill {shape=[], dtype=f32, value=1}
      %9:f32[1] = reshape %8 {shape=[1]}
      %10:f32[3] = broadcast %9 {shape=[3]}
      %11:bf16[4,3] = permute %7 {order=[1, 0]}
      %12:f32[3], %13:f32[3], %14:bf16[3,3], %15:f32[4,3] = linearCrossEntropy %6 %11 %1 %10 {ignoreIndex=-1, chunkRows=2, roundsGrad=true, bf16Outputs=[2]}
      %16:f32[3,4] = permute %15 {order=[1, 0]}
      %17:f32[3,3] = matmul %4 %14 {transposeA=true, transposeB=false, bf16Outputs=[]}
      assign %16 {name=w, dtype=f32, shape=[3, 4]}
      assign %17 {name=u, dtype=f32, shape=[3, 3]}
      output losses = %12
      "
    `);
  });

  test("steps aside where the logits are few, wanted, or needed before the loss's gradient is known", () => {
    const apart = {
      few: lossOf((x, targets) => ({ loss: crossEntropy(logitsOf(x.slice(0, 0, 2)), targets.slice(0, 0, 2)) })),
      "read by another": lossOf((x, targets) => {
        const logits = logitsOf(x);
        return { loss: crossEntropy(logits, targets), best: logits.argMax(-1) };
      }),
      "an output": lossOf((x, targets) => {
        const logits = logitsOf(x);
        return { loss: crossEntropy(logits, targets), logits };
      }),
      "the gradient depends on the loss": lossOf((x, targets) => {
        const weight = weightOf("weight");
        const [dx, dw] = gradients([crossEntropy(logitsOf(x, weight), targets).square().sum()], [x, weight]);
        return { dx: dx!, dw: dw! };
      }),
      "only one of the gradients": lossOf((x, targets) => ({
        dx: gradients([crossEntropy(logitsOf(x), targets).sum()], [x])[0]!,
      })),
      "a bias between": lossOf((x, targets) => ({ loss: crossEntropy(logitsOf(x).add(x.sum()), targets) })),
    };
    for (const [why, graph] of Object.entries(apart)) expect(fusedIn(graph), why).toBe(0);
  });
});

describe("add-rows", () => {
  test("adds rows to a tensor instead of scattering them into zeros", () => {
    const graph = trace(x23, ({ x }) => {
      const index = constant([1, 1], "i32");
      return { result: x!.exp().add(scatterAdd(index, x!, 2)), other: scatterAdd(index, x!, 2).add(x!) };
    });
    expect(after(addRows, graph, { bits: false })).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:i32[2] = constant {value=i32[2](1, 1)}
      %2:f32[2,3] = exp %0
      %3:f32[2,3] = scatterAdd %1 %0 {rows=2}
      %4:f32[2,3] = scatterAdd %1 %0 %2 {rows=2}
      %5:f32[2,3] = scatterAdd %1 %0 {rows=2}
      %6:f32[2,3] = scatterAdd %1 %0 %0 {rows=2}
      output result = %4
      output other = %6
      "
    `);
  });

  test("leaves rows alone that something else reads, or that already have a place", () => {
    const graph = trace(x23, ({ x }) => {
      const rows = scatterAdd(constant([1, 0], "i32"), x!, 2);
      return { rows, sum: rows.add(x!) };
    });
    expect(after(addRows, graph)).toBe(`\n${graph}\n`);
    const two = trace(x23, ({ x }) => {
      const index = constant([1, 0], "i32");
      return scatterAdd(index, x!, 2)
        .add(scatterAdd(index, x!.exp(), 2))
        .add(x!);
    });
    after(addRows, addRows.run(two), { bits: false });
  });
});

describe("store-bf16", () => {
  test("rounds what matmuls read and hand on; results, gradients of variables and what norms read stay f32", () => {
    const graph = graphOf((x) => {
      const w = variable("w", "f32", [3, 3]);
      const hidden = gelu(x.matmul(w));
      assign("w", hidden.transpose().matmul(x));
      return hidden.matmul(w);
    });
    expect(storeBf16.run(graph).toString()).toMatchInlineSnapshot(`
      "%0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[3,3] = variable {name=w, dtype=f32, shape=[3, 3]}
      %2:bf16[2,3] = cast %0 {to=bf16}
      %3:f32[2,3] = cast %2 {to=f32}
      %4:bf16[3,3] = cast %1 {to=bf16}
      %5:f32[3,3] = cast %4 {to=f32}
      %6:f32[2,3] = matmul %3 %5 {transposeA=false, transposeB=false}
      %7:bf16[2,3] = cast %6 {to=bf16}
      %8:f32[2,3] = cast %7 {to=f32}
      %9:f32[2,3] = gelu %8
      %10:f32[3,2] = permute %9 {order=[1, 0]}
      %11:bf16[3,2] = cast %10 {to=bf16}
      %12:f32[3,2] = cast %11 {to=f32}
      %13:bf16[2,3] = cast %0 {to=bf16}
      %14:f32[2,3] = cast %13 {to=f32}
      %15:f32[3,3] = matmul %12 %14 {transposeA=false, transposeB=false}
      assign %15 {name=w, dtype=f32, shape=[3, 3]}
      %16:bf16[2,3] = cast %9 {to=bf16}
      %17:f32[2,3] = cast %16 {to=f32}
      %18:bf16[3,3] = cast %1 {to=bf16}
      %19:f32[3,3] = cast %18 {to=f32}
      %20:f32[2,3] = matmul %17 %19 {transposeA=false, transposeB=false}
      output result = %20"
    `);
  });

  test("leaves other graphs alone", () => {
    const graph = graphOf((x) => gelu(x).sum());
    expect(after(storeBf16, graph)).toBe(`\n${graph}\n`);
  });

  test("is undone, but for the rounding itself, by simplify and fold-casts", () => {
    const graph = graphOf((x) =>
      gelu(x.matmul(variable("w", "f32", [3, 4])).reshape(4, 2)).matmul(constant([1, 2]).reshape(2, 1)),
    );
    const passes = passesFor(stridedTarget, { storage: "bf16" });
    const upTo = passes.findIndex(({ name }) => name === "fold-casts") + 1;
    const folded = passes.slice(0, upTo).reduce((current, pass) => pass.run(current), graph);
    expect(`\n${removeDeadCode.run(folded)}\n`).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[3,4] = variable {name=w, dtype=f32, shape=[3, 4]}
      %2:bf16[2,3] = cast %0 {to=bf16}
      %3:bf16[3,4] = cast %1 {to=bf16}
      %4:bf16[2,4] = matmul %2 %3 {transposeA=false, transposeB=false, bf16Outputs=[0]}
      %5:bf16[4,2] = reshape %4 {shape=[4, 2]}
      %6:f32[4,2] = cast %5 {to=f32}
      %7:f32[4,2] = gelu %6
      %8:f32[2] = constant {value=f32[2](1, 2)}
      %9:bf16[4,2] = cast %7 {to=bf16}
      %10:bf16[2] = cast %8 {to=bf16}
      %11:bf16[2,1] = reshape %10 {shape=[2, 1]}
      %12:f32[4,1] = matmul %9 %11 {transposeA=false, transposeB=false, bf16Outputs=[]}
      output result = %12
      "
    `);
  });
});

describe("the list of passes", () => {
  test("says what each does, under a name of its own", () => {
    for (const target of [referenceTarget, stridedTarget]) {
      for (const optimized of [true, false]) {
        for (const { name, doc } of passesFor(target, { optimize: optimized })) {
          expect(name).toMatch(/^[a-z-]+$/);
          expect(doc.length).toBeGreaterThan(10);
        }
      }
    }
  });

  test("is reported pass by pass", () => {
    const seen: string[] = [];
    optimize(
      graphOf((x) => x.mul(1)),
      stridedTarget,
      { onPass: ({ name }) => seen.push(name) },
    );
    expect(seen).toEqual(passesFor(stridedTarget).map(({ name }) => name));
  });

  test("makes outputs of the taps that are asked for, and says which exist", () => {
    const graph = graphOf((x) => tap("hidden", x.exp()).sum());
    expect(compile(graph, referenceTarget, { taps: ["hidden"] }).outputs.map(({ name }) => name)).toEqual([
      "result",
      "tap:hidden",
    ]);
    expect(() => compile(graph, referenceTarget, { taps: ["hiden"] })).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [trace/tap] no tensor was tapped as "hiden"
        expected  hidden
        got       hiden]
    `);
  });

  test("is stopped by the verifier when a pass breaks the graph", () => {
    const graph = graphOf((x) => x.exp());
    const broken = { ...graph.value(1), shape: [9, 9] };
    const bad = Object.assign(Object.create(Object.getPrototypeOf(graph)) as Graph, graph, {
      values: [graph.value(0), broken],
    });
    expect(() => verifyGraph(bad)).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [internal/graph] output type differs from the shape rule: f32[9,9] against f32[2,3]
        got       node 1 exp]
    `);
  });
});

describe("recompute", () => {
  // two layers of tanh(x·w), and what a backward pass would do with them; most is alive where `wide` is
  const types: Types = { ...x23, w: { dtype: "f32", shape: [3, 3] } };
  const graph = trace(types, ({ x, w }) => {
    const first = x!.matmul(w!).tanh();
    const second = first.matmul(w!).tanh();
    const wide = second.sum().broadcastTo([50]).exp();
    return second.mul(wide.sum()).matmul(w!).mul(first.square());
  });

  test("computes again, behind the turn and right before its first reader, what was chosen", () => {
    expect(after(recompute(new Map([["matmul", 1]])), graph)).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:f32[3,3] = input {name=w, dtype=f32, shape=[3, 3]}
      %2:f32[2,3] = matmul %0 %1 {transposeA=false, transposeB=false}
      %3:f32[2,3] = tanh %2
      %4:f32[2,3] = matmul %3 %1 {transposeA=false, transposeB=false}
      %5:f32[2,3] = tanh %4
      %6:f32[1,1] = sum %5 {axes=[0, 1]}
      %7:f32[] = reshape %6 {shape=[]}
      %8:f32[50] = broadcast %7 {shape=[50]}
      %9:f32[50] = exp %8
      %10:f32[1] = sum %9 {axes=[0]}
      %11:f32[] = reshape %10 {shape=[]}
      %12:f32[2,3] = broadcast %11 {shape=[2, 3]}
      %13:f32[2,3] = mul %5 %12
      %14:f32[2,3] = matmul %13 %1 {transposeA=false, transposeB=false}
      %15:f32[2,3] = matmul %0 %1 {transposeA=false, transposeB=false}
      %16:f32[2,3] = tanh %15
      %17:f32[2,3] = square %16
      %18:f32[2,3] = mul %14 %17
      output result = %18
      "
    `);
  });

  test("kinds of work that free most for least come first; a kind is its dearest operation", () => {
    expect(waitingIn(graph).map(({ work, nodes, bytes }) => ({ work, nodes, bytes }))).toMatchInlineSnapshot(`
      [
        {
          "bytes": 24,
          "nodes": [
            3,
          ],
          "work": "matmul",
        },
        {
          "bytes": 24,
          "nodes": [
            5,
          ],
          "work": "matmul 2",
        },
      ]
    `);
  });

  test("what both were forgotten is computed again once, one from the other", () => {
    const all = recompute(new Map(waitingIn(graph).map(({ work, nodes }) => [work, nodes.length])));
    const count = (op: string) => all.run(graph).nodesOf(op).length - graph.nodesOf(op).length;
    expect([count("tanh"), count("matmul")]).toEqual([2, 2]);
    after(all, graph);
  });

  test("outputs, next values and what the busiest node reads stay", () => {
    const kept = graphOf((x) => {
      const [seen, assigned] = [x.exp(), x.tanh()];
      assign("v", assigned);
      const wide = x.sin();
      const busy = wide.mul(x.cos()).sum();
      return { seen, result: seen.mul(busy).add(assigned).add(wide) };
    });
    expect(waitingIn(kept)).toEqual([]);
  });
});
