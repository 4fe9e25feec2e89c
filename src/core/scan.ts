// Loops in the language: a function traced once becomes the body of a `scan`. Tensors of the outside that it uses are handed to the body,
// the same in every turn. Unrolls nothing, and knows no op by name but the leaves.
import { fail, type Shape } from "../base/index.ts";
import { Graph } from "./graph.ts";
import { inputLeaf } from "./ops/leaf.ts";
import { scan as scanOp } from "./ops/scan.ts";
import { applyMulti, applyOp, own, type Tensor } from "./tensor.ts";
import { currentTrace, withScope, withTrace } from "./trace.ts";

/** What a turn hands on, and what it gives out. */
export interface Turn {
  readonly carry: readonly Tensor[];
  readonly outputs?: readonly Tensor[];
}

export interface ScanOptions {
  /** What the first turn begins with. Shapes and dtypes stay. */
  readonly carry: readonly Tensor[];
  /** Each turn sees one index of their first axis, which is as long for all. */
  readonly sequences?: readonly Tensor[];
  /** How many turns: needed where there are no sequences. */
  readonly turns?: number;
  /** From the last index to the first; outputs lie at the index of their turn all the same. */
  readonly reverse?: boolean;
}

/**
 * `turn` for each index of a first axis, one after the other: it gets what the turn before handed on and its index of every sequence. Returns
 * what the last turn hands on, and the outputs of all turns along a new first axis. The graph does not grow with the number of turns. Random
 * numbers are those of an address, so they are the same in every turn. Errors with `scan/turns`, `scan/effect`, `shape/scan`.
 *
 * @example
 * ```ts run
 * import { evaluate, scan, zeros } from "athanor";
 * const sums = evaluate(
 *   (x) => scan(([sum], [one]) => ({ carry: [sum.add(one)], outputs: [sum] }), { carry: [zeros([])], sequences: [x] }).outputs[0],
 *   { x: [1, 2, 3] },
 * );
 * console.log(sums.data); // [0, 1, 3]
 * ```
 */
export function scan(
  turn: (carry: Tensor[], inputs: Tensor[]) => Turn,
  { carry, sequences = [], turns = sequences[0]?.shape[0], reverse = false }: ScanOptions,
): Required<Turn> {
  if (turns === undefined || !Number.isSafeInteger(turns) || turns < 1) {
    fail("scan/turns", "a scan has no turns", {
      expected: "a sequence with a first axis of at least 1, or turns",
      got: turns === undefined ? "neither" : String(turns),
      fix: "give sequences, or turns: how often the body runs",
    });
  }
  const { carried, outputs, body, results, shared } = traceBody(turn, carry, sequences);
  const attrs = { body, results, carried, sequences: sequences.length, turns, reverse };
  const made = applyMulti(scanOp, [...carry, ...sequences, ...shared], attrs);
  return { carry: made.slice(0, carried), outputs: made.slice(carried, carried + outputs) };
}

/** A graph of one turn, and the tensors of the outside that it uses. */
function traceBody(
  turn: (carry: Tensor[], inputs: Tensor[]) => Turn,
  carry: readonly Tensor[],
  sequences: readonly Tensor[],
) {
  const context = currentTrace();
  const body = new Graph();
  const known = new Map<number, Tensor>();
  const shared: Tensor[] = [];
  const leaf = (place: number, { dtype }: Tensor, shape: Shape) =>
    applyOp(inputLeaf, [], { name: String(place), dtype, shape });
  const capture = (outer: Tensor): Tensor => {
    const tensor = withTrace(context, () => own(outer, "a scan's body"));
    const inside = known.get(tensor.id) ?? leaf(carry.length + sequences.length + shared.length, tensor, tensor.shape);
    if (!known.has(tensor.id)) shared.push(tensor);
    known.set(tensor.id, inside);
    return inside;
  };
  return withTrace({ ...context, graph: body, enclosing: { context, capture } }, () => {
    const before = carry.map((x, place) => leaf(place, x, x.shape));
    const seen = sequences.map((x, at) => leaf(carry.length + at, x, x.shape.slice(1)));
    const { carry: after, outputs = [] } = turn(before, seen);
    if (after.length !== carry.length)
      fail("scan/carry", "a turn hands on another number of tensors than it got", {
        expected: String(carry.length),
        got: String(after.length),
      });
    const effect = body.nodes.find(({ op }) => op.kind === "update" || op.kind === "collective");
    if (effect !== undefined || body.taps.size > 0)
      fail("scan/effect", "the body of a scan only computes", {
        expected: "no assign() and no tap() inside",
        got: effect?.op.name ?? "tap",
        fix: "hand the value on, or give it out, and use it behind the scan",
      });
    const results = [...after, ...outputs].map((x) => own(x, "a scan's result").id);
    return { body, results, shared, carried: carry.length, outputs: outputs.length };
  });
}

/** Does again, in the trace under way, what a body does with these inputs: where each of its values went. */
export function inlineBody(body: Graph, inputs: readonly Tensor[]): Tensor[] {
  const values: Tensor[] = [];
  for (const { op, attrs, inputs: ids, scope } of body.nodes) {
    const operands = ids.map((id) => values[id]!);
    const made =
      op.name === "input" ? [inputs[Number(attrs.name)]!] : withScope(scope, () => applyMulti(op, operands, attrs));
    values.push(...made);
  }
  return values;
}
