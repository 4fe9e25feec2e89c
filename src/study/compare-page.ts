// A comparison of runs as one HTML page that is also XML: inline SVG and CSS, nothing fetched, no script.
import { formatCount, formatDuration } from "../base/index.ts";
import type { ComparedRun, Comparison, CurvePoint, Curves } from "./compare-runs.ts";
import { colours, escapeXml, formatFigure, linear, logarithmic, page, round, table } from "./page.ts";

const dashes = ["", "7 4", "2 4", "9 3 2 3"]; // beyond eight groups

const [width, height, left, right, top, bottom] = [560, 330, 58, 14, 12, 44];
const [plotWidth, plotHeight] = [width - left - right, height - top - bottom];

export function comparisonPage(comparison: Comparison): string {
  const { runs, groups, keys, unit, stepsPerPoint, problems } = comparison;
  const legend = groups.map(({ label, runs: own, loss, evalLoss }, at) => {
    const figures = [loss, evalLoss].map((figure, which) =>
      figure === undefined ? "" : `; ${which === 0 ? "loss" : "held-out"} ${formatInterval(figure)}`,
    );
    const text = `${label} — ${own.length === 1 ? "1 run" : `${own.length} seeds`}${figures.join("")}`;
    return `<li><svg class="key" viewBox="0 0 34 10" aria-hidden="true"><path class="mean g${at}" d="M2 5H32" /></svg> ${escapeXml(text)}</li>`;
  });
  const charts = (["training", "heldOut"] as const).flatMap((part) =>
    (["items", "seconds"] as const).map((x) => chart(comparison, part, x)),
  );
  const metrics = [...new Set(runs.flatMap((run) => Object.keys(run.metrics)))];
  const thinned = stepsPerPoint === 1 ? "" : ` Each point is the mean over ${stepsPerPoint} steps.`;
  const seeds = groups.some(({ runs: own }) => own.length > 1)
    ? " A thick line is the mean over seeds, as far as all of them go; the band is its 95 % interval (Student's t); thin lines are the runs."
    : "";
  const title = runs.length === 1 ? runs[0]!.name : `${runs.length} runs compared`;
  return page(
    title,
    style(groups.length),
    `<h1>${runs.length === 1 ? "One run" : `${runs.length} runs compared`}</h1>
<ul class="legend">
${legend.join("\n")}
</ul>
<p>${escapeXml(`One colour for each group of runs that differ only in their seed.${seeds}${thinned}`)}</p>
<div class="charts">
${charts.join("\n")}
</div>
<h2>Runs</h2>
${table(
  ["run", "status", "steps", unit, "time", "loss", "held-out loss", ...metrics],
  runs.map((run) => [...figuresOf(run), ...metrics.map((name) => formatFigure(run.metrics[name]))]),
)}
<h2>Settings in which they differ</h2>
${
  keys.length === 0
    ? "<p>None.</p>"
    : table(
        ["", ...keys],
        groups.map((group) => [
          group.runs.map((at) => runs[at]!.name).join(", "),
          ...keys.map((key) => [...new Set(group.runs.map((at) => runs[at]!.settings[key]))].join("; ")),
        ]),
      )
}
${problems.map(({ what, where, got }) => `<p class="problem">${escapeXml(`${where}: ${what} (${got})`)}</p>`).join("\n")}`,
  );
}

/** `1.234 ± 0.056`, the loss of a group. */
export function formatInterval({ mean, half }: { readonly mean: number; readonly half?: number }): string {
  return half === undefined ? formatFigure(mean) : `${formatFigure(mean)} ± ${formatFigure(half)}`;
}

/** Name, status, steps, items, time and losses, as in every table of runs. */
export function figuresOf({ name, status, steps, items, seconds, loss, evalLoss }: ComparedRun): string[] {
  const figures = [String(steps), formatCount(items), formatDuration(seconds)];
  return [name, status, ...figures, formatFigure(loss), formatFigure(evalLoss)];
}

function style(groups: number): string {
  return Array.from({ length: groups }, (_, at) => {
    const dash = dashes[Math.floor(at / colours.length) % dashes.length]!;
    return `.g${at} { --c: var(--c${at % colours.length});${dash === "" ? "" : ` stroke-dasharray: ${dash};`} }`;
  }).join("\n");
}

