// An engine around an engine: the same runs with the same results, and on demand the time of every instruction. What the times
// mean is not its business.
import type { Plan, Target } from "../compiler/index.ts";
import type { Engine, Program, ProgramCall, RunResult, Store } from "./engine.ts";

/** One run of a program, timed. */
export interface ProgramRun {
  readonly plan: Plan;
  /**
   * On the clock of `performance.now()`: when the engine was given the job, plus the time of the job's earlier instructions.
   * The little that lies between instructions is not known.
   */
  readonly startMs: number;
  /** Of each instruction; 0 for one that the guard skipped. */
  readonly nanoseconds: Float64Array;
}

export class Profiler implements Engine {
  readonly name: Engine["name"];
  readonly isa: string;
  readonly threads: number;
  readonly target: Target;
  private readonly inner: Engine;
  private runs: ProgramRun[] | undefined;

  constructor(inner: Engine) {
    this.inner = inner;
    this.name = inner.name;
    this.isa = inner.isa;
    this.threads = inner.threads;
    this.target = inner.target;
  }

  /** From now on every instruction is timed. */
  begin(): void {
    this.runs = [];
  }

  /** The timed runs since `begin`, in order; none is timed any more. */
  end(): readonly ProgramRun[] {
    const runs = this.runs ?? [];
    this.runs = undefined;
    return runs;
  }

  createStore(): Store {
    return this.inner.createStore();
  }

  workspaceBytes(plan: Plan): number {
    return this.inner.workspaceBytes(plan);
  }

  load(plan: Plan, store: Store): Program {
    return this.inner.load(plan, store);
  }

  async run(calls: readonly ProgramCall[], times?: readonly Float64Array[]): Promise<RunResult[]> {
    const { runs } = this;
    if (runs === undefined) return await this.inner.run(calls, times);
    const all = times ?? calls.map(({ program }) => new Float64Array(program.plan.code.length));
    let startMs = performance.now();
    const results = await this.inner.run(calls, all);
    calls.forEach(({ program: { plan } }, at) => {
      const nanoseconds = all[at]!.slice();
      runs.push({ plan, startMs, nanoseconds });
      startMs += nanoseconds.reduce((sum, ns) => sum + ns, 0) / 1e6;
    });
    return results;
  }
}
