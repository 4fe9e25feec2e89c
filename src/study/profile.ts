// Where the time of training steps goes: every instruction timed, beside the least it could take on this machine. Prints nothing.
import { chooseEngine, measureMatmul } from "../api/index.ts";
import { fail } from "../base/index.ts";
import type { Plan } from "../compiler/index.ts";
import {
  addTimes,
  type Engine,
  groupBy,
  type MachineLimits,
  measureMemory,
  median,
  Profiler,
  type ProgramRun,
  type TimedGroup,
  type TimedInstruction,
  timeInstructions,
} from "../engine/index.ts";
import { prepare, type Recipe } from "../recipe/index.ts";
import { forecast, requireMemory, StepGraphs, type StepPlans, StepPrograms } from "../train/index.ts";

export interface StepProfile {
  readonly engine: Pick<Engine, "name" | "isa" | "threads">;
  readonly steps: number;
  /** Median, from the call to the end of the update. */
  readonly msPerStep: number;
  /** Median of waiting for a batch. */
  readonly dataMs: number;
  /** Of all instructions of a step, each at its median. */
  readonly instructionMs: number;
  /** Median of a step's time less that of its instructions: feeds, outputs, the way to the engine and back. */
  readonly aroundMs: number;
  readonly limits: MachineLimits;
  /** By kind of op and by layer, the dearest first. */
  readonly ops: readonly TimedGroup[];
  readonly layers: readonly TimedGroup[];
  readonly instructions: readonly TimedInstruction[];
  /** Every timed run of a program, in order. */
  readonly runs: readonly (Pick<ProgramRun, "startMs" | "nanoseconds"> & {
    readonly program: string;
    readonly instructions: readonly TimedInstruction[];
  })[];
}

export interface ProfiledSteps {
  readonly profiler: Profiler;
  readonly plans: StepPlans;
  /** Of the matrix products that the machine's limit is taken from. */
  readonly dtype: "f32" | "bf16";
  /** Makes a step; resolves to its time and that of waiting for data. */
  step(): Promise<{ readonly ms: number; readonly dataMs: number }>;
}

/** Profiles steps of a recipe on its own data; nothing is saved. Errors with `profile/non-finite`, `plan/memory`, and as `prepare`. */
export async function profileRecipe(
  recipe: Recipe,
  options: { steps?: number; onNote?: (text: string) => void },
): Promise<StepProfile> {
  const { engine, note } = chooseEngine(recipe);
  if (note !== undefined) options.onNote?.(note);
  const { description, source, learningRate, clockAt, begin, close } = await prepare(recipe, options);
  const profiler = new Profiler(engine);
  const graphs = new StepGraphs(description);
  const plans = graphs.compile(engine);
  requireMemory(forecast(graphs, plans, engine));
  const programs = new StepPrograms(description, profiler, { graphs, plans });
  programs.initialize();
  await begin?.(programs);
  let at = 0;
  const step = async () => {
    const started = performance.now();
    const { rows, ...batch } = await source.next(description.batchSize);
    const ready = performance.now();
    const clock = clockAt(Math.min(at, recipe.steps - 1));
    const { committed } = await programs.step({
      step: at++,
      clock,
      learningRate: learningRate(clock),
      batch,
      sampleIds: rows!.data as Int32Array,
    });
    if (!committed)
      fail("profile/non-finite", "a step was not finite, so it was not all done", {
        where: `step ${at}`,
        expected: "a finite loss and finite gradients",
        got: "NaN or infinity",
        fix: "athanor train says where it comes from; a lower learning rate often helps",
      });
    return { ms: performance.now() - ready, dataMs: ready - started };
  };
  const dtype = recipe.precision === "bf16" ? "bf16" : "f32";
  return await profileSteps({ profiler, plans, dtype, step }, options).finally(() => close?.());
}

/** Times the instructions of some steps, after others to warm up; left out, `steps` is what a third of a second holds, at least 5. */
export async function profileSteps(
  { profiler, plans, dtype, step }: ProfiledSteps,
  options: { readonly steps?: number },
): Promise<StepProfile> {
  const warmUntil = performance.now() + 100;
  let { ms: warm } = await step();
  while (performance.now() + warm < warmUntil) warm = (await step()).ms;
  const steps = options.steps ?? Math.max(5, Math.min(50, Math.round(300 / warm)));
  const before = await measureLimits(profiler, dtype);
  const times: { ms: number; dataMs: number; aroundMs: number }[] = [];
  const runs: ProgramRun[] = [];
  while (times.length < steps) {
    profiler.begin();
    const { ms, dataMs } = await step();
    const timed = profiler.end();
    const inside = timed.flatMap(({ nanoseconds }) => [...nanoseconds]).reduce((sum, ns) => sum + ns, 0) / 1e6;
    times.push({ ms, dataMs, aroundMs: Math.max(0, ms - inside) });
    runs.push(...timed);
  }
  const limits = best(before, await measureLimits(profiler, dtype));
  const instructionsOf = new Map<Plan, readonly TimedInstruction[]>();
  for (const [name, plan] of programNames(plans)) {
    const timed = runs.filter((run) => run.plan === plan);
    if (timed.length > 0) instructionsOf.set(plan, timeInstructions(name, plan, timed, times.length, limits));
  }
  const instructions = [...instructionsOf.values()].flat();
  const { name, isa, threads } = profiler;
  return {
    engine: { name, isa, threads },
    steps: times.length,
    msPerStep: median(times.map(({ ms }) => ms)),
    dataMs: median(times.map(({ dataMs }) => dataMs)),
    instructionMs: addTimes(instructions).ms,
    aroundMs: median(times.map(({ aroundMs }) => aroundMs)),
    limits,
    ops: groupBy(instructions, ({ op }) => op),
    layers: groupBy(instructions, ({ layer, program }) => layer || `(${program.split(".")[0]})`),
    instructions,
    runs: runs.map(({ plan, ...run }) => {
      const instructions = instructionsOf.get(plan)!;
      return { ...run, program: instructions[0]?.program ?? "", instructions };
    }),
  };
}

function programNames({ accumulate, update }: StepPlans): [name: string, plan: Plan][] {
  const lanes = accumulate.map((plan, level): [string, Plan] => [`accumulate${level > 0 ? `.${level}` : ""}`, plan]);
  return [...lanes, ["update", update]];
}

async function measureLimits(engine: Profiler, dtype: ProfiledSteps["dtype"]): Promise<MachineLimits> {
  const flopsPerSecond = await measureMatmul(engine, engine.name === "native" ? 1024 : 64, 3, dtype);
  return { flopsPerSecond, ...(await measureMemory(engine)) };
}

function best(a: MachineLimits, b: MachineLimits): MachineLimits {
  return {
    flopsPerSecond: Math.max(a.flopsPerSecond, b.flopsPerSecond),
    dispatchSeconds: Math.min(a.dispatchSeconds, b.dispatchSeconds),
    bandwidths: a.bandwidths.map(({ bytes, bytesPerSecond }, at) => ({
      bytes,
      bytesPerSecond: Math.max(bytesPerSecond, b.bandwidths[at]!.bytesPerSecond),
    })),
  };
}
