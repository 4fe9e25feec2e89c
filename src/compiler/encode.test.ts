// The plan's encoding, read back word by word with BigInt: another path than the writer's.
import { describe, expect, it } from "vitest";
import { encodePlan } from "./encode.ts";
import type { Plan } from "./plan.ts";

const small: Plan = {
  tensors: [
    { space: "feed", index: 0, offset: 0, dtype: "f32", shape: [2, 3], strides: [3, 1] },
    { space: "arena", index: 0, offset: 5 * 2 ** 32 + 64, dtype: "bool", shape: [], strides: [], step: -64 },
  ],
  loops: [{ first: 1, count: 2, turns: 5 }],
  code: [
    { kernel: "fill", inputs: [], outputs: [1], params: [0.5, -1e300], node: 7, attrs: {}, commit: false },
    { kernel: "copy", inputs: [0], outputs: [1], params: [], node: 2 ** 40, attrs: {}, commit: true },
    { kernel: "fill", inputs: [], outputs: [1], params: [Number.NaN], node: 9, attrs: {}, commit: false },
  ],
  arenaBytes: 6 * 2 ** 32,
  constants: new Uint8Array([1, 2, 3]),
  variables: [{ name: "w", dtype: "i32", shape: [4] }],
  feeds: [{ name: "x", dtype: "f32", shape: [2, 3] }],
  outputs: [{ name: "y", tensor: 1 }],
  guard: -1,
  nodes: [],
};

describe("encodePlan", () => {
  const encoded = encodePlan(small);
  const words = [...new BigInt64Array(encoded.bytes)];

  it("writes the header, with an arena past 4 GiB and a negative guard", () => {
    expect(words.slice(0, 16)).toEqual([
      0x4154484en,
      1n,
      2n,
      3n,
      4n,
      3n,
      6n << 32n,
      3n,
      1n,
      1n,
      1n,
      -1n,
      1n,
      0n,
      0n,
      0n,
    ]);
  });

  it("writes tensors with 64-bit offsets", () => {
    const second = words.slice(16 + 22, 16 + 44);
    expect(second.slice(0, 6)).toEqual([0n, 0n, (5n << 32n) + 64n, 7n, 0n, -64n]);
    const first = words.slice(16, 16 + 22);
    expect(first).toEqual([2n, 0n, 0n, 1n, 2n, 0n, 2n, 3n, ...Array(6).fill(0n), 3n, 1n, ...Array(6).fill(0n)]);
  });

  it("shares kernel names and numbers operands and parameters in order", () => {
    const code = words.slice(60, 60 + 24);
    expect(encoded.kernelNames).toEqual(["fill", "copy"]);
    expect(code).toEqual([
      ...[0n, 0n, 0n, 0n, 1n, 0n, 2n, 14n],
      ...[1n, 1n, 1n, 2n, 1n, 2n, 0n, ((2n ** 40n) << 1n) | 1n],
      ...[0n, 3n, 0n, 3n, 1n, 2n, 1n, 18n],
    ]);
    expect(words.slice(84, 88)).toEqual([1n, 0n, 1n, 1n]);
    expect([...new Float64Array(encoded.bytes, 88 * 8, 3)]).toEqual([0.5, -1e300, Number.NaN]);
  });

  it("ends with outputs, signatures, loops and padded constants", () => {
    expect(words[91]).toBe(1n);
    expect(words.slice(92, 95)).toEqual([5n, 1n, 4n]);
    expect(words.slice(102, 106)).toEqual([1n, 2n, 2n, 3n]);
    expect(words.slice(112, 115)).toEqual([1n, 2n, 5n]);
    expect([...new Uint8Array(encoded.bytes, 115 * 8)]).toEqual([1, 2, 3, 0, 0, 0, 0, 0]);
    expect(encoded.variableNames).toEqual(["w"]);
    expect(encoded.feedNames).toEqual(["x"]);
  });

  it("refuses what no word can hold", () => {
    expect(() => encodePlan({ ...small, arenaBytes: 0.5 })).toThrow(RangeError);
    expect(() => encodePlan({ ...small, arenaBytes: 2 ** 60 })).toThrow(RangeError);
  });
});
