// Fitting a run into a budget of memory: which rung of the ladder of `accumulate` is taken, and what each of them would cost.
import { type Plan, RecomputeLadder, type Rung } from "../compiler/index.ts";
import type { Engine } from "../engine/index.ts";
import { flopsOf, forecast } from "./forecast.ts";
import type { StepGraphs, StepPlans } from "./step-graphs.ts";

export const recomputeModes = ["auto", "none", "full"] as const;
export type RecomputeMode = (typeof recomputeModes)[number];

/** What a run needs when this and all before it is computed again in the backward pass. */
export interface RecomputeOption {
  /** Layer and operation, `h.*.mlp.c_fc matmul`; "" for nothing. */
  readonly work: string;
  /** Nodes of that work which are, of those there are. */
  readonly nodes: readonly [chosen: number, all: number];
  readonly peakBytes: number;
  /** Operations of a step beyond those it has without, in shares of them. */
  readonly extraFlops: number;
  readonly isTaken: boolean;
}

/** The ladder of a step's largest program, beside the other plans of the step. */
export class StepLadder {
  private readonly graphs: StepGraphs;
  private readonly engine: Engine;
  private readonly others: Pick<StepPlans, "update" | "evaluate" | "perturb">;
  private readonly ladder: RecomputeLadder;

  constructor(graphs: StepGraphs, engine: Engine, others: Pick<StepPlans, "update" | "evaluate" | "perturb">) {
    this.graphs = graphs;
    this.engine = engine;
    this.others = others;
    this.ladder = new RecomputeLadder(
      graphs.accumulate(graphs.sums.at(-1)!),
      engine.target,
      graphs.compileOptions("accumulate"),
    );
  }

  /** The rung that the description asks for; where none fits into its budget, the one that takes least. */
  choose(): Rung {
    const { recompute = "auto", memoryBytes = Number.POSITIVE_INFINITY } = this.graphs.description;
    const { rungs } = this.ladder;
    const last = rungs.at(-1)!;
    if (recompute !== "auto") return recompute === "full" ? last : rungs[0];
    return this.ladder.least((plan) => this.total(plan) <= memoryBytes) ?? last;
  }

  private total(plan: Plan): number {
    // those that add less, or of shorter rows, take less
    const accumulate = this.graphs.forms.flatMap(() => this.graphs.sums.map(() => plan));
    return forecast(this.graphs, { ...this.others, accumulate }, this.engine).memory.total;
  }

  /** All rungs, `taken` among them. */
  choices(taken: Rung): RecomputeOption[] {
    const { rungs } = this.ladder;
    const { description, microbatch } = this.graphs;
    const passes = this.others.perturb === undefined ? 1 : 2;
    const flops = ({ plan }: Rung) => passes * (description.batchSize / microbatch) * flopsOf(plan);
    const step = flops(rungs[0]) + flopsOf(this.others.update);
    const at = rungs.findIndex(({ work, nodes }) => work === taken.work && nodes >= taken.nodes);
    const shown = rungs[at]!.nodes === taken.nodes ? rungs : [...rungs.slice(0, at), taken, ...rungs.slice(at)];
    return shown.map((rung) => ({
      work: rung.work,
      nodes: [rung.nodes, rungs.find(({ work }) => work === rung.work)!.nodes],
      peakBytes: this.total(rung.plan),
      extraFlops: (flops(rung) - flops(rungs[0])) / step,
      isTaken: rung.work === taken.work && rung.nodes === taken.nodes,
    }));
  }
}
