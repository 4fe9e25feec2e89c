// Spaces and the samplers without a model: what is read from text, what is refused, and that draws are even.
import { describe, expect, test } from "vitest";
import { gridSampler, randomSampler } from "./sampler.ts";
import { changesOf, parseOver, parseSpace, placeOf, valueAt } from "./space.ts";

test("domains are read from text and from lists", () => {
  const space = parseSpace({
    a: "log:1e-4..1e-1",
    b: "64,128,256",
    c: "16..64",
    d: "0.0..0.5",
    e: "[32],[64,64]",
    f: [true, null, "cosine"],
    g: "-1..2.5",
  });
  expect(Object.fromEntries(space)).toEqual({
    a: { kind: "range", low: 1e-4, high: 0.1, log: true, whole: false },
    b: { kind: "choice", values: [64, 128, 256] },
    c: { kind: "range", low: 16, high: 64, log: false, whole: true },
    d: { kind: "range", low: 0, high: 0.5, log: false, whole: false },
    e: { kind: "choice", values: [[32], [64, 64]] },
    f: { kind: "choice", values: [true, null, "cosine"] },
    g: { kind: "range", low: -1, high: 2.5, log: false, whole: false },
  });
  expect(parseOver("data.path=a=b.csv,c.csv")).toEqual(["data.path", "a=b.csv,c.csv"]);
  expect(changesOf({ "optimizer.adamw.lr": 1e-7, "model.mlp.hidden": [64, 64] })).toEqual([
    "optimizer.adamw.lr=1e-7",
    "model.mlp.hidden=[64,64]",
  ]);
});

test.each([
  [{ a: "3..1" }, "a range has its lower end first", "3..1"],
  [{ a: "log:0..1" }, "even in the logarithm lies above 0", "log:0..1"],
  [{ a: [] }, "no values to try", "[]"],
  [{ a: 5 }, "no values to try", "5"],
  [{ a: "[1" }, "no values to try", '"[1"'],
  [{ a: "1,2,1" }, "stands there twice", "1, 2, 1"],
  [{}, "nothing to try", "none"],
])("%j is refused", (over, what, got) => {
  let error: unknown;
  try {
    parseSpace(over);
  } catch (caught) {
    error = caught;
  }
  expect(error).toMatchObject({ code: "config/over", got, expected: expect.stringContaining("log:1e-4..1e-1") });
  expect(String(error)).toContain(what);
});

test("--over without values is refused", () => {
  for (const text of ["a", "a=", "=1,2"]) expect(() => parseOver(text)).toThrow("not a setting and its values");
});

test("values are rounded to what matters, and stay inside", () => {
  const { a, b, c } = Object.fromEntries(parseSpace({ a: "log:1e-4..1e-1", b: "0.0..0.5", c: "log:8..64" }));
  expect(valueAt(a!, Math.log(0.00312345678))).toBe(0.003123);
  expect(valueAt(b!, 0.123456789)).toBe(0.12346);
  expect([valueAt(b!, -1e-9), valueAt(b!, 0.50001)]).toEqual([0, 0.5]);
  expect([valueAt(c!, Math.log(7.6)), valueAt(c!, Math.log(64.499)), valueAt(c!, Math.log(20.4))]).toEqual([8, 64, 20]);
  for (const domain of [a!, b!, c!])
    expect(valueAt(domain, placeOf(domain, valueAt(domain, 0.3)))).toBe(valueAt(domain, 0.3));
});

test("a grid has every combination once, the last setting fastest", () => {
  const { size, suggest } = gridSampler(parseSpace({ a: "x,y", b: "1..3" }));
  expect(size).toBe(6);
  expect(Array.from({ length: 6 }, (_, trial) => Object.values(suggest(trial, [])).join(""))).toEqual([
    ..."123".split("").map((b) => `x${b}`),
    ..."123".split("").map((b) => `y${b}`),
  ]);
});

test.each([
  [{ a: "0.0..1.0" }, "a range has too many", "0..1"],
  [{ a: "log:8..64" }, "a range has too many", "log:8..64"],
  [{ a: "1..200", b: "1..200" }, "too many points", "40000"],
])("a grid over %j is refused", (over, what, got) => {
  const make = () => gridSampler(parseSpace(over));
  expect(make).toThrow(what);
  expect(make).toThrow(got);
});

describe("random draws", () => {
  const space = parseSpace({ rate: "log:1e-4..1.0", width: "1..4", kind: "a,b,c" });
  const points = Array.from({ length: 4000 }, (_, trial) => randomSampler(space, 5).suggest(trial, []));
  const share = (holds: (point: (typeof points)[number]) => boolean) => points.filter(holds).length / points.length;

  test("are even over the logarithm, over whole numbers with both ends, and over choices", () => {
    const close = (found: number, expected: number) =>
      expect(Math.abs(found - expected)).toBeLessThan(4 * Math.sqrt((expected * (1 - expected)) / points.length));
    for (const [bound, expected] of [
      [1e-3, 0.25],
      [1e-2, 0.5],
      [1e-1, 0.75],
    ] as const)
      close(
        share(({ rate }) => Number(rate) < bound),
        expected,
      );
    for (const width of [1, 2, 3, 4])
      close(
        share((point) => point.width === width),
        0.25,
      );
    for (const kind of ["a", "b", "c"])
      close(
        share((point) => point.kind === kind),
        1 / 3,
      );
    close(
      share(({ rate, kind }) => Number(rate) < 1e-2 && kind === "a"),
      1 / 6,
    ); // settings are drawn apart
  });

  test("depend on the seed and the trial alone", () => {
    expect(randomSampler(space, 5).suggest(7, [])).toEqual(points[7]);
    expect(randomSampler(space, 6).suggest(7, [])).not.toEqual(points[7]);
  });
});
