// Traces, graphs and tensors: what a traced function leaves behind.
import { describe, expect, test } from "vitest";
import { runReference } from "../../test/support/run-reference.ts";
import { fromNumbers } from "../base/index.ts";
import {
  allOps,
  concat,
  constant,
  currentScope,
  currentTrace,
  feed,
  full,
  Graph,
  gradients,
  insideTrace,
  iota,
  markOutput,
  matmul,
  mean,
  pad,
  stopGradient,
  sumTo,
  Tensor,
  tap,
  trace,
  verifyGraph,
  where,
  withContext,
  withScope,
} from "./index.ts";

const x23 = { x: { dtype: "f32", shape: [2, 3] } } as const;

describe("a trace", () => {
  test("has a stable text form", () => {
    const graph = trace({ ...x23, ids: { dtype: "i32", shape: [2] } }, ({ x, ids }) => {
      const [a, b] = x.split(3).slice(0, 2);
      const y = where(ids.greater(1).reshape(2, 1), a!, 0.1).add(b!);
      return { mean: y.mean(), big: constant(fromNumbers("f32", [6], [1, 2, 3, 4, 5, 6])) };
    });
    verifyGraph(graph);
    expect(`\n${graph}\n`).toMatchInlineSnapshot(`
      "
      %0:f32[2,3] = input {name=x, dtype=f32, shape=[2, 3]}
      %1:i32[2] = input {name=ids, dtype=i32, shape=[2]}
      %2:f32[2,1], %3:f32[2,1], %4:f32[2,1] = split %0 {axis=1, parts=3}
      %5:i32[] = constant {value=i32[](1)}
      %6:i32[2] = broadcast %5 {shape=[2]}
      %7:bool[2] = gt %1 %6
      %8:bool[2,1] = reshape %7 {shape=[2, 1]}
      %9:f32[] = constant {value=f32[](0.10000000149011612)}
      %10:f32[2,1] = broadcast %9 {shape=[2, 1]}
      %11:f32[2,1] = where %8 %2 %10
      %12:f32[2,1] = add %11 %3
      %13:f32[1,1] = sum %12 {axes=[0, 1]}
      %14:f32[] = reshape %13 {shape=[]}
      %15:f32[] = constant {value=f32[](0.5)}
      %16:f32[] = mul %14 %15
      %17:f32[6] = constant {value=f32[6](1, 2, 3, 4, …)}
      output mean = %16
      output big = %17
      "
    `);
  });

  test("names a single result, keeps names of several, and allows none", () => {
    expect([...trace(x23, ({ x }) => x).outputs.keys()]).toEqual(["result"]);
    expect([...trace(x23, ({ x }) => ({ b: x, a: x.exp() })).outputs.keys()]).toEqual(["b", "a"]);
    const byHand = trace(x23, ({ x }) => {
      markOutput("y", x.exp());
      return undefined;
    });
    expect([...byHand.outputs]).toEqual([["y", 1]]);
  });

  test("marks nodes with the innermost scope", () => {
    const graph = trace(x23, ({ x }) => {
      const y = withScope("h.0", () => withScope("h.0.attn", () => x.exp()).neg());
      expect(currentScope()).toBe("");
      return y.sin();
    });
    expect(graph.nodes.map(({ scope }) => scope)).toEqual(["", "h.0.attn", "h.0", ""]);
  });

  test("marks gradients with the scope of what they belong to", () => {
    const graph = trace(x23, ({ x }) => {
      const y = withScope("h.3", () => x.sin());
      return gradients([y.sum()], [x])[0]!;
    });
    expect(graph.nodesOf("cos")[0]!.scope).toBe("h.3");
  });

  test("may stand inside another, and gives the outer one back", () => {
    const outer = trace(x23, ({ x }) => {
      const inner = trace(x23, (own) => own.x.exp());
      expect(inner.nodes.length).toBe(2);
      return x.neg();
    });
    expect(outer.nodes.map(({ op }) => op.name)).toEqual(["input", "neg"]);
    expect(insideTrace()).toBe(false);
  });

  test("tells its mode, dtype and random inputs to what runs inside", () => {
    trace(
      { seed: { dtype: "i32", shape: [3] }, rows: { dtype: "i32", shape: [2] } },
      ({ rows }) => {
        expect(currentTrace().mode).toBe("train");
        expect(currentTrace().random!.rows).toEqual(rows);
        expect(constant(1).dtype).toBe("f64");
        withContext({ mode: "eval" }, () => expect(currentTrace().mode).toBe("eval"));
        expect(currentTrace().mode).toBe("train");
        return rows;
      },
      { mode: "train", floatDType: "f64", random: ({ seed, rows }) => ({ key: seed!, rows: rows! }) },
    );
  });

  test("takes feeds made inside", () => {
    const graph = trace({}, () => feed("late", { dtype: "f32", shape: [2] }).mul(2));
    const { result } = runReference(graph, { late: fromNumbers("f32", [2], [1, 2]) });
    expect([...(result!.data as Float32Array)]).toEqual([2, 4]);
  });

  test("keeps tapped tensors by name, and gives them back unchanged", () => {
    const graph = trace(x23, ({ x }) => {
      const y = x.exp();
      expect(tap("hidden", y)).toBe(y);
      return y;
    });
    expect([...graph.taps]).toEqual([["hidden", 1]]);
  });
});

