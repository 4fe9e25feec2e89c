// A search as one HTML page: the trials as lines across their settings, how much each setting mattered, and all in a table.
import { formatDuration, shellWord } from "../../base/index.ts";
import { escapeXml, linear, logarithmic, page, round, type Scale, table } from "../page.ts";
import { type Importances, importances } from "./importance.ts";
import type { Search } from "./plan.ts";
import { changesOf, type Domain, placeOf, type SettingValue } from "./space.ts";
import { costAt, leader, rankTrials, stepOf, type Trial } from "./trials.ts";

const [gap, height, top, bottom, side] = [150, 300, 34, 12, 70];

const style = `.trial { fill: none; stroke: var(--c0); stroke-width: 1.3; } .best { fill: none; stroke: var(--c1); stroke-width: 3; }
.failed { fill: none; stroke: var(--c7); stroke-dasharray: 4 4; opacity: 0.5; } .axis { stroke: var(--text); }
.bar { fill: var(--c0); } .chance { stroke: var(--c1); stroke-width: 2; } pre { white-space: pre-wrap; }`;

export function searchPage(
  { plan, space, goal }: Pick<Search, "plan" | "space" | "goal">,
  trials: readonly Trial[],
): string {
  const best = leader(trials, goal);
  const rows = rankTrials(trials, goal).map((trial) => rowOf(trial, [...space.keys()]));
  const changes = [...plan.set, ...(best === undefined ? [] : changesOf(best.point))];
  const command = `npx athanor train ${shellWord(plan.recipe)}${changes.map((change) => ` --set ${shellWord(change)}`).join("")}`;
  const found = importances(space, trials, goal);
  return page(
    `search over ${[...space.keys()].join(", ")}`,
    style,
    `<h1>Search: ${trials.length} trials</h1>
<p>${escapeXml(`${plan.sampler} sampler, scheduler ${plan.scheduler}, seed ${plan.seed}; judged by held-out ${plan.metric}, ${goal === "min" ? "less" : "more"} is better.`)}</p>
${best === undefined ? "" : `<p>Best: trial ${best.trial}, ${escapeXml(plan.metric)} ${figure(best.reports.at(-1)!.value)} after ${stepOf(best)} steps.</p><pre>${escapeXml(command)}</pre>`}
<h2>Trials across their settings</h2>
${lines(trials, space, best, plan.metric, goal)}
<h2>How much each setting mattered</h2>
${found === undefined ? "<p>Too few trials to tell.</p>" : bars(found)}
<h2>Trials</h2>
${table(["trial", "state", "from", "steps", plan.metric, "time", ...space.keys()], rows)}`,
  );
}

function rowOf({ trial, failure, parent, reports, point }: Trial, keys: readonly string[]): string[] {
  const { step = 0, value, seconds = 0 } = reports.at(-1) ?? {};
  return [
    String(trial),
    failure === undefined ? "" : `failed: ${failure.message}`,
    parent === undefined ? "" : `trial ${parent.trial} at step ${parent.step}`,
    String(step),
    value === undefined ? "" : figure(value),
    formatDuration(seconds),
    ...keys.map((key) => JSON.stringify(point[key])),
  ];
}

const figure = (value: number): string => String(Number(value.toPrecision(5)));

