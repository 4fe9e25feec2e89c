// The instructions of a step with their times, beside the least that each could take on this machine; and sums of them.
//
// The floor of an instruction is max(FLOPs / peak of matrix products, bytes / bandwidth), peak and bandwidth measured in the same
// run. The bandwidth is that of arrays of its size: what fits a cache is taken to lie in it.
import type { Shape } from "../base/index.ts";
import { type Instruction, instructionText, type Plan, workOf, workText } from "../compiler/index.ts";
import { bandwidthFor, type MemorySpeed } from "./bandwidth.ts";
import type { ProgramRun } from "./profiler.ts";

/** What the machine reached while the steps were timed. */
export interface MachineLimits extends MemorySpeed {
  readonly flopsPerSecond: number;
}

/** Work, and the time it took in one step. */
export interface Timed {
  /** Runs in one step. */
  readonly calls: number;
  /** Of all of them: median over the steps. */
  readonly ms: number;
  readonly flops: number;
  readonly bytes: number;
  /** The least that they could take. */
  readonly floorMs: number;
}

export interface TimedInstruction extends Timed {
  /** `accumulate`, `update`, and `accumulate.1` and so on for lanes that combine others. */
  readonly program: string;
  readonly op: string;
  /** Path of the module; "" for what belongs to none, such as the loss and the optimizer. */
  readonly layer: string;
  readonly text: string;
  /** The same for the same work. */
  readonly work: string;
  /** Of its inputs. */
  readonly shapes: readonly Shape[];
  readonly instruction: Instruction;
  /** Writes what outlives the run: parameters, gradients, slots. */
  readonly writesVariable: boolean;
}

export interface TimedGroup extends Timed {
  readonly name: string;
  /** Of the time of all instructions, 0 to 1. */
  readonly share: number;
  readonly members: readonly TimedInstruction[];
}

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** The instructions of a program that ran so in some steps. */
export function timeInstructions(
  program: string,
  plan: Plan,
  runs: readonly ProgramRun[],
  steps: number,
  limits: MachineLimits,
): TimedInstruction[] {
  const calls = runs.length / steps;
  return plan.code.map((instruction, at) => {
    const { flops, bytes } = workOf(plan, instruction);
    const floorSeconds = Math.max(flops / limits.flopsPerSecond, bytes / bandwidthFor(bytes, limits));
    return {
      program,
      op: instruction.kernel,
      layer: plan.nodes[instruction.node]?.scope ?? "",
      text: instructionText(plan, instruction).trim(),
      work: workText(plan, instruction),
      shapes: instruction.inputs.map((input) => plan.tensors[input]!.shape),
      instruction,
      writesVariable: instruction.outputs.some((output) => plan.tensors[output]!.space === "variable"),
      calls,
      ms: (calls * median(runs.map(({ nanoseconds }) => nanoseconds[at]!))) / 1e6,
      flops: calls * flops,
      bytes: calls * bytes,
      floorMs: calls * floorSeconds * 1000,
    };
  });
}

/** Sums of the work and times of several. */
export function addTimes(timed: readonly Timed[]): Timed {
  const sum = (of: (one: Timed) => number): number => timed.reduce((total, one) => total + of(one), 0);
  return {
    calls: sum(({ calls }) => calls),
    ms: sum(({ ms }) => ms),
    flops: sum(({ flops }) => flops),
    bytes: sum(({ bytes }) => bytes),
    floorMs: sum(({ floorMs }) => floorMs),
  };
}

/** Instructions of one name together, the dearest first. */
export function groupBy(
  instructions: readonly TimedInstruction[],
  nameOf: (instruction: TimedInstruction) => string,
): TimedGroup[] {
  const groups = new Map<string, TimedInstruction[]>();
  for (const one of instructions) {
    const group = groups.get(nameOf(one));
    if (group === undefined) groups.set(nameOf(one), [one]);
    else group.push(one);
  }
  const total = addTimes(instructions).ms;
  return [...groups]
    .map(([name, members]) => {
      const sum = addTimes(members);
      return { name, ...sum, share: total === 0 ? 0 : sum.ms / total, members };
    })
    .sort((a, b) => b.ms - a.ms);
}
