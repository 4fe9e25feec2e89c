// Arithmetic and bytes of instructions, counted by hand.
import { expect, test } from "vitest";
import { allOps, assign, constant, fusedMulti, type Graph, softmax, take, trace, variable } from "../core/index.ts";
import { compile } from "./compile.ts";
import { instructionText, workText } from "./plan-text.ts";
import { nativeTarget } from "./target.ts";
import { workOf } from "./work.ts";

const target = nativeTarget(["matmul", "tape", "copy", "fill", "take", "softmax"], ["add", "mul", "const"]);
const f32 = (...shape: number[]) => ({ dtype: "f32", shape }) as const;

/** Kernel, FLOPs and bytes of each instruction. */
function works(graph: Graph): [kernel: string, flops: number, bytes: number][] {
  const plan = compile(graph, target);
  return plan.code.map((instruction) => {
    const { flops, bytes } = workOf(plan, instruction);
    return [instruction.kernel, flops, bytes];
  });
}

test("a product: 2·m·k·n FLOPs, each matrix once", () => {
  const graph = trace({ a: f32(4, 8), b: f32(8, 5) }, ({ a, b }) => a.matmul(b));
  expect(works(graph)).toEqual([["matmul", 2 * 4 * 8 * 5, 4 * (4 * 8 + 8 * 5 + 4 * 5)]]);
});

test("a broadcast operand is read once, and one that is read twice counts once", () => {
  const graph = trace({ x: f32(6, 7), bias: f32(7) }, ({ x, bias }) => x.add(bias).mul(x));
  expect(works(graph)).toEqual([["tape", 2 * 6 * 7, 4 * (6 * 7 + 7 + 6 * 7)]]);
});

test("what is written in place is read and written", () => {
  const graph = trace({ x: f32(16) }, ({ x }) => {
    assign("total", variable("total", "f32", [16]).add(x));
    return undefined;
  });
  expect(works(graph)).toEqual([["tape", 16, 4 * 3 * 16]]);
});

test("a lookup reads the rows it picks, not the table", () => {
  const graph = trace({ ids: { dtype: "i32", shape: [3] } }, ({ ids }) =>
    take(variable("table", "f32", [1000, 8]), ids),
  );
  expect(works(graph)).toEqual([["take", 0, 4 * (3 + 3 * 8 + 3 * 8)]]);
});

test("a copy for the sake of an op has bytes, and none of its FLOPs", () => {
  const graph = trace({ x: f32(3, 4) }, ({ x }) => softmax(x.transpose()));
  expect(works(graph)).toEqual([
    ["copy", 0, 2 * 4 * 12],
    ["softmax", 12 * 12, 2 * 4 * 12],
  ]);
});

test("the text of an instruction says where things lie; that of its work only what they are", () => {
  const graph = trace({ a: f32(4, 8), b: f32(4, 8) }, ({ a, b }) => ({ sum: a.add(b) }));
  const plan = compile(graph, target);
  expect(instructionText(plan, plan.code[0]!)).toBe(
    "  tape               arena+0:f32[4,8]/8,1 <- a:f32[4,8]/8,1 b:f32[4,8]/8,1",
  );
  expect(workText(plan, plan.code[0]!)).toBe("tape 2×f32[4,8] -> f32[4,8]");
});

test("cross-entropy by chunks: three products and two passes over the logits, of which memory sees nothing", () => {
  const types = { x: f32(3, 5), targets: { dtype: "i32", shape: [3] } } as const;
  const joined = nativeTarget(["linearCrossEntropy", "tape", "copy", "fill", "sum"], ["add", "mul", "const"]);
  const graph = trace(types, ({ x, targets }) => {
    const weight = variable("w", "f32", [7, 5]);
    const grad = constant([1, 1, 1]);
    const attrs = { ignoreIndex: -1, chunkRows: 2, roundsGrad: false };
    const [loss, , dx, dw] = fusedMulti(allOps().get("linearCrossEntropy")!, [x, weight, targets, grad], attrs);
    return { loss: loss!, dx: dx!, dw: dw! };
  });
  const plan = compile(graph, joined);
  expect(plan.code.map((instruction) => workOf(plan, instruction))).toEqual([
    { flops: 3 * 7 * (6 * 5 + 24), bytes: 4 * (2 * 15 + 2 * 35 + 4 * 3) },
  ]);
});
