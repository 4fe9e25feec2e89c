// What the studies share: each variant over five seeds, judged by the same figures, as a table of means with 95 % intervals (Student's t).
// With --json the same as data. Knows no study.
import { meanInterval, RandomStream } from "athanor";

export const seeds = [1, 2, 3, 4, 5];

/** `count` rows of a seed and a name: `make(normal, row)` builds one from `normal(at)`, standard normal numbers with an address. */
export function draw(count, seed, name, make) {
  const stream = new RandomStream(seed, name);
  const rows = Array.from({ length: count }, (_, row) => make((at) => stream.normal(at, row), row));
  return { x: rows.map(({ x }) => x), y: rows.map(({ y }) => y) };
}

/** The one of `choices` with the lowest `figure` on seed 0, which no table has. */
export async function tuned(choices, figure) {
  const tried = [];
  for (const choice of choices) tried.push({ choice, value: await figure(choice, 0) });
  return tried.reduce((best, one) => (one.value < best.value ? one : best)).choice;
}

/**
 * Runs `variants`, name → (seed) → figures, and prints what comes out. The first figure is compared with that of the first variant, seed by
 * seed, so that what the seeds have in common falls out.
 */
export async function study(title, variants) {
  const rows = [];
  for (const [name, run] of Object.entries(variants)) {
    const runs = [];
    for (const seed of seeds) runs.push(await run(seed));
    const values = Object.fromEntries(Object.keys(runs[0]).map((figure) => [figure, runs.map((one) => one[figure])]));
    const [first] = Object.values(values);
    const base = rows[0] === undefined ? first : Object.values(rows[0].values)[0];
    const means = Object.fromEntries(Object.entries(values).map(([figure, list]) => [figure, interval(list)]));
    rows.push({ name, values, means, difference: interval(first.map((value, at) => value - base[at])) });
  }
  if (process.argv.includes("--json")) process.stdout.write(`${JSON.stringify({ title, seeds, rows })}\n`);
  else process.stdout.write(`${title}\n\n${table(rows)}\n`);
}

function interval(values) {
  return values.every(Number.isFinite)
    ? meanInterval(values)
    : { mean: Number.POSITIVE_INFINITY, count: values.length };
}

function table(rows) {
  const figures = Object.keys(rows[0].means);
  const head = ["", ...figures, `${figures[0]}, less ${rows[0].name}`];
  const lines = rows.map(({ name, means, difference }, at) => [
    name,
    ...figures.map((figure) => shown(means[figure])),
    at === 0 ? "" : shown(difference),
  ]);
  const widths = head.map((title, at) => Math.max(...[head, ...lines].map((line) => line[at].length), title.length));
  const line = (cells) => `| ${cells.map((cell, at) => cell.padEnd(widths[at])).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...lines.map(line)].join("\n");
}

function shown({ mean, half }) {
  if (!Number.isFinite(mean)) return "diverged";
  if (Number.isInteger(mean) && half < 1e-12) return String(mean);
  const short = (value) => (value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : value.toPrecision(3));
  return half < 1e-12 ? short(mean) : `${short(mean)} ± ${short(half)}`;
}
