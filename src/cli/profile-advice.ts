// What would make a step faster, from the facts of its profile. Says so where nothing in a recipe would.
import { availableParallelism } from "node:os";
import { formatThreads, groupBy, type MachineLimits, type TimedGroup, type TimedInstruction } from "../engine/index.ts";
import type { StepProfile } from "../study/index.ts";

/** About all instructions that do the same work, in whatever layer. */
export interface Advice {
  readonly work: string;
  readonly layers: readonly string[];
  readonly calls: number;
  readonly ms: number;
  /** Above the floor, in a step. */
  readonly lostMs: number;
  readonly text: string;
}

/** A product with fewer rows spends more on packing its operands than it can win back. */
const fewRows = 64;
/** Times the floor: nearer than this nothing is to be had from a kernel. */
const near = 1.3;

/** What holds for the whole step, then what for the three kinds of work that lose most against their floor. */
export function adviceFor(profile: StepProfile): { overall: string[]; instructions: Advice[] } {
  return { overall: overallAdvice(profile), instructions: profile.engine.name === "native" ? costliest(profile) : [] };
}

function overallAdvice({ engine, msPerStep, instructionMs, aroundMs, dataMs }: StepProfile): string[] {
  const processors = availableParallelism();
  const advice: string[] = [];
  if (engine.name === "reference")
    advice.push(
      "the reference engine is made to be right, not fast: npx athanor engine build, engine.name auto, precision f32",
    );
  else if (engine.threads < processors)
    advice.push(
      `the engine has ${formatThreads(engine.threads)}, this machine ${processors} processors: engine.threads auto takes all`,
    );
  if (aroundMs > instructionMs)
    advice.push(
      "most of a step goes by around its instructions, on the way to the engine and back: a larger batch makes fewer steps do",
    );
  if (dataMs > 0.1 * msPerStep)
    advice.push(`a step waits ${dataMs.toFixed(2)} ms for its batch: reading the data holds it up, not the engine`);
  return advice;
}

function costliest({ instructions, limits }: StepProfile): Advice[] {
  return groupBy(instructions, ({ work }) => work)
    .map((group) => ({ group, lostMs: group.ms - group.floorMs }))
    .filter(({ lostMs }) => lostMs > 0)
    .sort((a, b) => b.lostMs - a.lostMs)
    .slice(0, 3)
    .map(({ group, lostMs }) => ({
      work: group.name,
      layers: [...new Set(group.members.map(({ layer, program }) => layer || `(${program})`))],
      calls: group.calls,
      ms: group.ms,
      lostMs,
      text: textFor(group, group.members[0]!, limits),
    }));
}

function textFor(group: TimedGroup, member: TimedInstruction, limits: MachineLimits): string {
  const { op, program, instruction } = member;
  const { calls, ms, flops, floorMs } = group;
  const { attrs } = instruction;
  const times = ms / floorMs;
  const callMs = ms / calls;
  const dispatchMs = limits.dispatchSeconds * 1000;
  const isComputing = flops / limits.flopsPerSecond > (0.999 * floorMs) / 1000;
  if (["dropout", "uniform", "normal"].includes(op))
    return "draws a random number per element, which the floor does not count: dropout 0 saves it, if the model does not overfit";
  if (floorMs / calls < dispatchMs && callMs < 10 * dispatchMs) {
    const cost = `small: ${micro(callMs)} a call, of which starting any instruction takes ${micro(dispatchMs)}`;
    return program === "update"
      ? `${cost}; it runs once a step whatever the batch: a larger batch needs it less often`
      : `${cost}: a larger batch gives each call more to do`;
  }
  // Outside `update`, a chain that ends in a variable adds up the gradients of lanes.
  if (program === "update" || (op === "tape" && member.writesVariable))
    return `its work is that of the parameters, whatever the batch: a larger batch needs it less often; ${memory(times)}`;
  if (op === "matmul") return product(group, limits);
  if (op === "copy" || op === "fill")
    return "moves data that the next kernel wants in one piece: no setting of a recipe takes it away";
  if (op === "take" || op === "scatterAdd")
    return "reads or writes rows in no order, which waits for memory: a smaller vocabulary keeps them in the cache";
  if (op.startsWith("attention")) {
    const draws =
      (attrs.dropoutStream ?? "") !== "" ? "; dropout 0 saves drawing a random number for each of them" : "";
    return `computes, at ${share(flops, ms, limits)} of the peak of products, and an exponential per pair of tokens: a shorter context has fewer pairs${draws}`;
  }
  if (isComputing)
    return `computes, at ${share(flops, ms, limits)} of the peak of products: more bandwidth or a larger batch does not help, a smaller model does`;
  return `${memory(times)}; its bytes grow with the batch: fewer of them (precision bf16 halves those of activations) would help`;
}

function product({ members, ms, flops, floorMs }: TimedGroup, limits: MachineLimits): string {
  const [a, b] = members[0]!.shapes;
  const { transposeA, transposeB } = members[0]!.instruction.attrs;
  const [rows, inner] = transposeA ? [a!.at(-1)!, a!.at(-2)!] : [a!.at(-2)!, a!.at(-1)!];
  const columns = transposeB ? b!.at(-2)! : b!.at(-1)!;
  const dims = `${rows}×${inner} by ${inner}×${columns}`;
  const reached = `${share(flops, ms, limits)} of peak`;
  const batch = transposeA ? inner : rows;
  if (batch < fewRows)
    return `a product with only ${batch} rows of the batch (${dims}), ${reached}: a larger batch fills its tiles`;
  if (Math.min(rows, columns, inner) < fewRows)
    return `a narrow product (${dims}), ${reached}: more rows do not help; widths from ${fewRows} on fill its tiles`;
  if (ms / floorMs < near)
    return `a large product near the machine's limit, ${reached}: only less work helps, a smaller model or fewer tokens`;
  return `a large product (${dims}), ${reached}: no setting of a recipe helps; see that nothing else runs on this machine`;
}

function memory(times: number): string {
  return times < near
    ? "runs at the speed of memory"
    : `bound by memory, at ${times.toFixed(1)}× its floor: its operands come from farther than the cache that could hold them, or the kernel is slow`;
}

const share = (flops: number, ms: number, { flopsPerSecond }: MachineLimits): string =>
  `${Math.round((100 * flops) / (ms / 1000) / flopsPerSecond)} %`;

const micro = (ms: number): string => `${(1000 * ms).toFixed(1)} µs`;