describe("a tensor", () => {
  const shapesOf = (body: (x: Tensor) => readonly Tensor[]) => {
    let found: string[] = [];
    trace(x23, ({ x }) => {
      found = body(x).map(String);
      return x;
    });
    return found;
  };

  test("is recognised by its brand, not by its class", () => {
    trace(x23, ({ x }) => {
      expect(Tensor.is(x)).toBe(true);
      expect([null, 1, {}, [], Tensor].map((value) => Tensor.is(value))).toEqual([false, false, false, false, false]);
      return x;
    });
  });

  test("broadcasts operands by NumPy's rule, and numbers take the tensor's dtype", () => {
    expect(
      shapesOf((x) => [
        x.add(1),
        x.add(constant([1, 2, 3])),
        x.reshape(2, 1, 3).mul(x),
        x.cast("i32").add(1.5),
        x.cast("i32").equal(2),
        where(x.greater(0), 1, x),
        where(x.greater(0), 1, 0),
      ]),
    ).toEqual([
      "Tensor(f32[2,3])",
      "Tensor(f32[2,3])",
      "Tensor(f32[2,2,3])",
      "Tensor(i32[2,3])",
      "Tensor(bool[2,3])",
      "Tensor(f32[2,3])",
      "Tensor(f32[2,3])",
    ]);
  });

  test("counts axes from either end, and keeps or drops what is reduced", () => {
    expect(
      shapesOf((x) => [
        x.sum(),
        x.sum({ axis: -1 }),
        x.sum({ axis: [0, -1], keepDim: true }),
        x.sum({ axis: [] }),
        x.max({ axis: 0 }),
        x.argMax(),
        mean(x, { axis: 0, keepDim: true }),
        x.cumulativeSum(-2),
      ]),
    ).toEqual(
      ["f32[]", "f32[2]", "f32[1,1]", "f32[2,3]", "f32[3]", "i32[2]", "f32[1,3]", "f32[2,3]"].map(
        (t) => `Tensor(${t})`,
      ),
    );
  });

  test("multiplies with leading dimensions, shared right sides, and empty ones", () => {
    expect(
      shapesOf((x) => [
        x.matmul(x.transpose()),
        x.reshape(1, 2, 3).matmul(x.transpose()),
        matmul(full([4, 1, 2, 3], 1), full([5, 3, 7], 1)),
        matmul(full([2, 3, 0], 1), full([0, 5], 1)),
        matmul(full([0, 2, 3], 1), full([3, 5], 1)),
      ]),
    ).toEqual(["f32[2,2]", "f32[1,2,2]", "f32[4,5,2,7]", "f32[2,3,5]", "f32[0,2,5]"].map((t) => `Tensor(${t})`));
  });

  test("adds no node where nothing changes", () => {
    const graph = trace(x23, ({ x }) => {
      const same = [
        x.reshape(2, 3),
        x.permute(0, 1),
        x.broadcastTo([2, 3]),
        x.slice(1, 0, 3),
        x.cast("f32"),
        pad(x, 0, 0, 0),
        concat([x]),
        sumTo(x, [2, 3]),
        x.sum({ axis: [] }),
      ];
      expect(same.every((y) => y.id === x.id)).toBe(true);
      return x;
    });
    expect(graph.nodes.length).toBe(1);
  });

  test("computes -1 of a reshape, also of an empty tensor", () => {
    expect(
      shapesOf((x) => [
        x.reshape(-1),
        x.reshape(3, -1),
        full([0, 4], 1).reshape(-1, 2),
        iota([2, 3], -1).reshape(-1, 1),
      ]),
    ).toEqual(["f32[6]", "f32[3,2]", "f32[0,2]", "i32[6,1]"].map((t) => `Tensor(${t})`));
  });
});

