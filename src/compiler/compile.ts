// Compilation: the list of passes and the way from a traced graph to a plan. Each pass lives in its own file.
import { fail } from "../base/index.ts";
import { formatGraph, type Graph, verifyGraph } from "../core/index.ts";
import { lower } from "./lower.ts";
import { addRows } from "./passes/add-rows.ts";
import { chunkLogits } from "./passes/chunk-logits.ts";
import { mergeCommonSubexpressions } from "./passes/common-subexpressions.ts";
import { removeDeadCode } from "./passes/dead-code.ts";
import { expandFused } from "./passes/expand.ts";
import { foldCasts } from "./passes/fold-casts.ts";
import { foldConstants } from "./passes/fold-constants.ts";
import { fuseElementwise, singleTapes } from "./passes/fuse.ts";
import { hoist } from "./passes/hoist.ts";
import { settleLoops } from "./passes/loops.ts";
import { orderEffectsLast } from "./passes/order.ts";
import { type Recompute, recompute } from "./passes/recompute.ts";
import { simplify } from "./passes/simplify.ts";
import { storeBf16, storeBf16InTurns } from "./passes/store-bf16.ts";
import type { Plan } from "./plan.ts";
import type { Pass } from "./rewrite.ts";
import { bodyTarget, type Target } from "./target.ts";

export interface CompileOptions {
  /** Names given with `tap()` whose tensors become outputs `tap:<name>`. */
  readonly taps?: readonly string[];
  /** Checks the graph after every pass: tests do. */
  readonly verify?: boolean;
  /** Leaves out every pass that is not needed for correctness. */
  readonly optimize?: boolean;
  /** Mixed precision: what matmuls and attention read and hand on is stored in bf16. */
  readonly storage?: "bf16" | undefined;
  /** What is computed again in the backward pass, to take less memory. */
  readonly recompute?: Recompute | undefined;
  /** Called with the graph after each pass, for `athanor inspect`. */
  readonly onPass?: (pass: Pass, graph: Graph) => void;
}

/** The passes for a target, in order. */
export function passesFor(target: Target, options: CompileOptions = {}): readonly Pass[] {
  const { optimize = true, storage } = options;
  const storing = storage === "bf16" ? [storeBf16] : [];
  const forgetting = !options.recompute ? [] : [recompute(options.recompute), removeDeadCode];
  const loops = settleLoops((body, scan) =>
    runPasses(body, [
      ...(storage === "bf16" ? [storeBf16InTurns(scan)] : []),
      ...passesFor(bodyTarget(target), { optimize }),
    ]),
  );
  if (!optimize) {
    const tapes = target.tapes ? [singleTapes] : [];
    return [...storing, expandFused(target), removeDeadCode, loops, orderEffectsLast, ...forgetting, ...tapes];
  }
  return [
    ...storing,
    expandFused(target),
    removeDeadCode,
    simplify,
    foldConstants,
    mergeCommonSubexpressions,
    removeDeadCode,
    loops,
    ...(target.hasKernel("linearCrossEntropy") ? [chunkLogits(), simplify, removeDeadCode] : []),
    addRows,
    removeDeadCode,
    orderEffectsLast,
    ...(target.tapes ? [foldCasts, removeDeadCode] : []),
    ...forgetting,
    ...(target.tapes ? [fuseElementwise, removeDeadCode] : []),
    hoist(target),
  ];
}

/** Compiles a traced graph to a plan for `target`. The graph given is not changed. */
export function compile(graph: Graph, target: Target, options: CompileOptions = {}): Plan {
  return lower(optimize(graph, target, options), target);
}

/** Runs the passes alone. */
export function optimize(graph: Graph, target: Target, options: CompileOptions = {}): Graph {
  return runPasses(withTaps(graph, options.taps ?? []), passesFor(target, options), options);
}

function runPasses(graph: Graph, passes: readonly Pass[], { verify, onPass }: CompileOptions = {}): Graph {
  let current = graph;
  for (const pass of passes) {
    current = pass.run(current);
    if (verify) verifyAfter(pass, current);
    onPass?.(pass, current);
  }
  return current;
}

function verifyAfter(pass: Pass, graph: Graph): void {
  try {
    verifyGraph(graph);
  } catch (cause) {
    fail("internal/pass", `pass ${pass.name} broke the graph`, { got: formatGraph(graph), cause });
  }
}

function withTaps(graph: Graph, taps: readonly string[]): Graph {
  const copy = Object.assign(Object.create(Object.getPrototypeOf(graph)), graph) as Graph;
  const outputs = new Map(graph.outputs);
  for (const name of taps) {
    const id = graph.taps.get(name);
    if (id === undefined) {
      fail("trace/tap", `no tensor was tapped as "${name}"`, {
        expected: graph.taps.size === 0 ? "a call of tap(name, x) in the model" : [...graph.taps.keys()].join(", "),
        got: name,
      });
    }
    outputs.set(`tap:${name}`, id);
  }
  return Object.assign(copy, { outputs, taps: new Map<string, number>() });
}
