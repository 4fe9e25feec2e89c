// A step's profile as a table for people, and as a record for machines. Measures nothing.
import { addTimes, describeEngine, type Timed, type TimedGroup } from "../engine/index.ts";
import type { StepProfile } from "../study/index.ts";
import { adviceFor } from "./profile-advice.ts";

/** Rows below this share of the time are told together. */
const smallShare = 0.005;
const mostRows = 20;

/** What --json prints: all instructions, without the times of single runs. */
export function profileRecord(profile: StepProfile): object {
  const { runs: _, ops, layers, instructions, ...rest } = profile;
  const groups = (list: readonly TimedGroup[]) =>
    list.map(({ members: _, ...group }) => ({ ...group, ...rates(group) }));
  return {
    ...rest,
    advice: adviceFor(profile),
    ops: groups(ops),
    layers: groups(layers),
    instructions: instructions.map(({ instruction: _, shapes: __, ...one }) => ({ ...one, ...rates(one) })),
  };
}

/** FLOPs and bytes per second, in 10⁹, and the time as a multiple of the least it could be. */
export function rates({ ms, flops, bytes, floorMs }: Timed): { gflops: number; gbPerSecond: number; ofFloor: number } {
  const per = (amount: number) => (ms === 0 ? 0 : amount / ms / 1e6);
  return { gflops: per(flops), gbPerSecond: per(bytes), ofFloor: floorMs === 0 ? 0 : ms / floorMs };
}

/** The times of a step by op, below what the machine can do. */
export function renderOps(profile: StepProfile): string {
  const { engine, steps, ops, limits, instructionMs, aroundMs, msPerStep, dataMs } = profile;
  const { bandwidths, flopsPerSecond, dispatchSeconds } = limits;
  const gb = (at: number) => (bandwidths.at(at)!.bytesPerSecond / 1e9).toFixed(1);
  const disturbed =
    msPerStep > 1.1 * (instructionMs + aroundMs)
      ? "; the rest went to other programs: repeat it on a quiet machine"
      : "";
  return [
    `timed step       ${msPerStep.toFixed(2)} ms: ${instructionMs.toFixed(2)} in instructions, ${aroundMs.toFixed(2)} around them, waiting for data ${dataMs.toFixed(2)}${disturbed}`,
    `timed on         ${describeEngine(engine)}, median of ${steps} steps`,
    `machine          ${(flopsPerSecond / 1e9).toFixed(1)} GFLOPS in products; ${gb(0)} GB/s in cache, ${gb(-1)} from memory; ${(dispatchSeconds * 1e6).toFixed(1)} µs to start an instruction`,
    "",
    ...table("op", ops),
  ].join("\n");
}

export function renderLayers({ layers }: StepProfile): string {
  return table("layer", layers).join("\n");
}

export function renderAdvice(profile: StepProfile): string {
  const { overall, instructions } = adviceFor(profile);
  return [
    "what would make this faster",
    ...overall.map((text) => `- ${text}`),
    ...instructions.map(({ work, layers, calls, ms, lostMs, text }, at) => {
      const where = layers.length === 1 ? layers[0] : `${layers[0]} and ${layers.length - 1} more`;
      return `${at + 1}. ${work}\n   ${where}: ${calls} call${calls === 1 ? "" : "s"}, ${fine(ms)} ms, ${fine(lostMs)} above the floor\n   ${text}`;
    }),
  ].join("\n");
}

/** Small numbers need more digits. */
const fine = (value: number): string => value.toFixed(value < 0.1 ? 4 : 2);

const columns = ["calls", "ms", "share", "GFLOPS", "MB", "GB/s", "× floor"];
const widths = [6, 10, 8, 8, 10, 7, 8];

function table(title: string, groups: readonly TimedGroup[]): string[] {
  const shown = groups.filter(({ share }, at) => at < mostRows && share >= smallShare);
  const rest = groups.slice(shown.length);
  const name = Math.max(...[...shown, { name: "all" }].map(({ name }) => name.length), `${rest.length} more`.length);
  const line = (first: string, cells: readonly string[]) =>
    `${first.padEnd(name)}${cells.map((cell, at) => cell.padStart(widths[at]!)).join("")}`;
  const row = (label: string, sum: Timed, share: number) => {
    const { gflops, gbPerSecond, ofFloor } = rates(sum);
    return line(label, [
      ...[String(sum.calls), fine(sum.ms), `${(100 * share).toFixed(1)} %`, gflops.toFixed(1)],
      ...[fine(sum.bytes / 1e6), gbPerSecond.toFixed(1), ofFloor.toFixed(1)],
    ]);
  };
  const shareOf = (list: readonly TimedGroup[]) => list.reduce((sum, { share }) => sum + share, 0);
  return [
    line(title, columns),
    ...shown.map((group) => row(group.name, group, group.share)),
    ...(rest.length === 0 ? [] : [row(`${rest.length} more`, addTimes(rest), shareOf(rest))]),
    row("all", addTimes(groups), shareOf(groups)),
  ];
}
