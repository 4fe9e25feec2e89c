// The forecast: what a run will need, from its plans alone. Nothing is loaded, so a model too large for this machine can be asked about.
import { byteSize, fail, formatBytes, sizeOf } from "../base/index.ts";
import type { Plan, PlanType } from "../compiler/index.ts";
import type { BatchShape } from "../data/index.ts";
import type { Engine } from "../engine/index.ts";
import { wholeParameters } from "../nn/index.ts";
import { availableMemory, type MemoryBound } from "./available-memory.ts";
import type { RecomputeMode, RecomputeOption } from "./fit-memory.ts";
import type { StepGraphs, StepPlans, StepProgram } from "./step-graphs.ts";

/** Planned bytes by owner. */
export interface MemoryForecast {
  readonly parameters: number;
  /** Partial sums of gradients and losses, one set per lane level, and steps up them. */
  readonly gradients: number;
  readonly slots: number;
  /** The arena that all programs share: activations, gradients in flight, temporaries. */
  readonly activations: number;
  /** What kernels use while they run, constants and feeds included. */
  readonly workspace: number;
  /** The process itself, what it grows by while it traces, compiles and feeds batches, and the one tensor that a save reads at a time. */
  readonly host: number;
  readonly total: number;
}

export interface Forecast {
  readonly memory: MemoryForecast;
  readonly numParameters: number;
  /** Those that are trained. */
  readonly numTrained: number;
  /** Parameters by module, in order: the first name parts that tell blocks apart. */
  readonly parametersByModule: { readonly module: string; readonly count: number }[];
  /** Floating-point operations of the first step, every microbatch and the update; where batches have shapes, of a step on average. */
  readonly flopsPerStep: number;
  /** Those of the update. */
  readonly flopsPerUpdate: number;
  readonly itemsPerStep: number;
  /** Parameters and slots: what a checkpoint holds. */
  readonly checkpointBytes: number;
  /** The program with the largest arena. */
  readonly largest: StepProgram;
  /** What computing more and more again would cost, where that was weighed; one is taken. */
  readonly recompute: readonly RecomputeOption[];
}

/** The process without the engine: Node itself takes about 70 MiB, its heap and loaded code grow by 60 to 100 on models of 1 to 30 M parameters. */
const processBytes = 142 * 2 ** 20;

/** More bytes than this no process has, whatever the machine: the native engine does not count so far. */
const addressable = 2 ** 46;

/** Bytes and operations of a run from its compiled plans. */
export function forecast(graphs: StepGraphs, plans: StepPlans, engine: Engine): Forecast {
  const { batchSize, task, shapes, lanes } = graphs.description;
  const more = [plans.perturb, plans.checkSlots].filter((plan) => plan !== undefined);
  const all = [...plans.accumulate, plans.update, plans.evaluate, ...more];
  const passes = plans.perturb === undefined ? 1 : 2;
  const held = new Map<string, number>();
  for (const plan of all) for (const type of plan.variables) held.set(type.name, typeBytes(type));
  const bytesOf = (types: readonly PlanType[]) => types.reduce((sum, type) => sum + typeBytes(type), 0);
  const parameters = bytesOf(graphs.parameterTypes);
  const slots = bytesOf(graphs.slotTypes);
  const known = new Set([...graphs.parameterTypes, ...graphs.slotTypes].map(({ name }) => name));
  let gradients = 0;
  for (const [name, bytes] of held) if (!known.has(name)) gradients += bytes;
  const activations = Math.max(...all.map((plan) => plan.arenaBytes));
  const fixed = all.reduce((sum, plan) => sum + plan.constants.length + bytesOf(plan.feeds), 0);
  const isAddressable = parameters + gradients + slots + activations + fixed < addressable;
  const workspace = fixed + (isAddressable ? Math.max(...all.map((plan) => engine.workspaceBytes(plan))) : 0);
  const host = processBytes + Math.max(...[...graphs.parameterTypes, ...graphs.slotTypes].map(typeBytes));
  const whole = [...wholeParameters(graphs.description.model)].map(([name, { shape }]) => ({ name, shape }));
  const largest =
    (["accumulate", "evaluate"] as const).find((name) =>
      [plans[name]].flat().some(({ arenaBytes }) => arenaBytes === activations),
    ) ?? "update";
  const itemsOf = ({ rows, lengths }: BatchShape) => rows * (lengths.targets ?? task.itemsPerRow);
  const summed =
    shapes === undefined
      ? (batchSize / graphs.microbatch) * flopsOf(plans.accumulate[0]!)
      : onAverage(shapes, (_, at) => lanes * flopsOf(plans.accumulate[at * graphs.sums.length]!));
  return {
    memory: {
      parameters,
      gradients,
      slots,
      activations,
      workspace,
      host,
      total: parameters + gradients + slots + activations + workspace + host,
    },
    numParameters: numbersIn(whole),
    numTrained: numbersIn(graphs.trainedTypes),
    parametersByModule: countByModule(whole),
    flopsPerStep: passes * summed + flopsOf(plans.update),
    flopsPerUpdate: flopsOf(plans.update),
    itemsPerStep: shapes === undefined ? batchSize * task.itemsPerRow : onAverage(shapes, itemsOf),
    checkpointBytes: parameters + slots,
    largest,
    recompute: plans.choices ?? [],
  };
}