describe("gradients", () => {
  test("are undefined where no path leads, and stop where told", () => {
    trace({ ...x23, z: { dtype: "f32", shape: [] } }, ({ x, z }) => {
      const loss = stopGradient(x).mul(x).sum();
      expect(gradients([loss], [z])[0]).toBeUndefined();
      expect(gradients([stopGradient(x).sum()], [x])[0]).toBeUndefined();
      expect(gradients([x.floor().sum()], [x])[0]).toBeUndefined();
      expect(gradients([loss], [x])[0]!.shape).toEqual([2, 3]);
      return loss;
    });
  });

  test("flow on through a tensor that is itself asked for", () => {
    const graph = trace({ x: { dtype: "f64", shape: [] } }, ({ x }) => {
      const y = x.square();
      const z = y.mul(3);
      const [dx, dy, dz] = gradients([z], [x, y, z]);
      return { dx: dx!, dy: dy!, dz: dz! };
    });
    const outputs = runReference(graph, { x: fromNumbers("f64", [], [5]) });
    expect(Object.values(outputs).map(({ data }) => data[0])).toEqual([30, 3, 1]);
  });

  test("of several outputs add up, each with its seed", () => {
    const graph = trace(
      { x: { dtype: "f64", shape: [2] } },
      ({ x }) => {
        const outputs = [x.mul(2), x.square(), x.exp()];
        return gradients(outputs, [x], [constant([1, 10]), constant([100, 1000]), undefined])[0]!;
      },
      { floatDType: "f64" },
    );
    const { result } = runReference(graph, { x: fromNumbers("f64", [2], [1, 2]) });
    expect([...(result!.data as Float64Array)]).toEqual([202, 4020]);
  });

  test("cost what lies between, not what came before", () => {
    const nodesOf = (depth: number) => {
      let added = 0;
      trace(x23, ({ x }) => {
        let y = x;
        for (let i = 0; i < depth; i++) y = y.sin();
        const { graph } = x;
        const loss = y.square().sum();
        const before = graph.nodes.length;
        gradients([loss], [y]);
        added = graph.nodes.length - before;
        return x;
      });
      return added;
    };
    expect(nodesOf(500)).toBe(nodesOf(1));
  });
});

describe("verifyGraph", () => {
  const graph = () => trace(x23, ({ x }) => x.exp().sum());
  const broken: [string, (graph: Graph) => void][] = [
    ["node id is not its position", (g) => Object.assign(g.nodes[1]!, { id: 7 })],
    ["input is not defined before use", (g) => Object.assign(g.nodes[1]!, { inputs: [2] })],
    ["number of outputs differs", (g) => Object.assign(g.nodes[1]!, { outputs: [1, 2] })],
    ["value does not point at its node", (g) => Object.assign(g.values[1]!, { index: 3 })],
    ["output type differs", (g) => Object.assign(g.values[1]!, { dtype: "i32" })],
    ["output y is no value", (g) => g.outputs.set("y", 99)],
    ["guard is not a bool scalar", (g) => Object.assign(g, { guard: 1 })],
  ];
  test.each(broken)("finds that %s", (what, damage) => {
    const damaged = graph();
    verifyGraph(damaged);
    damage(damaged);
    expect(() => verifyGraph(damaged)).toThrow(what);
  });

  test("has no value outside the graph", () => {
    expect(() => new Graph().value(0)).toThrow("no value %0");
  });
});

test("ops have unique names", () => {
  expect(new Set([...allOps().keys()]).size).toBe(allOps().size);
  expect(allOps().get("add")!.name).toBe("add");
});
