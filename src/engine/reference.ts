// The reference engine: runs a plan instruction by instruction with each op's naive implementation. Slow on purpose: it is
// the oracle that every other engine is compared with, and what runs where no binary exists.
import {
  AthanorError,
  allocate,
  type DType,
  fail,
  fromNumbers,
  type HostArray,
  sizeOf,
  toNumbers,
  viewOf,
} from "../base/index.ts";
import {
  type Instruction,
  type Plan,
  type PlanTensor,
  type PlanType,
  referenceTarget,
  runOrder,
} from "../compiler/index.ts";
import { allOps, type Op } from "../core/index.ts";
import {
  checkArray,
  checkPart,
  type Engine,
  type Feeds,
  orderFeeds,
  type Part,
  type Program,
  type ProgramCall,
  type RunResult,
  type Store,
} from "./engine.ts";

class ReferenceStore implements Store {
  writes = 0;
  private readonly variables = new Map<string, HostArray>();

  declare(types: readonly PlanType[]): void {
    for (const { name, dtype, shape } of types) {
      const known = this.variables.get(name);
      if (known !== undefined) checkArray({ name, dtype, shape }, known, "store/type", "variable");
      else this.variables.set(name, { dtype, shape, data: allocate(dtype, sizeOf(shape)) });
    }
  }

  names(): string[] {
    return [...this.variables.keys()];
  }

  typeOf(name: string): PlanType {
    const { dtype, shape } = this.get(name);
    return { name, dtype, shape };
  }

  read(name: string, into?: ArrayBuffer, part?: Part): HostArray {
    const { dtype, shape, data } = this.get(name);
    if (part !== undefined) checkPart(this.typeOf(name), part);
    const { start, step, count } = part ?? { start: 0, step: 1, count: data.length };
    const copy = (into === undefined ? allocate(dtype, count) : viewOf(dtype, into, 0, count)) as Float64Array;
    for (let at = 0; at < count; at++) copy[at] = data[start + at * step] as number;
    return { dtype, shape: part === undefined ? shape : [count], data: copy };
  }

  write(name: string, value: HostArray): void {
    const { data } = this.get(name);
    checkArray(this.typeOf(name), value, "store/type", "variable");
    (data as Float64Array).set(value.data as Float64Array);
    this.writes++;
  }

  get(name: string): HostArray {
    return (
      this.variables.get(name) ??
      fail("store/unknown", `the store has no variable "${name}"`, { expected: this.names().slice(0, 8).join(", ") })
    );
  }

  get bytes(): number {
    let total = 0;
    for (const { data } of this.variables.values()) total += data.byteLength;
    return total;
  }
}

type Step = { readonly at: number; readonly instruction: Instruction; run(): void };

class ReferenceProgram implements Program {
  readonly plan: Plan;
  readonly store: ReferenceStore;
  readonly workspaceBytes = 0;
  private readonly feeds: HostArray[];
  private readonly arrays: HostArray[];
  private readonly steps: Step[];

  constructor(plan: Plan, store: ReferenceStore) {
    this.plan = plan;
    this.store = store;
    store.declare(plan.variables);
    this.feeds = plan.feeds.map(({ dtype, shape }) => ({ dtype, shape, data: allocate(dtype, sizeOf(shape)) }));
    const arena = new ArrayBuffer(plan.arenaBytes);
    const constants = plan.constants.slice().buffer;
    const resolve = (tensor: PlanTensor) => this.resolve(tensor, arena, constants);
    this.arrays = plan.tensors.map(resolve);
    this.steps = [...runOrder(plan)].map(({ at, turn }) => {
      const instruction = plan.code[at]!;
      const arrayOf = (index: number): HostArray => {
        const { step = 0, ...tensor } = plan.tensors[index]!;
        return step === 0 ? this.arrays[index]! : resolve({ ...tensor, offset: tensor.offset + turn * step });
      };
      return { at, instruction, run: this.prepare(instruction, arrayOf) };
    });
  }

  private resolve(tensor: PlanTensor, arena: ArrayBuffer, constants: ArrayBuffer): HostArray {
    const { space, index, offset, dtype, shape } = tensor;
    const whole = space === "variable" ? this.store.get(this.plan.variables[index]!.name) : this.feeds[index];
    const [buffer, start] =
      space === "arena"
        ? [arena, 0]
        : space === "constant"
          ? [constants, 0]
          : [whole!.data.buffer, whole!.data.byteOffset];
    return { dtype, shape, data: viewOf(dtype, buffer, start + offset, sizeOf(shape)) };
  }