function chart({ runs, groups, unit }: Comparison, part: keyof Curves, x: "items" | "seconds"): string {
  const title = `${part === "training" ? "training" : "held-out"} loss against ${x === "items" ? unit : "seconds"}`;
  const all = runs.flatMap(({ curves }) => curves[part]).filter(({ loss }) => Number.isFinite(loss));
  if (all.length === 0) return `<figure><figcaption>${title}</figcaption><p>No figures.</p></figure>`;
  const xScale = linear(
    0,
    all.reduce((most, point) => Math.max(most, point[x]), 0),
  );
  // how a training begins is like a cliff beside the rest of it, and leaves the frame
  const end = all.reduce((last, { step }) => Math.max(last, step), 0);
  const framed = all.filter(({ step }) => step > end / 20);
  const [least, most] = framed.reduce(
    ([low, high], { loss }) => [Math.min(low, loss), Math.max(high, loss)],
    [Infinity, -Infinity],
  );
  const yScale = least > 0 && most > 10 * least ? logarithmic(least, most) : linear(least, most);
  const at = (point: CurvePoint, loss = point.loss): string => {
    const y = plotHeight * (1 - Math.min(3, Math.max(-3, yScale.place(loss)))); // a log of 0 or less lies far below
    return `${round(plotWidth * xScale.place(point[x]))} ${round(y)}`;
  };
  const drawn = groups.map((group, index) => {
    const curve = group.curves[part];
    const bands = pieces(curve, ({ half }) => half !== undefined && Number.isFinite(half)).map((piece) => {
      const upper = piece.map((point) => at(point, point.loss + point.half!));
      const lower = piece.map((point) => at(point, point.loss - point.half!)).reverse();
      return `<path class="band g${index}" d="M${[...upper, ...lower].join("L")}Z" />`;
    });
    const line = (kind: "mean" | "run", points: readonly CurvePoint[], name: string) => {
      const d = pieces(points, ({ loss }) => Number.isFinite(loss)).map(
        (piece) => `M${piece.map((point) => at(point)).join("L")}${piece.length === 1 ? "h0" : ""}`,
      );
      return `<path class="${kind} g${index}" d="${d.join("")}"><title>${escapeXml(name)}</title></path>`;
    };
    const members =
      group.runs.length === 1 ? [] : group.runs.map((one) => line("run", runs[one]!.curves[part], runs[one]!.name));
    return [...bands, ...members, line("mean", curve, group.label)].join("\n");
  });
  const down = yScale.ticks.map((tick) => {
    const y = round(top + plotHeight * (1 - yScale.place(tick)));
    return `<path class="grid" d="M${left} ${y}H${width - right}" /><text x="${left - 6}" y="${y + 4}" text-anchor="end">${Number(tick.toPrecision(6))}</text>`;
  });
  const along = xScale.ticks.map((tick) => {
    const label = x === "items" ? formatCount(tick).replace(".0 ", " ") : String(Number(tick.toPrecision(6)));
    const place = round(left + plotWidth * xScale.place(tick));
    return `<path class="grid" d="M${place} ${top}V${height - bottom}" /><text x="${place}" y="${height - bottom + 17}" text-anchor="middle">${label}</text>`;
  });
  return `<figure><figcaption>${title}</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
${[...down, ...along].join("\n")}
<text x="${left + plotWidth / 2}" y="${height - 6}" text-anchor="middle">${x === "items" ? unit : "seconds"}</text>
<svg x="${left}" y="${top}" width="${plotWidth}" height="${plotHeight}" overflow="hidden">
${drawn.join("\n")}
</svg>
</svg></figure>`;
}

/** The stretches of a curve that can be drawn. */
function pieces(points: readonly CurvePoint[], drawable: (point: CurvePoint) => boolean): CurvePoint[][] {
  const found: CurvePoint[][] = [];
  let open = false;
  for (const point of points) {
    if (drawable(point)) {
      if (!open) found.push([]);
      found.at(-1)!.push(point);
    }
    open = drawable(point);
  }
  return found;
}