/** Parallel coordinates: an axis for each setting and one for the figure at the first comparison, the better end on top. */
function lines(
  trials: readonly Trial[],
  space: Search["space"],
  best: Trial | undefined,
  metric: string,
  goal: Search["goal"],
): string {
  const step = Math.min(...trials.map(({ reports }) => reports[0]?.step ?? Number.POSITIVE_INFINITY));
  const judged = trials.filter((trial) => !Number.isNaN(costAt(trial, step, goal)));
  if (judged.length === 0) return "<p>No figures.</p>";
  const costs = judged.map((trial) => costAt(trial, step, goal)).sort((a, b) => a - b);
  const worth = linear(costs[0]!, costs.at(-1)!);
  const axes = [...space].map(([key, domain]) => ({
    title: key.split(".").slice(-2).join("."),
    ...axisOf(domain),
    key,
  }));
  const x = (at: number) => side + at * gap;
  const y = (share: number) => round(top + (height - top - bottom) * (1 - share));
  const drawn = [...trials].reverse().map((trial) => {
    const cost = costAt(trial, step, goal);
    const places = axes.map(({ key, place }, at) => `${x(at)} ${y(place(trial.point[key]!))}`);
    const end = Number.isNaN(cost) ? [] : [`${x(axes.length)} ${y(1 - worth.place(cost))}`];
    const rank = costs.indexOf(cost) / costs.length;
    const look =
      trial === best
        ? 'class="best"'
        : Number.isNaN(cost)
          ? 'class="failed"'
          : `class="trial" opacity="${(0.85 - 0.7 * rank).toFixed(2)}"`;
    const title = `trial ${trial.trial}: ${changesOf(trial.point).join(" ")}`;
    return {
      isBest: trial === best,
      text: `<path ${look} d="M${[...places, ...end].join("L")}"><title>${escapeXml(title)}</title></path>`,
    };
  });
  drawn.sort((a, b) => Number(a.isBest) - Number(b.isBest)); // the best on top
  const values = {
    title: `${metric}, step ${step}`,
    ticks: worth.ticks.map((tick) => [1 - worth.place(tick), figure(goal === "min" ? tick : -tick)] as const),
  };
  const scales = [...axes, values].map(({ title, ticks }, at) => {
    const labels = ticks.map(
      ([share, label]) => `<text x="${x(at) - 6}" y="${y(share) + 4}" text-anchor="end">${escapeXml(label)}</text>`,
    );
    return `<path class="axis" d="M${x(at)} ${top}V${height - bottom}" /><text x="${x(at)}" y="${top - 16}" text-anchor="middle">${escapeXml(title)}</text>${labels.join("")}`;
  });
  const label = "trials as lines across the axes of their settings";
  return `<p>Each line is a trial, the stronger the better; the thick one is the best at the end, dashed ones failed before step ${step}.</p>
<div class="wide"><svg viewBox="0 0 ${x(axes.length) + side} ${height}" width="${x(axes.length) + side}" role="img" aria-label="${label}">
${[...drawn.map(({ text }) => text), ...scales].join("\n")}
</svg></div>`;
}

interface Axis {
  /** 0 at the lower end, 1 at the upper. */
  place(value: SettingValue): number;
  readonly ticks: readonly (readonly [share: number, label: string])[];
}

function axisOf(domain: Domain): Axis {
  if (domain.kind === "choice") {
    const share = (at: number) => (domain.values.length === 1 ? 0.5 : at / (domain.values.length - 1));
    return {
      place: (value) => share(placeOf(domain, value)),
      ticks: domain.values.map((value, at) => [share(at), typeof value === "string" ? value : JSON.stringify(value)]),
    };
  }
  const { low, high, log } = domain;
  const scale: Scale = log ? logarithmic(low, high) : linear(low, high);
  return {
    place: (value) => scale.place(Number(value)),
    ticks: scale.ticks.map((tick) => [scale.place(tick), String(Number(tick.toPrecision(6)))]),
  };
}

function bars({ step, trials, settings }: Importances): string {
  const [left, width, line] = [260, 300, 26];
  const rows = settings.map(({ key, share, chance }, at) => {
    const y = at * line;
    return `<text x="${left - 8}" y="${y + 17}" text-anchor="end">${escapeXml(key)}</text><rect class="bar" x="${left}" y="${y + 5}" width="${round(width * share)}" height="16" /><path class="chance" d="M${round(left + width * chance)} ${y + 2}V${y + 24}" /><text x="${left + width + 12}" y="${y + 17}">${(100 * share).toFixed(0)} % (chance: up to ${(100 * chance).toFixed(0)} %)</text>`;
  });
  return `<p>Share of the variance of the ranks of ${trials} trials at step ${step} that lies between groups of like values (Kruskal and Wallis,
each setting by itself; ranges in quarters). The mark is what chance alone stays below in 95 of 100 shuffles: a bar that does not
pass it tells nothing.</p>
<div class="wide"><svg viewBox="0 0 ${left + width + 200} ${settings.length * line}" width="${left + width + 200}" role="img" aria-label="importance of settings">
${rows.join("\n")}
</svg></div>`;
}
