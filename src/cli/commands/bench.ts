// athanor bench: how fast this machine multiplies matrices, and how fast whole training steps are beside that.
import type { Command } from "commander";
import { fail, formatCount } from "../../base/index.ts";
import {
  benchMatmul,
  benchStep,
  benchUpdates,
  type StepFigures,
  type StepShape,
  stepModels,
  stepShapes,
} from "../../study/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { wholeOption } from "../options.ts";
import { exitCodes, stoppedCode } from "../output.ts";
import { profileRecord, renderOps } from "../profile-table.ts";

interface StepFlags extends Partial<Omit<StepShape, "model">> {
  readonly model: string;
  readonly dtype: string;
  readonly rounds: number;
  readonly steps?: number;
  readonly threads?: number;
}

interface MatmulFlags {
  readonly sizes: string;
  readonly dtype: string;
  readonly rounds: number;
  readonly threads?: number;
}

interface UpdateFlags {
  readonly optimizers: string;
  readonly width: number;
  readonly layers: number;
  readonly rounds: number;
  readonly threads?: number;
}

export const defineBench: DefineCommand = (program, run) => {
  const bench = program
    .command("bench")
    .description("measure matrix products, optimizer updates and whole training steps");
  common(bench.command("matmul").description("products of square matrices, best of the rounds"))
    .option("--sizes <list>", "sizes, separated by commas", "64,128,256,384,512,768,1024,1536")
    .option("--dtype <name>", "f32 or bf16", "f32")
    .action(run(matmul));
  common(
    bench.command("update").description("optimizer updates, clipped by the global norm, beside the speed of memory"),
  )
    .option("--optimizers <list>", "names, separated by commas", "sgd,adam,adamw,lion,adagrad,rmsprop,lamb,adafactor")
    .option("--width <n>", "rows and columns of a matrix", wholeOption("--width"), 2048)
    .option("--layers <n>", "matrices", wholeOption("--layers"), 4)
    .action(run(update));
  common(bench.command("step").description("training steps of a model on random data"))
    .option("--model <name>", stepModels.join(", "), "gpt")
    .option("--layers <n>", "blocks; hidden layers of an mlp", wholeOption("--layers"))
    .option("--heads <n>", "heads of attention", wholeOption("--heads"))
    .option("--width <n>", "channels; of an mlp's first hidden layer", wholeOption("--width"))
    .option("--context <n>", "tokens of a row; numbers per row of an mlp", wholeOption("--context"))
    .option("--batch <n>", "rows of a step", wholeOption("--batch"))
    .option("--vocab <n>", "tokens known; classes of an mlp", wholeOption("--vocab"))
    .option("--dtype <name>", "f32, or bf16: mixed precision", "f32")
    .option("--steps <n>", "steps of a round (default: about half a second of them)", wholeOption("--steps"))
    .action(run(step));
};

const common = (command: Command): Command =>
  command
    .option("--rounds <n>", "rounds", wholeOption("--rounds"), 5)
    .option("--threads <n>", "threads of the engine (default: one per processor)", wholeOption("--threads", 256));

async function matmul({ output }: CommandContext, flags: MatmulFlags): Promise<undefined> {
  const sizes = flags.sizes.split(",").map(wholeOption("--sizes"));
  const { rounds, threads } = flags;
  const precision = toPrecision(flags.dtype);
  const figures = await benchMatmul(sizes, { rounds, precision, ...(threads === undefined ? {} : { threads }) });
  for (const figure of figures) {
    output.record(figure);
    output.print(`${String(figure.size).padStart(6)}  ${figure.gflops.toFixed(1).padStart(8)} GFLOPS`);
  }
  return undefined;
}

async function update({ output, signal, stoppedBy }: CommandContext, flags: UpdateFlags): Promise<number> {
  const { optimizers, width, layers, ...run } = flags;
  const figures = await benchUpdates(optimizers.split(","), { width, layers }, { ...run, signal });
  for (const figure of figures) {
    output.record(figure);
    const { optimizer, parameters, msPerUpdate, bestMsPerUpdate, bytesPerSecond, memoryBytesPerSecond } = figure;
    output.print(
      `${optimizer.padEnd(10)}  ${msPerUpdate.toFixed(2).padStart(8)} ms median, ${bestMsPerUpdate.toFixed(2).padStart(8)} best; ${formatCount(parameters)} parameters, ${(bytesPerSecond / 1e9).toFixed(1)} of ${(memoryBytesPerSecond / 1e9).toFixed(1)} GB/s`,
    );
  }
  return signal.aborted ? stoppedCode(stoppedBy()) : exitCodes.done;
}

async function step({ output, signal, stoppedBy }: CommandContext, flags: StepFlags): Promise<number> {
  const { model, dtype, rounds, steps, threads, ...given } = flags;
  const known = stepModels.find((name) => name === model);
  if (known === undefined) {
    const expected = stepModels.join(", ");
    return fail("cli/bench", "there is no such model to time", {
      where: "--model",
      expected,
      got: model,
      fix: "name one of these",
    });
  }
  const base = known === "gpt" ? stepShapes.c1 : stepShapes[known];
  const shape: StepShape = { ...base, ...pick(given) };
  if (base.heads > 1 && shape.width % shape.heads !== 0)
    fail("cli/bench", "the width does not divide into the heads", {
      where: "--width",
      expected: `a multiple of ${shape.heads}`,
      got: String(shape.width),
      fix: "change --width or --heads",
    });
  const figures = await benchStep(shape, {
    rounds,
    signal,
    precision: toPrecision(dtype),
    ...(steps === undefined ? {} : { steps }),
    ...(threads === undefined ? {} : { threads }),
  });
  if (figures !== undefined) {
    output.record({ ...figures, profile: profileRecord(figures.profile) });
    output.print(render(figures));
  }
  return signal.aborted ? stoppedCode(stoppedBy()) : exitCodes.done;
}

function toPrecision(dtype: string): "f32" | "bf16" {
  if (dtype === "f32" || dtype === "bf16") return dtype;
  return fail("cli/bench", "there is no such precision to time", {
    where: "--dtype",
    expected: "f32 or bf16",
    got: dtype,
    fix: "name one of these",
  });
}

function pick(flags: Partial<Omit<StepShape, "model">>): Partial<StepShape> {
  const names = ["layers", "heads", "width", "context", "batch", "vocab"] as const;
  return Object.fromEntries(names.flatMap((name) => (flags[name] === undefined ? [] : [[name, flags[name]]])));
}

function render(figures: StepFigures): string {
  const { shape } = figures;
  const { model, ...sizes } = shape;
  return [
    `${model} ${Object.entries(sizes)
      .map(([name, value]) => `${name} ${value}`)
      .join(", ")}: ${formatCount(figures.parameters)} parameters, ${figures.precision}, ${figures.engine}`,
    `ms per step      ${figures.msPerStep.toFixed(2)} median, ${figures.bestMsPerStep.toFixed(2)} best of ${figures.steps}`,
    `${model === "gpt" || model === "bert" ? "tokens" : "rows  "} per second ${formatCount(figures.itemsPerSecond)}`,
    `GFLOPS           ${figures.gflops.toFixed(1)} of ${figures.peakGflops.toFixed(1)} in matrix products: ${(100 * figures.ofPeak).toFixed(1)} % of peak`,
    renderOps(figures.profile),
  ].join("\n");
}
