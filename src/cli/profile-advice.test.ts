// Advice from made-up figures: that each fact leads to its own advice. The figures' meaning is tested beside `engine`.
import { expect, test } from "vitest";
import type { MachineLimits, TimedInstruction } from "../engine/index.ts";
import type { StepProfile } from "../study/index.ts";
import { adviceFor } from "./profile-advice.ts";
import { renderAdvice, renderOps } from "./profile-table.ts";

/** 100 GFLOPS, 10 GB/s, 1 µs to start. */
const limits: MachineLimits = {
  flopsPerSecond: 1e11,
  dispatchSeconds: 1e-6,
  bandwidths: [{ bytes: 1, bytesPerSecond: 1e10 }],
};

interface Given {
  readonly op: string;
  readonly ms: number;
  readonly flops?: number;
  readonly bytes?: number;
  readonly program?: string;
  readonly layer?: string;
  readonly writesVariable?: boolean;
  readonly shapes?: readonly (readonly number[])[];
  readonly attrs?: TimedInstruction["instruction"]["attrs"];
}

function instruction({ op, ms, flops = 0, bytes = 0, attrs = {}, shapes = [], ...rest }: Given): TimedInstruction {
  const { program = "accumulate", layer = "h.0", writesVariable = false } = rest;
  const floorMs = Math.max(flops / 1e8, bytes / 1e7);
  const code = { kernel: op, inputs: [], outputs: [], params: [], attrs, node: 0, commit: false };
  const work = `${op} ${JSON.stringify(shapes)}`;
  return {
    program,
    op,
    layer,
    text: op,
    work,
    shapes,
    instruction: code,
    writesVariable,
    calls: 1,
    ms,
    flops,
    bytes,
    floorMs,
  };
}

function profileOf(given: readonly Given[], rest: Partial<StepProfile> = {}): StepProfile {
  const engine = { name: "native", isa: "avx2", threads: 4096 } as const;
  const times = { steps: 5, msPerStep: 20, dataMs: 0, instructionMs: 19, aroundMs: 1 };
  return { engine, ...times, limits, ops: [], layers: [], instructions: given.map(instruction), runs: [], ...rest };
}

const product = (rows: number, inner: number, columns: number, ms: number): Given => {
  const shapes = [
    [rows, inner],
    [inner, columns],
  ];
  return { op: "matmul", ms, flops: 2 * rows * inner * columns, bytes: 1, shapes };
};

/** The gradient of a weight: the batch is what it sums over. */
const transposed: Given = {
  ...{ op: "matmul", ms: 1, flops: 2 * 512 * 8 * 512, attrs: { transposeA: true } },
  shapes: [
    [8, 512],
    [8, 512],
  ],
};

test.each<[string, Given, RegExp]>([
  ["few rows", product(8, 512, 512, 1), /only 8 rows of the batch \(8×512 by 512×512\), 4 % of peak: a larger batch/],
  ["few rows, transposed", transposed, /only 8 rows of the batch \(512×8 by 8×512\)/],
  ["narrow", product(512, 512, 10, 1), /narrow product .* more rows do not help/],
  ["large, near", product(1024, 1024, 1024, 22), /near the machine's limit, 98 % of peak: only less work/],
  ["large, far", product(1024, 1024, 1024, 44), /49 % of peak: no setting of a recipe helps/],
  [
    "small",
    { op: "tape", ms: 0.004, bytes: 100 },
    /small: 4\.0 µs a call, of which starting .* 1\.0 µs: a larger batch/,
  ],
  ["small, update", { op: "tape", ms: 0.004, bytes: 100, program: "update" }, /runs once a step whatever the batch/],
  [
    "update",
    { op: "adamw", ms: 5, bytes: 1e7, program: "update" },
    /a larger batch needs it less often; bound by memory, at 5\.0×/,
  ],
  [
    "memory, near",
    { op: "tape", ms: 1.1, bytes: 1e7 },
    /runs at the speed of memory; its bytes grow with the batch.*bf16/,
  ],
  ["memory, far", { op: "tape", ms: 4, bytes: 1e7 }, /bound by memory, at 4\.0× its floor/],
  ["dropout", { op: "dropout", ms: 4, bytes: 1e7 }, /dropout 0 saves it/],
  ["attention", { op: "attention", ms: 4, flops: 1e8 }, /25 % of the peak .* shorter context has fewer pairs$/],
  [
    "attention with dropout",
    { op: "attentionGrad", ms: 4, flops: 1e8, attrs: { dropoutStream: "h.0" } },
    /fewer pairs; dropout 0 saves/,
  ],
  ["copy", { op: "copy", ms: 4, bytes: 1e7 }, /no setting of a recipe takes it away/],
  ["lookup", { op: "take", ms: 4, bytes: 1e7 }, /a smaller vocabulary/],
  ["computing", { op: "softmax", ms: 4, flops: 1e8 }, /computes, at 25 % .* larger batch does not help/],
])("%s", (_, given, expected) => {
  const { overall, instructions } = adviceFor(profileOf([given]));
  expect(overall).toEqual([]);
  expect(instructions.map(({ text }) => text)).toEqual([expect.stringMatching(expected)]);
});

test("the three that lose most come first, the same work of all layers as one; what is at its floor is left out", () => {
  const { instructions } = adviceFor(
    profileOf([
      { op: "a", ms: 3, bytes: 1e7 },
      { op: "b", ms: 2, bytes: 1e7, layer: "h.0" },
      { op: "b", ms: 2.5, bytes: 1e7, layer: "h.1" },
      { op: "c", ms: 9, bytes: 9e7 },
      { op: "d", ms: 1.5, bytes: 1e7 },
      { op: "e", ms: 1.2, bytes: 1e7 },
    ]),
  );
  expect(instructions.map(({ work, lostMs, layers }) => [work, lostMs, layers])).toEqual([
    ["b []", 2.5, ["h.0", "h.1"]],
    ["a []", 2, ["h.0"]],
    ["d []", 0.5, ["h.0"]],
  ]);
});

test("what holds for the whole step is said before", () => {
  const reference = { engine: { name: "reference", isa: "javascript", threads: 1 } } as const;
  const slow = profileOf([{ op: "sum", ms: 3, bytes: 1e3 }], reference);
  expect(adviceFor(slow)).toEqual({ overall: [expect.stringContaining("engine build")], instructions: [] });
  const around = adviceFor(profileOf([], { instructionMs: 1, aroundMs: 2, msPerStep: 3, dataMs: 1.5 })).overall;
  expect(around).toEqual([
    expect.stringContaining("around its instructions"),
    expect.stringContaining("waits 1.50 ms"),
  ]);
  const single = adviceFor(profileOf([], { engine: { name: "native", isa: "avx2", threads: 0.5 } })).overall;
  expect(single).toEqual([expect.stringContaining("engine.threads auto")]);
});

test("what other programs took is told as such", () => {
  expect(renderOps(profileOf([], { msPerStep: 30 }))).toContain("the rest went to other programs");
  expect(renderOps(profileOf([]))).not.toContain("other programs");
  expect(renderAdvice(profileOf([{ op: "tape", ms: 4, bytes: 1e7 }]))).toContain("h.0: 1 call, 4.00 ms, 3.00 above");
});
