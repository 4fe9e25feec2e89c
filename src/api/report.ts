// The report of a run: six steps from data to a trained model, then evaluation and deployment, each with what went in, what came out and
// how long it took. Written beside the run's record, as JSON and for people; nothing reads it back.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { byteSize, formatBytes, formatCount, formatDuration, shellWord, sizeOf } from "../base/index.ts";
import type { Prepared } from "../recipe/index.ts";
import type { Evaluation, Forecast, StepPrograms } from "../train/index.ts";

export const stageNames = [
  "preprocess",
  "model",
  "init",
  "loss",
  "optimizer",
  "iterate",
  "evaluation",
  "deployment",
] as const;
export type StageName = (typeof stageNames)[number];

export interface Stage {
  readonly name: StageName;
  readonly inputs: string;
  readonly outputs: string;
  readonly seconds: number;
}

export interface RunReport {
  readonly run: string;
  readonly stages: readonly Stage[];
}

/** Seconds by stage. What is timed inside of another stage is not that one's. */
export class StageTimes {
  private readonly spent = new Map<StageName, number>();
  private counted = 0;

  of(stage: StageName): number {
    return this.spent.get(stage) ?? 0;
  }

  add(stage: StageName, seconds: number): void {
    this.spent.set(stage, this.of(stage) + seconds);
    this.counted += seconds;
  }

  time<T>(stage: StageName, work: () => T): T {
    const [started, before] = [performance.now(), this.counted];
    const end = () => this.add(stage, (performance.now() - started) / 1000 - (this.counted - before));
    const result = work();
    if (result instanceof Promise) return result.finally(end) as T;
    end();
    return result;
  }

  /** The same batches; from asking for the first to the end of the last is the stage's time. */
  async *each<B>(stage: StageName, batches: AsyncIterable<B>): AsyncGenerator<B> {
    const started = performance.now();
    try {
      yield* batches;
    } finally {
      this.add(stage, (performance.now() - started) / 1000);
    }
  }
}

/** What a report tells of, beside the times. */
export interface ReportFacts {
  readonly folder: string;
  readonly prepared: Prepared;
  readonly programs: StepPrograms;
  readonly planned: Forecast;
  /** On the first held-out batch, before the first step; undefined where nothing is evaluated. */
  readonly startLoss: number | undefined;
  readonly steps: { readonly from: number; readonly to: number };
  readonly samples: number;
  readonly firstLoss: number;
  readonly lastLoss: number;
  readonly evaluation: Evaluation | undefined;
  readonly hash: string;
  readonly times: StageTimes;
}

/** The loss of the model on its first held-out batch as it is now. */
export async function lossBefore({ heldOut, description, recipe }: Prepared, programs: StepPrograms) {
  if (recipe.eval.every === 0) return undefined;
  for await (const batch of heldOut()) {
    const { sum = 0, count = 0 } = await programs.evaluate(batch);
    return (sum / count) * (description.task.units?.loss ?? 1);
  }
  return undefined;
}

const figure = (value: number) => (Number.isFinite(value) ? String(Number(value.toPrecision(5))) : String(value));
const plain = (value: unknown) => JSON.stringify(value).replaceAll('"', "");