  /** Binds one instruction to its memory. */
  private prepare(instruction: Instruction, arrayOf: (index: number) => HostArray): () => void {
    const op = allOps().get(instruction.kernel);
    if (op === undefined) return fail("engine/no-kernel", `the reference engine has no op ${instruction.kernel}`);
    const inputs = instruction.inputs.map(arrayOf);
    const outputs = instruction.outputs.map(arrayOf);
    const run = implementation(op, instruction);
    if (![...inputs, ...outputs].some(({ dtype }) => isPacked(dtype))) return () => run(inputs, outputs);
    return () => {
      const wide = outputs.map(
        ({ dtype, shape, data }): HostArray => ({ dtype, shape, data: new Float64Array(data.length) }),
      );
      run(inputs.map(widen), wide);
      outputs.forEach((output, at) => {
        narrow(wide[at]!, output);
      });
    };
  }

  run(feeds: Feeds, times?: Float64Array): RunResult {
    orderFeeds(this.plan, feeds).forEach((value, at) => {
      (this.feeds[at]!.data as Float64Array).set(value.data as Float64Array);
    });
    const committed = this.execute(times);
    const outputs = this.plan.outputs.map(({ name, tensor }) => {
      const { dtype, shape, data } = this.arrays[tensor]!;
      return [name, { dtype, shape, data: data.slice() }] as const;
    });
    return { committed, outputs: Object.fromEntries(outputs) };
  }

  private execute(times: Float64Array | undefined): boolean {
    let guard: boolean | undefined;
    times?.fill(0);
    for (const step of this.steps) {
      if (step.instruction.commit) {
        guard ??= this.guardHolds();
        if (!guard) continue;
      }
      const started = times === undefined ? 0 : performance.now();
      this.runStep(step);
      if (times !== undefined) times[step.at]! += (performance.now() - started) * 1e6;
    }
    return guard ?? this.guardHolds();
  }

  private guardHolds(): boolean {
    return this.plan.guard < 0 || this.arrays[this.plan.guard]!.data[0] !== 0;
  }

  private runStep({ instruction, run }: Step): void {
    try {
      run();
    } catch (error) {
      const { op, scope } = this.plan.nodes[instruction.node]!;
      throw error instanceof AthanorError ? error.at(scope === "" ? op : `${op} in ${scope}`) : error;
    }
  }
}

type Implementation = (inputs: readonly HostArray[], outputs: readonly HostArray[]) => void;

function implementation(op: Op, { attrs }: Instruction): Implementation {
  const { reference, scalar } = op;
  if (reference !== undefined) return (inputs, outputs) => reference(inputs, attrs, outputs);
  if (scalar === undefined) return fail("engine/no-kernel", `op ${op.name} has no reference`);
  return (inputs, outputs) => {
    const [a, b, c] = inputs.map((input) => input.data as Float64Array);
    const into = outputs[0]!.data as Float64Array;
    if (c !== undefined) for (let i = 0; i < into.length; i++) into[i] = scalar(a![i]!, b![i]!, c[i]!);
    else if (b !== undefined) for (let i = 0; i < into.length; i++) into[i] = scalar(a![i]!, b[i]!);
    else for (let i = 0; i < into.length; i++) into[i] = scalar(a![i]!);
  };
}

/** Dtypes whose host arrays do not hold plain numbers: they are widened to f64 around each op. */
const isPacked = (dtype: DType): boolean => dtype === "bf16" || dtype === "f16" || dtype === "i64";

function widen(array: HostArray): HostArray {
  return isPacked(array.dtype) ? { ...array, data: toNumbers(array) } : array;
}

function narrow(from: HostArray, into: HostArray): void {
  const { dtype, shape, data } = into;
  (data as Float64Array).set(fromNumbers(dtype, shape, from.data as Float64Array).data as Float64Array);
}

/** The oracle engine. It computes in f64 and rounds each result to its dtype; it alone runs f64 graphs. */
export class ReferenceEngine implements Engine {
  readonly name = "reference";
  readonly isa = "javascript";
  readonly threads = 1;
  readonly target = referenceTarget;

  createStore(): Store {
    return new ReferenceStore();
  }

  workspaceBytes(): number {
    return 0;
  }

  load(plan: Plan, store: Store): Program {
    if (!(store instanceof ReferenceStore)) fail("engine/store", "the store belongs to another engine");
    return new ReferenceProgram(plan, store);
  }

  async run(calls: readonly ProgramCall[], times?: readonly Float64Array[]): Promise<RunResult[]> {
    const results: RunResult[] = [];
    for (const [at, call] of calls.entries()) {
      await new Promise(setImmediate); // lets timers and I/O in between two programs
      results.push(this.runNow(call, times?.[at]));
    }
    return results;
  }

  /** The same, at once and blocking. */
  runNow({ program, feeds }: ProgramCall, times?: Float64Array): RunResult {
    if (!(program instanceof ReferenceProgram)) return fail("engine/program", "the program belongs to another engine");
    return program.run(feeds, times);
  }
}
