// A linear map and its cross-entropy, by chunks of rows, against the same written apart: in numbers on every instruction set,
// in bytes for any number of threads, in memory at the size of a language model's head.
import { describe, expect, test } from "vitest";
import { fromNumbers, type HostArray, RandomStream, sizeOf, toNumbers } from "../../src/base/index.ts";
import { compile } from "../../src/compiler/index.ts";
import { chunkLogits } from "../../src/compiler/passes/chunk-logits.ts";
import {
  allOps,
  assign,
  crossEntropy,
  fusedMulti,
  type Graph,
  gradients,
  matmulOf,
  type Tensor,
  trace,
  variable,
} from "../../src/core/index.ts";
import { assertClose } from "../support/close.ts";
import { nativeEngine, runNative } from "../support/run-native.ts";
import { runReference } from "../support/run-reference.ts";

const isas = ["avx512bf16", "avx512", "avx2", "portable"].filter((isa) => nativeEngine(2, isa) !== undefined);
const MiB = 2 ** 20;

function numbers(name: string, shape: readonly number[], dtype: "f32" | "f64" = "f32"): HostArray {
  const random = new RandomStream(7, name);
  const values = Array.from({ length: sizeOf(shape) }, (_, i) => Math.fround(random.normal(i)));
  return fromNumbers(dtype, shape, values);
}

interface Head {
  readonly rows: number;
  readonly width: number;
  readonly classes: number;
  /** The weight as `Linear` has it, (D, V), instead of (V, D). */
  readonly linear?: boolean;
  /** Of the losses over the rows that are not ignored; else their sum. */
  readonly mean?: boolean;
}

const weightShape = ({ width, classes, linear }: Head) => (linear ? [width, classes] : [classes, width]);

/** Losses and gradients, written apart. */
function apart(head: Head, dtype: "f32" | "f64" = "f32"): Graph {
  const types = {
    x: { dtype, shape: [head.rows, head.width] },
    weight: { dtype, shape: weightShape(head) },
    targets: { dtype: "i32", shape: [head.rows] },
  } as const;
  return trace(
    types,
    ({ x, weight, targets }) => {
      const losses = crossEntropy(matmulOf(x, weight, false, !head.linear), targets, -1);
      const sum = losses.sum();
      const loss = head.mean ? sum.div(targets.notEqual(-1).cast(dtype).sum()) : sum;
      const [dx, dw] = gradients([loss], [x, weight]);
      return { losses, loss, dx: dx!, dw: dw! };
    },
    { floatDType: dtype },
  );
}

/** The same joined, in chunks of at most `chunkRows` rows. */
const joined = (head: Head, chunkRows: number): Graph =>
  chunkLogits({ chunkBytes: chunkRows * head.classes * 4, leastBytes: 0 }).run(apart(head));

/** As it is after it was stored in bf16. */
const stored = (x: Tensor): Tensor => x.cast("bf16").cast("f32");

const bytesOf = ({ data }: HostArray): string =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");

