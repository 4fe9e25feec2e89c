// The native codes of eight bits against the map that numpy wrote, by trying all of it, over twice the decades that it has.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { dense, engines, randomSource, runKernel } from "./native-harness.ts";

const { maps } = JSON.parse(readFileSync("test/golden/eight-bit.json", "utf8")) as {
  readonly maps: { readonly signed: number[]; readonly unsigned: number[] };
};
const closest = (map: readonly number[], x: number): number =>
  map.reduce((best, value, code) => (Math.abs(value - x) < Math.abs(map[best]! - x) ? code : best), 0);

describe.each(engines)("codes on $isa", ({ engine }) => {
  it.each(["signed", "unsigned"] as const)(
    "are the nearest of the %s map; above 0 without a sign is not 0",
    async (kind) => {
      const random = randomSource(8);
      const magnitudes = Array.from({ length: 3000 }, (_, at) =>
        at % 256 === 0 ? 1 : at % 7 === 0 ? 0 : Math.fround(10 ** random.uniform(-14, 0)),
      );
      const x = magnitudes.map((size) => (kind === "signed" && random.below(2) === 0 && size < 1 ? -size : size));
      const [codes, scales] = await runKernel(engine, {
        kernel: "quantizeBlocks",
        inputs: [dense("f32", [3000], x)],
        outputs: [dense("u8", [3000]), dense("f32", [12])],
        params: [Number(kind === "signed")],
      });
      expect(scales).toEqual(new Array(12).fill(1));
      const least = (value: number) => Number(kind === "unsigned" && value > 0);
      expect(codes).toEqual(x.map((value) => Math.max(least(value), closest(maps[kind], value))));
      const [back] = await runKernel(engine, {
        kernel: "dequantizeBlocks",
        inputs: [dense("u8", [3000], codes!), dense("f32", [12], scales!)],
        outputs: [dense("f32", [3000])],
        params: [Number(kind === "signed")],
      });
      expect(back!.map((value) => value + 0)).toEqual(codes!.map((code) => maps[kind][code]));
    },
  );
});
