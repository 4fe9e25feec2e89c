// Runs side by side, as data: figures, the settings in which they differ, curves, and means over seeds. Draws and prints nothing.
import { join, resolve } from "node:path";
import { findRun, runStatus } from "../api/index.ts";
import { AthanorError, fail } from "../base/index.ts";
import { modelFamilies } from "../models/index.ts";
import { type Recipe, recipeSettings } from "../recipe/index.ts";
import { type Figures, metricsName, type Run, readMetrics, readRun } from "../track/index.ts";
import { type MeanInterval, meanInterval } from "./student.ts";

/** Of a run, or of the mean over runs at the same step: mean tokens or rows, mean seconds, mean loss. */
export interface CurvePoint {
  readonly step: number;
  readonly items: number;
  readonly seconds: number;
  readonly loss: number;
  /** Half the width of the 95 % interval of the mean, where there is more than one run. */
  readonly half?: number;
}

export interface Curves {
  /** Losses of the training steps, each point the mean over `stepsPerPoint` steps. */
  readonly training: readonly CurvePoint[];
  readonly heldOut: readonly CurvePoint[];
}

export interface ComparedRun {
  readonly folder: string;
  readonly name: string;
  readonly status: string;
  readonly steps: number;
  /** Tokens, or rows, seen. */
  readonly items: number;
  readonly seconds: number;
  readonly loss?: number;
  readonly evalLoss?: number;
  /** Of the last evaluation. */
  readonly metrics: Figures;
  /** Values, as JSON text, of the comparison's `keys`. */
  readonly settings: { readonly [key: string]: string };
  readonly curves: Curves;
}

/** Runs that differ only in their seed, and in their name. */
export interface RunGroup {
  readonly label: string;
  /** Positions in the comparison's runs. */
  readonly runs: readonly number[];
  /** Of the last losses, where every run has one. */
  readonly loss?: MeanInterval;
  readonly evalLoss?: MeanInterval;
  /** Means over the runs, at the steps that all of them have. */
  readonly curves: Curves;
}

export interface Comparison {
  readonly unit: "tokens" | "samples" | "tokens or samples";
  readonly stepsPerPoint: number;
  /** Settings in which the runs differ; the data's hash, where it differs, is `data (SHA-256)`. */
  readonly keys: readonly string[];
  readonly runs: readonly ComparedRun[];
  readonly groups: readonly RunGroup[];
  /** Logs that are damaged (`run/log-damaged`), unreadable (`run/log`) or without a step (`run/no-steps`): what could be read is compared. */
  readonly problems: readonly AthanorError[];
}

const pointsPerCurve = 100; // more are as rough as the batches, and drawn over each other

/** Reads and compares runs; one that is named twice counts once. Errors with `config/runs`, and as `findRun` and `readRun`. */
export async function compareRuns(folders: readonly string[]): Promise<Comparison> {
  if (folders.length === 0)
    fail("config/runs", "there is no run to compare", {
      where: "runs compare",
      expected: "the folder of at least one run",
      got: "none",
      fix: "name them: npx athanor runs compare runs/one runs/two",
    });
  const found = await Promise.all(folders.map(findRun));
  const runs: Run[] = [];
  for (const folder of new Map(found.map((path) => [resolve(path), path])).values()) runs.push(await readRun(folder));

  const problems: AthanorError[] = [];
  const logs = await Promise.all(runs.map(({ folder }) => readLog(folder, problems)));
  const stepsPerPoint = Math.max(1, Math.ceil(Math.max(...logs.map(({ steps }) => steps)) / pointsPerCurve));

  const settings = runs.map(({ record }) =>
    new Map(recipeSettings(record.recipe)).set("data (SHA-256)", record.dataHash.slice(0, 12)),
  );
  const all = new Set(settings.flatMap((own) => [...own.keys()]));
  const keys = [...all].filter((key) => settings.some((own) => own.get(key) !== settings[0]!.get(key)));
  const compared = await Promise.all(
    runs.map(async (run, at): Promise<ComparedRun> => {
      const { name, step, result } = run.record;
      const { training, heldOut, steps, items, seconds, metrics } = logs[at]!;
      const loss = result?.loss ?? training.at(-1)?.loss;
      const evalLoss = result?.evalLoss ?? heldOut.at(-1)?.loss;
      return {
        folder: run.folder,
        name,
        status: await runStatus(run),
        steps: Math.max(step, steps),
        items,
        seconds,
        ...(loss === undefined ? {} : { loss }),
        ...(evalLoss === undefined ? {} : { evalLoss }),
        metrics,
        settings: Object.fromEntries(keys.map((key) => [key, settings[at]!.get(key) ?? "(unset)"])),
        curves: { training: thin(training, stepsPerPoint), heldOut: thin(heldOut, stepsPerPoint) },
      };
    }),
  );
  const texts = runs.filter(readsText).length;
  const unit = texts === runs.length ? "tokens" : texts > 0 ? "tokens or samples" : "samples";
  return { unit, stepsPerPoint, keys, runs: compared, groups: groupRuns(compared, keys), problems };
}

/** Whether a run counts tokens: of a family that this version does not know nothing else is known. */
function readsText({ record }: Run): boolean {
  const [family = ""] = Object.keys((record.recipe as Partial<Recipe>).model ?? {});
  return modelFamilies.get(family)?.tasks.includes("language-model") ?? true;
}