/** A mean over the batches of an epoch. */
function onAverage(shapes: readonly BatchShape[], figure: (shape: BatchShape, at: number) => number): number {
  const batches = shapes.reduce((sum, shape) => sum + shape.batches, 0);
  return shapes.reduce((sum, shape, at) => sum + (shape.batches / batches) * figure(shape, at), 0);
}

/** `trained parameters: 1,024 of 2,000,000 (0.0512 %)` */
export const tellTrained = (trained: number, all: number): string =>
  `trained parameters: ${trained.toLocaleString("en")} of ${all.toLocaleString("en")} (${((100 * trained) / all).toPrecision(3)} %)`;

/** Operations of one run of a plan. */
export const flopsOf = ({ nodes }: Plan): number => nodes.reduce((sum, { flops }) => sum + flops, 0);

const typeBytes = ({ dtype, shape }: PlanType): number => sizeOf(shape) * byteSize(dtype);

type Sized = Pick<PlanType, "name" | "shape">;

const numbersIn = (types: readonly Sized[]): number => types.reduce((sum, { shape }) => sum + sizeOf(shape), 0);

function countByModule(types: readonly Sized[]): { module: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const { name, shape } of types) {
    const parts = name.split(".");
    // A numbered block is told apart by its number: `h.0`; anything else by its first name.
    const module = parts[1] !== undefined && /^\d+$/.test(parts[1]) ? `${parts[0]}.${parts[1]}` : parts[0]!;
    counts.set(module, (counts.get(module) ?? 0) + sizeOf(shape));
  }
  return [...counts].map(([module, count]) => ({ module, count }));
}

/**
 * Refuses a run that cannot fit; with `budget`, into the recipe's own bound, when it recomputes in that mode. Errors with
 * `plan/memory` and a table of bytes, naming the knobs that help most.
 */
export function requireMemory(
  { memory, largest }: Forecast,
  { bytes, by }: MemoryBound = availableMemory(),
  budget?: RecomputeMode,
): void {
  if (memory.total <= bytes) return;
  const rows = (["parameters", "gradients", "slots", "activations", "workspace", "host"] as const).map(
    (owner) => `${owner.padEnd(12)} ${formatBytes(memory[owner]).padStart(10)}`,
  );
  const states = memory.parameters + memory.gradients + memory.slots;
  const less = budget === undefined ? ["set recompute: full"] : budget === "none" ? ["set recompute: auto"] : [];
  const knobs =
    states > bytes
      ? ["use a smaller model (model.*.width, layers): parameters, gradients and slots alone do not fit"]
      : largest === "evaluate"
        ? ["lower eval.batch: evaluation takes more than training"]
        : [...less, "lower batch.size", "raise batch.lanes (activations are per lane)", "shorten model.*.context"];
  const least = `set memory to at least ${Math.ceil(memory.total / 2 ** 20)}MiB`;
  if (budget !== undefined) knobs.push(least);
  fail("plan/memory", "the run does not fit into the memory it may use", {
    where: budget === undefined ? "this machine" : "memory",
    expected: `at most ${formatBytes(bytes)}: ${by}`,
    got: `${formatBytes(memory.total)}${budget === "auto" ? ", with all recomputed that helps" : ""}\n${rows.join("\n")}`,
    // Under what the process alone takes, no smaller model or batch helps.
    fix: budget !== undefined && bytes <= memory.host ? least : knobs.join(", or "),
  });
}
