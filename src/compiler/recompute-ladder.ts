// How much to compute again for a budget of memory: plans of one program, each with a smaller arena and more work than the one
// before it. A fractional knapsack over kinds of work, ordered by bytes freed per operation, with the real plan as the scale:
// what is freed where it does not count (Korthikanti et al. 2022 choose by hand, Jain et al. 2020 by linear programs) is left.
import type { Graph } from "../core/index.ts";
import { type CompileOptions, passesFor } from "./compile.ts";
import { lower } from "./lower.ts";
import { type Recompute, recompute, waitingIn } from "./passes/recompute.ts";
import type { Plan } from "./plan.ts";
import type { Pass } from "./rewrite.ts";
import type { Target } from "./target.ts";

export interface Rung {
  /** What is computed again beside what the rungs before it do; "" on the first, where nothing is. */
  readonly work: string;
  /** Nodes of that work which are. */
  readonly nodes: number;
  readonly recompute: Recompute;
  readonly plan: Plan;
}

/** A rung is left out unless the arena shrinks to this share of what it was. */
const worthwhile = 0.998;

export class RecomputeLadder {
  /** From nothing to all that helps. */
  readonly rungs: readonly [Rung, ...Rung[]];
  /** The program as the pass `recompute` finds it, and the passes behind that. */
  private readonly graph: Graph;
  private readonly rest: readonly Pass[];
  private readonly target: Target;

  constructor(graph: Graph, target: Target, options: CompileOptions = {}) {
    const passes = passesFor(target, { ...options, recompute: new Map() });
    const at = passes.findIndex(({ name }) => name === "recompute");
    this.graph = run(passes.slice(0, at), graph);
    this.rest = passes.slice(at + 1);
    this.target = target;
    const rungs: [Rung, ...Rung[]] = [this.rung(new Map(), "", 0)];
    for (const { work, nodes } of waitingIn(this.graph)) {
      const rung = this.rung(rungs.at(-1)!.recompute, work, nodes.length);
      if (rung.plan.arenaBytes < worthwhile * rungs.at(-1)!.plan.arenaBytes) rungs.push(rung);
    }
    this.rungs = rungs;
  }

  private rung(before: Recompute, work: string, nodes: number): Rung {
    const choice = nodes === 0 ? before : new Map([...before, [work, nodes]]);
    const graph = run([recompute(choice), ...this.rest], this.graph);
    return { work, nodes, recompute: choice, plan: lower(graph, this.target) };
  }

  /** The least work whose plan fits; `undefined` where none does. Between two rungs, as few nodes as will do. */
  least(fits: (plan: Plan) => boolean): Rung | undefined {
    const first = this.rungs.findIndex(({ plan }) => fits(plan));
    if (first <= 0) return this.rungs[first];
    const { recompute: before } = this.rungs[first - 1]!;
    let best = this.rungs[first]!;
    let tooFew = 0;
    while (best.nodes - tooFew > 1) {
      const rung = this.rung(before, best.work, Math.floor((tooFew + best.nodes) / 2));
      if (fits(rung.plan)) best = rung;
      else tooFew = rung.nodes;
    }
    return best;
  }
}

const run = (passes: readonly Pass[], graph: Graph): Graph =>
  passes.reduce((current, pass) => pass.run(current), graph);