export function reportOf(facts: ReportFacts): RunReport {
  const { prepared, programs, planned, evaluation, steps, times } = facts;
  const { recipe, source, description, files } = prepared;
  const { graphs, engine } = programs;
  const { task, optimizer, model } = description;
  const inits = new Map<string, number>();
  for (const { init } of model.parameters().values()) {
    const name = typeof init === "string" ? init : init.name;
    inits.set(name, (inits.get(name) ?? 0) + 1);
  }
  const slotBytes = graphs.slotTypes.reduce((sum, { dtype, shape }) => sum + byteSize(dtype) * sizeOf(shape), 0);
  const usualLoss = task.name === "regression" ? "squared error" : "cross-entropy";
  const { heldOut, heldOutPath } = recipe.data;
  const metrics = Object.entries(evaluation?.metrics ?? {}).map(([name, value]) => `, ${name} ${figure(value)}`);
  const texts: { readonly [name in StageName]: readonly [inputs: string, outputs: string] } = {
    preprocess: [
      `${recipe.data.path ?? "rows in memory"}, SHA-256 ${prepared.dataHash.slice(0, 12)}…`,
      `${formatCount(Math.round(source.samplesPerEpoch))} rows an epoch, ${heldOutPath === undefined ? `${figure(100 * heldOut)} %` : heldOutPath} held out; ${Object.keys(files).join(", ")}`,
    ],
    model: [
      plain(recipe.model),
      `${formatCount(planned.numParameters)} parameters in ${graphs.parameterTypes.length} tensors, planned peak ${formatBytes(planned.memory.total)}, ${formatCount(planned.flopsPerStep)}FLOP a step on ${engine.name}`,
    ],
    init: [`seed ${recipe.seed}`, [...inits].map(([name, count]) => `${count} × ${name}`).join(", ")],
    loss: [
      `outputs and targets of ${task.name}`,
      `${recipe.loss === undefined ? usualLoss : plain(recipe.loss)}${facts.startLoss === undefined ? "" : `; ${figure(facts.startLoss)} before the first step`}`,
    ],
    optimizer: [
      plain(optimizer.config),
      `learning rate ${optimizer.learningRate.describe()}; ${formatBytes(slotBytes)} of slots`,
    ],
    iterate: [
      `steps ${steps.from} to ${steps.to}`,
      `${formatCount(facts.samples)} rows seen; loss ${figure(facts.firstLoss)} at the first step, ${figure(facts.lastLoss)} at the last`,
    ],
    evaluation: [
      evaluation === undefined ? "none made" : `${formatCount(evaluation.count)} ${evaluation.unit} held out`,
      evaluation === undefined ? "none" : `loss ${figure(evaluation.loss)}${metrics.join("")}`,
    ],
    deployment: [
      `parameters and ${Object.keys(files).length + 1} files`,
      `checkpoints, the last of ${formatBytes(planned.checkpointBytes)}, SHA-256 ${facts.hash.slice(0, 12)}…; ${howToCall(facts)}`,
    ],
  };
  const stages = stageNames.map((name) => {
    const [inputs, outputs] = texts[name];
    return { name, inputs, outputs, seconds: times.of(name) };
  });
  return { run: facts.folder, stages };
}

function howToCall({ folder, prepared }: ReportFacts): string {
  const isText = prepared.description.task.name === "language-model";
  const run = shellWord(folder);
  const command = isText ? `athanor generate ${run} --prompt …` : `athanor predict ${run} rows.csv`;
  return `${command}, or (await load(${JSON.stringify(folder)})).${isText ? "generate" : "predict"}(…)`;
}

/** For a terminal: two lines per stage, long settings cut. */
export function renderReport({ stages }: RunReport): string {
  const short = (text: string) => (text.length > 120 ? `${text.slice(0, 119)}…` : text);
  return stages
    .map(({ name, inputs, outputs, seconds }, at) => {
      const time = formatDuration(seconds).padStart(6);
      return `${at < 6 ? at + 1 : " "} ${name.padEnd(11)}${time}  ${short(inputs)}\n${" ".repeat(21)}→ ${outputs}`;
    })
    .join("\n");
}

function markdown({ run, stages }: RunReport): string {
  const cell = (text: string) => text.replaceAll("|", "\\|");
  const rows = stages.map(
    ({ name, inputs, outputs, seconds }, at) =>
      `| ${at < 6 ? at + 1 : ""} | ${name} | ${cell(inputs)} | ${cell(outputs)} | ${seconds.toFixed(3)} |`,
  );
  return `# ${run}\n\n| | step | inputs | outputs | seconds |\n|---|---|---|---|---|\n${rows.join("\n")}\n`;
}

/** Writes `report.json` and `report.md` into the run's folder. */
export async function writeReport(report: RunReport): Promise<void> {
  await writeFile(join(report.run, "report.json"), `${JSON.stringify(report, null, 1)}\n`);
  await writeFile(join(report.run, "report.md"), markdown(report));
}
