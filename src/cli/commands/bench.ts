// athanor bench: how fast this machine multiplies matrices, and how fast whole training steps are beside that.
import type { Command } from "commander";
import { fail, formatCount } from "../../base/index.ts";
import {
  benchMatmul,
  benchStep,
  benchUpdates,
  StepBench,
  type StepFigures,
  type StepShape,
  stepShapes,
  stepSizes,
} from "../../study/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { wholeOption } from "../options.ts";
import { exitCodes, stoppedCode } from "../output.ts";
import { profileRecord, renderOps } from "../profile-table.ts";

type SizeFlag = (typeof stepSizes)["gpt"][number];

interface StepFlags extends Partial<Pick<StepShape, SizeFlag>> {
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

const stepModels = Object.keys(stepSizes).join(", ");
/** Each takes time to compile, about 10 ms. */
const mostLayers = 1000;
/** What an i32 can count. */
const mostSize = 2 ** 31 - 1;

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
    .option("--width <n>", "rows and columns of a matrix", wholeOption("--width", mostSize), 2048)
    .option("--layers <n>", "matrices", wholeOption("--layers", mostLayers), 4)
    .action(run(update));
  common(bench.command("step").description("training steps of a model on random data"))
    .option("--model <name>", stepModels, "gpt")
    .option("--layers <n>", "blocks; hidden layers of an mlp", wholeOption("--layers", mostLayers))
    .option("--heads <n>", "heads of attention", wholeOption("--heads", mostSize))
    .option("--width <n>", "channels; of an mlp's first hidden layer", wholeOption("--width", mostSize))
    .option("--context <n>", "tokens of a row; numbers per row of mlp and logreg", wholeOption("--context", mostSize))
    .option("--batch <n>", "rows of a step", wholeOption("--batch", mostSize))
    .option("--vocab <n>", "tokens known; classes of mlp and logreg", wholeOption("--vocab", mostSize))
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
  const options = { rounds, precision, ...(threads === undefined ? {} : { threads }) };
  for await (const figure of benchMatmul(sizes, options)) {
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

async function step(context: CommandContext, flags: StepFlags): Promise<number> {
  const { rounds, steps, threads } = flags;
  const precision = toPrecision(flags.dtype);
  const bench = new StepBench(shapeOf(flags), { precision, ...(threads === undefined ? {} : { threads }) });
  const { output, signal, stoppedBy } = context; // not before: while it compiles, a signal ends the process
  const figures = await benchStep(bench, { rounds, signal, ...(steps === undefined ? {} : { steps }) });
  if (figures !== undefined) {
    const { profile } = figures;
    output.record({ ...figures, profile: profile && profileRecord(profile) });
    output.print(render(figures));
  }
  return signal.aborted ? stoppedCode(stoppedBy()) : exitCodes.done;
}

function shapeOf({ model, ...flags }: StepFlags): StepShape {
  if (!isStepModel(model))
    return fail("cli/bench", "there is no such model to time", {
      where: "--model",
      expected: stepModels,
      got: model,
      fix: "name one of these",
    });
  const own: readonly SizeFlag[] = stepSizes[model];
  const given = stepSizes.gpt.filter((name) => flags[name] !== undefined);
  const foreign = given.find((name) => !own.includes(name));
  if (foreign !== undefined)
    fail("cli/bench", `${model} has no ${foreign}`, {
      where: `--${foreign}`,
      expected: own.map((name) => `--${name}`).join(", "),
      got: String(flags[foreign]),
      fix: "leave it out, or name another --model",
    });
  const base = model === "gpt" ? stepShapes.c1 : stepShapes[model];
  const shape: StepShape = { ...base, ...Object.fromEntries(given.map((name) => [name, flags[name]])) };
  if (own.includes("heads") && shape.width % shape.heads !== 0)
    fail("cli/bench", "the width does not divide into the heads", {
      where: "--width",
      expected: `a multiple of ${shape.heads}`,
      got: String(shape.width),
      fix: "change --width or --heads",
    });
  return shape;
}

const isStepModel = (name: string): name is StepShape["model"] => Object.hasOwn(stepSizes, name);

function toPrecision(dtype: string): "f32" | "bf16" {
  if (dtype === "f32" || dtype === "bf16") return dtype;
  return fail("cli/bench", "there is no such precision to time", {
    where: "--dtype",
    expected: "f32 or bf16",
    got: dtype,
    fix: "name one of these",
  });
}

function render(figures: StepFigures): string {
  const { shape, profile } = figures;
  const sizes = stepSizes[shape.model].map((name) => `${name} ${shape[name]}`).join(", ");
  const items = shape.model === "mlp" || shape.model === "logreg" ? "rows" : "tokens";
  return [
    `${shape.model} ${sizes}: ${formatCount(figures.parameters)} parameters, ${figures.precision}, ${figures.engine}`,
    `ms per step      ${figures.msPerStep.toFixed(2)} median, ${figures.bestMsPerStep.toFixed(2)} best of ${figures.steps}`,
    `${`${items}/s`.padEnd(16)} ${formatCount(figures.itemsPerSecond)}`,
    `GFLOPS           ${figures.gflops.toFixed(1)} of ${figures.peakGflops.toFixed(1)} in matrix products: ${(100 * figures.ofPeak).toFixed(1)} % of peak`,
    ...(profile === undefined ? [] : [renderOps(profile)]),
  ].join("\n");
}