async function readLog(folder: string, problems: AthanorError[]) {
  const training: CurvePoint[] = [];
  const heldOut: CurvePoint[] = [];
  const damaged: number[] = [];
  let [items, seconds, steps] = [0, 0, 0];
  let metrics: Figures = {};
  const where = join(folder, metricsName);
  const problem = (code: string, what: string, expected: string, got: string, fix: string) =>
    problems.push(new AthanorError(code, what, { where, expected, got, fix }));
  try {
    const onSkipped = (line: { number: number; torn: boolean }) => void (line.torn || damaged.push(line.number));
    for await (const event of readMetrics(folder, { onSkipped })) {
      ({ seconds } = event);
      if (event.type === "step") ({ step: steps, tokens: items } = event);
      if (event.type === "eval") metrics = event.metrics ?? {};
      if (event.type === "rollback") for (const curve of [training, heldOut]) dropAfter(curve, event.step);
      if (event.type === "step" || event.type === "eval")
        (event.type === "step" ? training : heldOut).push({ step: event.step, items, seconds, loss: event.loss });
    }
  } catch (error) {
    const got = error instanceof Error ? error.message : String(error);
    problem("run/log", "the log of a run cannot be read", "a file", got, "make it readable, or restore it from a copy");
    return { training, heldOut, steps, items, seconds, metrics };
  }
  if (damaged.length > 0) {
    const got = `line ${damaged.slice(0, 5).join(", ")}${damaged.length > 5 ? " and more" : ""}`;
    const what = `${damaged.length} damaged ${damaged.length === 1 ? "line" : "lines"} of a run's log left out`;
    problem("run/log-damaged", what, "one event a line", got, "restore the file from a copy, if there is one");
  }
  if (training.length === 0)
    problem(
      "run/no-steps",
      "the log of a run tells no step",
      "steps",
      "none",
      "wait for its first step, or leave it out",
    );
  return { training, heldOut, steps, items, seconds, metrics };
}

/** What a run that went back makes again. */
function dropAfter(curve: CurvePoint[], step: number): void {
  while ((curve.at(-1)?.step ?? 0) > step) curve.pop();
}

/** Means over windows of `width` steps; a point stands at the mean of its steps' places. */
function thin(points: readonly CurvePoint[], width: number): CurvePoint[] {
  if (width === 1) return [...points];
  const windows = new Map<number, CurvePoint[]>();
  for (const point of points) {
    const window = Math.ceil(point.step / width);
    const inside = windows.get(window);
    if (inside === undefined) windows.set(window, [point]);
    else inside.push(point);
  }
  return [...windows].map(([window, inside]) => ({ ...meanPoint(inside), step: window * width }));
}

function meanPoint(points: readonly CurvePoint[]): Omit<CurvePoint, "step" | "half"> {
  const mean = (of: (point: CurvePoint) => number) => points.reduce((sum, point) => sum + of(point), 0) / points.length;
  return { items: mean(({ items }) => items), seconds: mean(({ seconds }) => seconds), loss: mean(({ loss }) => loss) };
}

/** A run with a seed that its group has is no independent draw: it begins another group. */
function groupRuns(runs: readonly ComparedRun[], keys: readonly string[]): RunGroup[] {
  const names = keys.filter((key) => key !== "seed" && key !== "name");
  const groups: { key: string; seeds: Set<string | undefined>; runs: number[] }[] = [];
  for (const [at, { settings }] of runs.entries()) {
    const key = names.map((name) => `${name} = ${settings[name]}`).join(", ");
    const group = groups.find((one) => one.key === key && !one.seeds.has(settings.seed));
    if (group === undefined) groups.push({ key, seeds: new Set([settings.seed]), runs: [at] });
    else {
      group.seeds.add(settings.seed);
      group.runs.push(at);
    }
  }
  return groups.map(({ key, runs: own }) => {
    const members = own.map((at) => runs[at]!);
    const twins = groups.filter((group) => group.key === key).length > 1;
    const losses = members.flatMap(({ loss }) => loss ?? []);
    const evalLosses = members.flatMap(({ evalLoss }) => evalLoss ?? []);
    return {
      label: key === "" ? members[0]!.name : twins ? `${key} (${members[0]!.name})` : key,
      runs: own,
      ...(losses.length === own.length ? { loss: meanInterval(losses) } : {}),
      ...(evalLosses.length === own.length ? { evalLoss: meanInterval(evalLosses) } : {}),
      curves: {
        training: meanCurve(members.map(({ curves }) => curves.training)),
        heldOut: meanCurve(members.map(({ curves }) => curves.heldOut)),
      },
    };
  });
}

function meanCurve(curves: readonly (readonly CurvePoint[])[]): CurvePoint[] {
  const bySteps = curves.map((curve) => new Map(curve.map((point) => [point.step, point])));
  return curves[0]!.flatMap(({ step }) => {
    const points = bySteps.flatMap((points) => points.get(step) ?? []);
    if (points.length < curves.length) return [];
    const { half } = meanInterval(points.map(({ loss }) => loss));
    return [{ step, ...meanPoint(points), ...(half === undefined ? {} : { half }) }];
  });
}
