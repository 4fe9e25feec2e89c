// Loops before and after `hoist`, which must mean the same to the last bit; and what mixed precision rounds in their bodies.
import { expect, test } from "vitest";
import { meaningOf } from "../../../test/support/graph-interpreter.ts";
import { stridedTarget } from "../../../test/support/strided-interpreter.ts";
import { fromNumbers, type HostArray, sizeOf } from "../../base/index.ts";
import { type Graph, type ScanAttrs, scan, type Tensor, tanh, trace, verifyGraph, zeros } from "../../core/index.ts";
import { optimize } from "../compile.ts";
import { referenceTarget } from "../target.ts";
import { hoist } from "./hoist.ts";

type Given = { readonly [name: string]: Tensor };

/** What is made of x (turns, rows, 4), w (4, 6), v (4) and b (5). */
const traced = (turns: number, rows: number, body: (given: Given) => Tensor | Given): Graph =>
  trace(
    Object.fromEntries(
      Object.entries({ x: [turns, rows, 4], w: [4, 6], v: [4], b: [5] }).map(([name, shape]) => [
        name,
        { dtype: "f32", shape },
      ]),
    ),
    (given: Given) => body(given),
  );

const ramp = (name: string, shape: readonly number[]): HostArray =>
  fromNumbers(
    "f32",
    shape,
    Array.from({ length: sizeOf(shape) }, (_, at) => Math.sin(at + name.length)),
  );

function after(graph: Graph, target = referenceTarget): Graph {
  const before = graph.toString();
  const result = hoist(target).run(graph);
  expect(graph.toString()).toBe(before);
  verifyGraph(result);
  const feeds = Object.fromEntries(
    graph.nodesOf("input").map(({ attrs, outputs }) => {
      const name = attrs.name as string;
      return [name, ramp(name, graph.value(outputs[0]!).shape)];
    }),
  );
  expect(meaningOf(result, feeds, {})).toEqual(meaningOf(graph, feeds, {}));
  return result;
}

test("what is the same in every turn moves out; views and what follows from the turn stay, and what is read no more is handed in no more", () => {
  const graph = traced(3, 2, ({ x, v, b }) => {
    const step = ([s]: Tensor[], [now]: Tensor[]) => ({
      carry: [s!.mul(v!.exp().mul(2)).add(now!).add(b!.square().sum())],
      outputs: [v!.exp(), s!],
    });
    const { carry, outputs } = scan(step, { carry: [zeros([2, 4])], sequences: [x!] });
    return Object.fromEntries([...carry, ...outputs].map((made, at) => [`made ${at}`, made]));
  });
  expect(`\n${after(graph)}\n`).toMatchInlineSnapshot(`
    "
    %0:f32[3,2,4] = input {name=x, dtype=f32, shape=[3, 2, 4]}
    %1:f32[4,6] = input {name=w, dtype=f32, shape=[4, 6]}
    %2:f32[4] = input {name=v, dtype=f32, shape=[4]}
    %3:f32[5] = input {name=b, dtype=f32, shape=[5]}
    %4:f32[2,4] = fill {shape=[2, 4], dtype=f32, value=0}
    %5:f32[4] = exp %2
    %6:f32[] = constant {value=f32[](2)}
    %7:f32[4] = broadcast %6 {shape=[4]}
    %8:f32[4] = mul %5 %7
    %9:f32[5] = square %3
    %10:f32[1] = sum %9 {axes=[0]}
    %11:f32[4] = exp %2
    %12:f32[2,4], %13:f32[3,4], %14:f32[3,2,4] = scan %4 %0 %8 %10 %11 {body=(
        %0:f32[2,4] = input {name=0, dtype=f32, shape=[2, 4]}
        %1:f32[2,4] = input {name=1, dtype=f32, shape=[2, 4]}
        %2:f32[4] = input {name=2, dtype=f32, shape=[4]}
        %3:f32[2,4] = broadcast %2 {shape=[2, 4]}
        %4:f32[2,4] = mul %0 %3
        %5:f32[2,4] = add %4 %1
        %6:f32[1] = input {name=3, dtype=f32, shape=[1]}
        %7:f32[] = reshape %6 {shape=[]}
        %8:f32[2,4] = broadcast %7 {shape=[2, 4]}
        %9:f32[2,4] = add %5 %8
        %10:f32[4] = input {name=4, dtype=f32, shape=[4]}
      ), results=[9, 10, 0], carried=1, sequences=1, turns=3, reverse=false}
    output made 0 = %12
    output made 1 = %13
    output made 2 = %14
    "
  `);
});

test("a matrix is laid out before the loop, where so few rows are multiplied by it so often; transposed too, and once for two products", () => {
  const product = (rows: number, turns: number) =>
    traced(turns, rows, ({ x, w }) => {
      const step = ([s]: Tensor[], [now]: Tensor[]) => {
        const [up, again] = [s!.add(now!).matmul(w!), now!.matmul(w!)];
        return { carry: [tanh(up.add(again)).matmul(w!.transpose())] };
      };
      return scan(step, { carry: [zeros([rows, 4])], sequences: [x!] }).carry[0]!;
    });
  const opsOf = (graph: Graph) => ({
    outside: graph.nodes.map(({ op }) => op.name).filter((name) => !["input", "fill"].includes(name)),
    inside: (graph.nodesOf("scan")[0]!.attrs as ScanAttrs).body.nodes
      .map(({ op }) => op.name)
      .filter((name) => name.startsWith("matmul")),
  });
  const packed = opsOf(after(optimize(product(8, 8), referenceTarget), stridedTarget));
  expect(packed.outside.filter((name) => name === "packPanels").length).toBe(2);
  expect(packed.inside).toEqual(["matmulPanels", "matmulPanels", "matmulPanels"]);
  for (const [rows, turns, target] of [
    [2, 8, stridedTarget],
    [129, 8, stridedTarget],
    [8, 7, stridedTarget],
    [8, 8, referenceTarget],
  ] as const)
    expect(opsOf(after(optimize(product(rows, turns), referenceTarget), target)).inside).toEqual([
      "matmul",
      "matmul",
      "matmul",
    ]);
});

test("mixed precision rounds, of what a turn multiplies, the matrix that all turns share before the loop, and nothing else of a body", () => {
  const graph = traced(8, 8, ({ x, w }) => {
    const step = ([s]: Tensor[], [now]: Tensor[]) => {
      const up = s!.matmul(w!);
      return { carry: [up.matmul(w!.transpose()).matmul(now!.transpose().matmul(now!))] };
    };
    return scan(step, { carry: [zeros([8, 4])], sequences: [x!] }).carry[0]!;
  });
  const stored = optimize(graph, stridedTarget, { storage: "bf16" });
  const { body } = stored.nodesOf("scan")[0]!.attrs as ScanAttrs;
  const typesOf = ({ op, inputs, outputs }: Graph["nodes"][number]) =>
    `${op.name}: ${[...inputs, ...outputs].map((id) => body.value(id).dtype).join(" ")}`;
  expect(body.nodes.filter(({ op }) => op.name !== "input" && op.kind !== "view").map(typesOf)).toMatchInlineSnapshot(`
    [
      "tape: f32 bf16",
      "matmul: bf16 bf16 bf16",
      "matmulPanels: bf16 bf16 f32",
      "matmul: f32 f32 f32",
      "matmul: f32 f32 f32",
    ]
  `);
  const tapes = stored.nodesOf("tape").map(({ inputs }) => stored.producer(inputs[0]!).attrs.name);
  expect(tapes).toEqual(["w"]);
});