describe.skipIf(nativeEngine() === undefined)("by chunks", () => {
  test.each([
    ["a head's weight, the last chunk shorter", { rows: 300, width: 40, classes: 1000, mean: true }, 77],
    ["a Linear's weight", { rows: 130, width: 70, classes: 600, linear: true, mean: true }, 64],
    ["a row at a time", { rows: 9, width: 33, classes: 257 }, 1],
  ] as [string, Head, number][])(
    "%s: equal to the composition in f64, the same bytes for 1, 2, 3 and 8 threads",
    async (_, head, chunkRows) => {
      const targets = Array.from({ length: head.rows }, (_, row) => (row % 5 === 3 ? -1 : (row * 37) % head.classes));
      const feeds = (dtype: "f32" | "f64") => ({
        x: numbers("x", [head.rows, head.width], dtype),
        weight: numbers("weight", weightShape(head), dtype),
        targets: fromNumbers("i32", [head.rows], targets),
      });
      const expected = runReference(apart(head, "f64"), feeds("f64"));
      const graph = joined(head, chunkRows);
      const made = graph.nodesOf("linearCrossEntropy").map(({ attrs }) => attrs.chunkRows as number);
      expect([made.length, graph.nodesOf("crossEntropy").length]).toEqual([1, 0]);
      expect(made[0]).toBeLessThanOrEqual(chunkRows);
      for (const isa of isas) {
        const runs = await Promise.all(
          [1, 2, 3, 8].map((threads) => runNative(graph, feeds("f32"), {}, nativeEngine(threads, isa))),
        );
        for (const [name, value] of Object.entries(expected)) {
          const wanted = fromNumbers("f32", value.shape, toNumbers(value));
          assertClose(runs[0]![name]!, wanted, { relative: 1e-5, scale: 1e-6, what: `${name} (${isa})` });
          expect(new Set(runs.map((run) => bytesOf(run[name]!))).size, `${name} (${isa})`).toBe(1);
        }
      }
    },
  );

  test("rows that are all ignored give zeros, and a class that does not exist is an error", async () => {
    const head = { rows: 6, width: 4, classes: 10 };
    const run = (target: number) =>
      runNative(joined(head, 2), {
        x: numbers("x", [6, 4]),
        weight: numbers("weight", [10, 4]),
        targets: fromNumbers("i32", [6], new Array<number>(6).fill(target)),
      });
    for (const array of Object.values(await run(-1))) expect(toNumbers(array).every((value) => value === 0)).toBe(true);
    await expect(run(10)).rejects.toMatchObject({ code: "run/index-out-of-range", got: "10" });
  });

  test.each([
    [37, 21, 131, 5],
    [64, 32, 256, 64],
  ])(
    "in mixed precision, %i rows of %i, %i classes: a rounding from the composition at most",
    async (rows, width, classes, chunkRows) => {
      const feeds = {
        x: numbers("x", [rows, width]),
        weight: numbers("weight", [classes, width]),
        targets: fromNumbers(
          "i32",
          [rows],
          Array.from({ length: rows }, (_, row) => (row % 5 === 3 ? -1 : row)),
        ),
        grad: numbers("grad", [rows]),
      };
      const graph = trace(feeds, ({ x, weight, targets, grad }) => {
        const inputs = [stored(x), stored(weight), targets, grad];
        const attrs = { ignoreIndex: -1, chunkRows, roundsGrad: true };
        const [loss, lse, dx, dw] = fusedMulti(allOps().get("linearCrossEntropy")!, inputs, attrs);
        return { loss: loss!, lse: lse!, dx: stored(dx!), dw: dw! };
      });
      const expected = runReference(graph, feeds);
      for (const isa of isas) {
        const runs = await Promise.all(
          [1, 2, 3].map((threads) => runNative(graph, feeds, {}, nativeEngine(threads, isa))),
        );
        for (const [name, value] of Object.entries(expected)) {
          // a gradient of a logit may be rounded to the other side
          const tolerance = name.startsWith("d")
            ? { scale: 2 ** -8, relative: 2 ** -7 }
            : { relative: 2e-6, scale: 2e-6 };
          assertClose(runs[0]![name]!, value, { ...tolerance, what: `${name} (${isa})` });
          expect(new Set(runs.map((run) => bytesOf(run[name]!))).size, `${name} (${isa})`).toBe(1);
        }
      }
    },
  );

  test("in mixed precision the gradient of the logits is rounded to bf16", async () => {
    // Without weights all 1024 logits are 0: each gradient is 2⁻¹⁰, less 1 at the target, where bf16 has −1.
    const [rows, width, classes] = [5, 3, 1024];
    const x = Array.from({ length: rows * width }, (_, i) => (i % 7) - 3);
    const targets = [0, 7, 1023, 7, -1];
    const feeds = {
      x: fromNumbers("f32", [rows, width], x),
      weight: fromNumbers("f32", [classes, width], new Array<number>(classes * width).fill(0)),
      targets: fromNumbers("i32", [rows], targets),
    };
    const graph = trace(feeds, ({ x, weight, targets }) => {
      const inputs = [stored(x), stored(weight), targets, targets.equal(targets).cast("f32")];
      const attrs = { ignoreIndex: -1, chunkRows: 2, roundsGrad: true };
      const results = fusedMulti(allOps().get("linearCrossEntropy")!, inputs, attrs);
      return { loss: results[0]!, dx: stored(results[2]!), dw: results[3]! };
    });
    const plan = compile(graph, nativeEngine()!.target);
    const { inputs, outputs } = plan.code.find(({ kernel }) => kernel === "linearCrossEntropy")!;
    const dtypes = (list: readonly number[]) => list.map((at) => plan.tensors[at]!.dtype).join(" ");
    expect([dtypes(inputs), dtypes(outputs)]).toEqual(["bf16 bf16 i32 f32", "f32 f32 bf16 f32"]);
    const expected = Array.from({ length: classes * width }, (_, i) => {
      const [row, column] = [Math.floor(i / width), i % width];
      return targets.reduce((sum, target, at) => {
        if (target < 0) return sum;
        return sum + x[at * width + column]! * (target === row ? -1 : 2 ** -10);
      }, 0);
    });
    for (const isa of isas) {
      const { loss, dx, dw } = await runNative(graph, feeds, {}, nativeEngine(2, isa));
      expect(toNumbers(dw!), isa).toEqual(Float64Array.from(expected));
      expect(toNumbers(dx!).every((value) => value === 0)).toBe(true);
      assertClose(
        loss!,
        fromNumbers(
          "f32",
          [rows],
          targets.map((target) => (target < 0 ? 0 : Math.log(classes))),
        ),
        {
          relative: 1e-6,
        },
      );
    }
  });
});

describe.skipIf(nativeEngine() === undefined)("memory", () => {
  const [rows, width, classes] = [8192, 768, 50304];
  const types = { x: { dtype: "f32", shape: [rows, width] }, targets: { dtype: "i32", shape: [rows] } } as const;

  test("of a language model's head with its gradients stays below 200 MiB, where the logits alone have 1572", () => {
    const graph = trace(types, ({ x, targets }) => {
      const weight = variable("weight", "f32", [classes, width]);
      const losses = crossEntropy(matmulOf(x, weight, false, true), targets, -1);
      const loss = losses.sum().div(targets.notEqual(-1).cast("f32").sum());
      const [dx, dw] = gradients([loss], [x, weight]);
      assign("grad", dw!);
      return { loss, dx: dx! };
    });
    for (const [storage, own] of [
      [{}, 0],
      [{ storage: "bf16" }, 2 * (rows + classes) * width], // operands in bf16
    ] as const) {
      const plan = compile(graph, nativeEngine()!.target, storage);
      const result = 4 * rows * width; // dx, which is an output
      const scratch = nativeEngine()!.workspaceBytes(plan);
      expect(scratch + plan.arenaBytes - result - own).toBeLessThan(200 * MiB);
    }
  });

  test("of its loss alone is that of a chunk", () => {
    const graph = trace(types, ({ x, targets }) =>
      crossEntropy(matmulOf(x, variable("weight", "f32", [classes, width]), false, true), targets, -1).sum(),
    );
    const plan = compile(graph, nativeEngine()!.target);
    expect(nativeEngine()!.workspaceBytes(plan) + plan.arenaBytes).toBeLessThan(200 * MiB);
  });
});
