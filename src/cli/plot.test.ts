// Drawings of schedules whose form is known: each dot of the text, each place of the SVG, and that it is XML.
import { expect, test } from "vitest";
import { clockOf, createBatchSizes, parseSchedule, type ScheduleInput, scheduleCurve } from "../optim/index.ts";
import { plotSvg, plotText } from "./plot.ts";

const onClock = clockOf(createBatchSizes(10), { itemsPerRow: 100, samplesPerEpoch: 40 });
const curveOf = (config: ScheduleInput, steps: number) =>
  scheduleCurve({ ...parseSchedule(config, { steps }), name: "learning rate" }, steps, onClock);

test("a fall to 0 over 12 steps is the diagonal of 12 × 12 dots", () => {
  expect(plotText(curveOf({ linear: { peak: 0.5, total: 11 } }, 12), 6, 3).slice(0, 4)).toEqual([
    "  5.00e-1 ┤⠑⢄",
    "  2.50e-1 ┤  ⠑⢄",
    "        0 ┤    ⠑⢄",
    "          └──────",
  ]);
});

test("a step to half at the middle: a level line, a wall, a level line; a constant is a line at the top", () => {
  const lines = plotText(curveOf({ piecewise: { values: [2, 1], boundaries: [32] } }, 64), 32, 3);
  expect(lines).toEqual([
    `        2 ┤${"⠉".repeat(15)}⠹⡀`, // the wall goes from dot column 31 to 32, three rows in each
    `        1 ┤${" ".repeat(16)}⠧${"⠤".repeat(15)}`,
    "        0 ┤",
    `          └${"─".repeat(32)}`,
    `     step  0${" ".repeat(14)}32${" ".repeat(13)}63`,
    `  samples  0${" ".repeat(14)}320${" ".repeat(11)}630`,
    `   tokens  0${" ".repeat(12)}32.0 k${" ".repeat(7)}63.0 k`,
  ]);
  expect(plotText(curveOf(0.1, 5))[0]).toBe(`  1.00e-1 ┤${"⠉".repeat(60)}`);
});

test("a run of one step and one of none are drawn", () => {
  for (const steps of [0, 1]) expect(plotText(curveOf(0.1, steps))[0]).toBe("  1.00e-1 ┤⠁");
});

/** The names of a text's elements in their order. Throws where a tag is not closed, or an attribute or a text not quoted. */
function elements(xml: string): string[] {
  const [open, names]: [string[], string[]] = [[], []];
  const rest = xml.replace(/<(\/?)([a-z]+)((?: [\w:-]+="[^"<]*")*)(\/?)>/gi, (_, end, name, _attributes, empty) => {
    if (end) expect(open.pop()).toBe(name);
    else names.push(name);
    if (!end && !empty) open.push(name);
    return "";
  });
  expect(open).toEqual([]);
  expect(rest.replace(/&(amp|lt|gt|quot);/g, "")).not.toMatch(/[<>&]/);
  return names;
}

test("samples are not told a second time as tokens", () => {
  const { points, ...curve } = curveOf({ cosine: { peak: 1 } }, 100);
  const table = { ...curve, points: points.map((point) => ({ ...point, tokens: point.samples })) };
  expect(plotText({ ...curve, points }).at(-1)).toContain("tokens");
  expect([plotText(table).join("\n"), plotSvg([table])].join()).not.toContain("tokens");
  expect(plotText(table).at(-1)).toContain("samples");
});

test("the SVG is XML that needs nothing else, in light and dark, with the curve and its boundaries", () => {
  const curve = curveOf({ cosine: { peak: 1, warmup: 25 } }, 101);
  const svg = plotSvg([{ ...curve, schedule: `a < b & "c"` }]);
  const names = elements(svg);
  expect(names[0]).toBe("svg");
  expect(names.filter((name) => name === "polyline")).toHaveLength(1);
  expect(svg).toContain("<title>learning rate: a &lt; b &amp; &quot;c&quot;</title>");
  expect(svg).toContain("prefers-color-scheme: dark");
  expect(svg).not.toMatch(/url\(|href|@import|<script/);
  const points = /<polyline [^>]*points="([^"]*)"/.exec(svg)![1]!.split(" ");
  expect(points[0]).toBe("80.0,260.0"); // the corner: step 0, rate 0
  expect(points).toContain("235.0,40.0"); // a quarter of the way, at the top
  expect(svg).toContain(
    `x1="235.0" x2="235.0" y1="40" y2="260"><title>warm-up ends: 25 steps, step 25, learning rate 1</title>`,
  );
  expect(svg).not.toContain("decay ends"); // at step 101, after the last
});
