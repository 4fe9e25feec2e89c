// The curves of a plan, of its learning rate and of what else changes, as braille text and as SVG. Both say the same; neither knows how
// a value comes about.
import { formatCount } from "../base/index.ts";
import type { CurvePoint, ScheduleCurve } from "../optim/index.ts";

/** A value in a few characters: `3.00e-4`, `0`, `512`. */
export function formatValue(value: number, digits = 2): string {
  if (value !== 0 && value < 1) return value.toExponential(digits);
  return value < 1e4 ? `${Number(value.toFixed(2))}` : formatCount(value);
}

type Axis = "step" | "samples" | "tokens";
/** Rows of a table hold no tokens: counting them is counting samples. */
const axesOf = (points: readonly CurvePoint[]): Axis[] =>
  points.every(({ samples, tokens }) => samples === tokens) ? ["step", "samples"] : ["step", "samples", "tokens"];

/** Where a curve lies: the largest value, 1 for a curve of zeros, and the last step, at least 1. */
function extent(points: readonly CurvePoint[]) {
  return { top: Math.max(...points.map(({ value }) => value)) || 1, last: Math.max(1, points.at(-1)!.step) };
}

/** What has been seen before the first, the middle and the last step. */
function ticks(points: readonly CurvePoint[], axis: Axis): string[] {
  const [first, last] = [points[0]!, points.at(-1)!];
  const middle = points.find(({ step }) => 2 * step >= last.step) ?? last;
  return [first, middle, last].map((point) => formatCount(point[axis]));
}

/** Bits of a braille cell by row and column: dots 1, 4; 2, 5; 3, 6; 7, 8 (Unicode, block U+2800). */
const dots = [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80] as const;

/** Lines of text: the curve from 0 up, `width` × `height` cells of 2 × 4 dots, with values on the left and the clock below. */
export function plotText({ points }: ScheduleCurve, width = 60, height = 11): string[] {
  const { top, last } = extent(points);
  const cells = Array.from({ length: height }, () => new Uint8Array(width));
  const placed = points.map(
    ({ step, value }) => [(step / last) * (2 * width - 1), (1 - value / top) * (4 * height - 1)] as const,
  );
  for (const [at, [x, y]] of placed.entries()) {
    const [toX, toY] = placed[at + 1] ?? [x, y];
    const count = Math.max(1, Math.ceil(Math.max(Math.abs(toX - x), Math.abs(toY - y))));
    for (let part = 0; part <= count; part++) {
      const column = Math.round(x + ((toX - x) * part) / count);
      const row = Math.round(y + ((toY - y) * part) / count);
      cells[row >> 2]![column >> 1]! |= dots[2 * (row & 3) + (column & 1)]!;
    }
  }
  const labels = new Map([
    [0, top],
    [(height - 1) / 2, top / 2],
    [height - 1, 0],
  ]);
  const drawn = cells.map((row, at) => {
    const label = labels.get(at);
    const text = [...row].map((bits) => (bits === 0 ? " " : String.fromCodePoint(0x2800 + bits))).join("");
    return `${(label === undefined ? "" : formatValue(label)).padStart(9)} ${label === undefined ? "│" : "┤"}${text}`.trimEnd();
  });
  const below = axesOf(points).map((axis) => {
    const [first, middle, end] = ticks(points, axis) as [string, string, string];
    const left = first.padEnd(Math.round((width - middle.length) / 2)) + middle;
    return `${axis.padStart(9)}  ${left}${end.padStart(width - left.length)}`;
  });
  return [...drawn, `${" ".repeat(10)}└${"─".repeat(width)}`, ...below];
}

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

const style = `
  svg { color-scheme: light dark; --ink: #1f2328; --faint: #d0d7de; --line: #0969da; --paper: #ffffff }
  @media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --faint: #3d444d; --line: #58a6ff; --paper: #0d1117 } }
  rect { fill: var(--paper) }
  text { fill: var(--ink); font: 12px system-ui, sans-serif }
  .axis { stroke: var(--faint) }
  .boundary { stroke: var(--ink); stroke-dasharray: 2 4; opacity: 0.5 }
  .curve { fill: none; stroke: var(--line); stroke-width: 2; stroke-linejoin: round }
`;

const panelHeight = 320;

/** A self-contained SVG of curves, one below the other, for light and dark pages, with boundaries as dashed lines that tell what they are. */
export function plotSvg(curves: readonly ScheduleCurve[]): string {
  const height = panelHeight * curves.length;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 ${height}" role="img">`,
    `<title>${escaped(curves.map(({ name, schedule }) => `${name}: ${schedule}`).join("; "))}</title>`,
    `<style>${style}</style>`,
    `<rect width="720" height="${height}"/>`,
    ...curves.flatMap((curve, at) => [`<g transform="translate(0 ${panelHeight * at})">`, ...panel(curve), "</g>"]),
    "</svg>\n",
  ].join("\n");
}

function panel({ name, points, boundaries, schedule }: ScheduleCurve): string[] {
  const { top, last } = extent(points);
  const [left, right, above, bottom] = [80, 700, 40, 260];
  const x = (step: number) => (left + ((right - left) * step) / last).toFixed(1);
  const y = (rate: number) => (bottom - ((bottom - above) * rate) / top).toFixed(1);
  const rates = [0, top / 2, top].map(
    (rate) =>
      `<line class="axis" x1="${left}" x2="${right}" y1="${y(rate)}" y2="${y(rate)}"/>` +
      `<text x="${left - 8}" y="${y(rate)}" dy="4" text-anchor="end">${formatValue(rate)}</text>`,
  );
  const clock = axesOf(points).flatMap((axis, row) => [
    `<text x="${left - 16}" y="${bottom + 20 + 18 * row}" text-anchor="end">${axis}</text>`,
    ...ticks(points, axis).map(
      (text, at) =>
        `<text x="${x((last * at) / 2)}" y="${bottom + 20 + 18 * row}" text-anchor="${["start", "middle", "end"][at]}">${text}</text>`,
    ),
  ]);
  const marks = boundaries.flatMap(({ what, position, unit, point }) =>
    point === null || point.step > last
      ? []
      : [
          `<line class="boundary" x1="${x(point.step)}" x2="${x(point.step)}" y1="${above}" y2="${bottom}">` +
            `<title>${escaped(`${what}: ${position} ${unit}, step ${point.step}, ${name} ${point.value}`)}</title></line>`,
        ],
  );
  return [
    `<text x="${left}" y="24">${escaped(`${name}: ${schedule}`)}</text>`,
    ...rates,
    ...clock,
    ...marks,
    `<polyline class="curve" points="${points.map(({ step, value }) => `${x(step)},${y(value)}`).join(" ")}"/>`,
  ];
}
