// The op `scan`: a body, itself a graph, that runs once for every index of a leading axis and hands values on from turn to turn. How a body
// is traced is in ../scan.ts, its gradient in ../scan-gradient.ts.
import { fail, formatType, sameShape } from "../../base/index.ts";
import * as f from "../functions.ts";
import type { Graph } from "../graph.ts";
import { type Attrs, defineOp, type ValueType } from "../op.ts";
import { inlineBody } from "../scan.ts";
import { scanGradient } from "../scan-gradient.ts";
import type { Tensor } from "../tensor.ts";

export interface ScanAttrs extends Attrs {
  /** Its inputs are called by their places among the node's. */
  readonly body: Graph;
  /** Values of the body: the next of each that is carried, then what is given out of every turn. */
  readonly results: readonly number[];
  /** Inputs that are carried: they come first. */
  readonly carried: number;
  /** Inputs behind them of which each turn sees one index of the first axis; all others are the same in every turn. */
  readonly sequences: number;
  readonly turns: number;
  /** From the last index to the first. */
  readonly reverse: boolean;
}

/** What a turn sees of the input at a place. */
export function seenByTurn({ dtype, shape }: ValueType, place: number, attrs: ScanAttrs): ValueType {
  const isSequence = place >= attrs.carried && place < attrs.carried + attrs.sequences;
  return isSequence ? { dtype, shape: shape.slice(1) } : { dtype, shape };
}

export const scan = defineOp<["values"], ScanAttrs>({
  name: "scan",
  kind: "scan",
  doc: "A body over and over, along a first axis; what it carries goes on from turn to turn.",
  inputs: ["values"],
  variadic: true,
  infer: (inputs: readonly ValueType[], attrs) => {
    const { body, results, carried, sequences, turns } = attrs;
    const complain = (what: string, expected: string, got: ValueType | undefined): never =>
      fail("shape/scan", what, { expected, got: got ? formatType(got.dtype, got.shape) : "nothing" });
    for (const one of inputs.slice(carried, carried + sequences))
      if (one.shape[0] !== turns) complain("sequences differ in length", `a first axis of ${turns}`, one);
    for (const { attrs: leaf, outputs } of body.nodesOf("input")) {
      const wanted = body.value(outputs[0]!);
      const place = Number(leaf.name);
      const given = inputs[place] && seenByTurn(inputs[place], place, attrs);
      if (given === undefined || given.dtype !== wanted.dtype || !sameShape(given.shape, wanted.shape))
        complain(`input ${place} is not what the body takes`, formatType(wanted.dtype, wanted.shape), given);
    }
    return results.map((id, at) => {
      const { dtype, shape } = body.value(id);
      if (at >= carried) return { dtype, shape: [turns, ...shape] };
      const before = inputs[at]!;
      if (before.dtype !== dtype || !sameShape(before.shape, shape))
        complain("what is carried changes its type", formatType(before.dtype, before.shape), { dtype, shape });
      return { dtype, shape };
    });
  },
  expand: (given, attrs) => {
    const { results, carried, sequences, turns, reverse, body } = attrs;
    const inputs: readonly Tensor[] = given;
    let carry = inputs.slice(0, carried);
    const outputs: Tensor[][] = results.slice(carried).map(() => []);
    for (let turn = 0; turn < turns; turn++) {
      const at = reverse ? turns - 1 - turn : turn;
      const seen = inputs.map((x, place) =>
        place >= carried && place < carried + sequences ? x.slice(0, at, at + 1).reshape(...x.shape.slice(1)) : x,
      );
      const values = inlineBody(body, [...carry, ...seen.slice(carried)]);
      const made = results.map((id) => values[id]!);
      carry = made.slice(0, carried);
      outputs.forEach((all, out) => {
        const one = made[carried + out]!;
        all[reverse ? "unshift" : "push"](one.reshape(1, ...one.shape));
      });
    }
    return [...carry, ...outputs.map((all) => f.concat(all, 0))];
  },
  vjp: (context) => scanGradient(context) as [Tensor | null],
  cost: (_, __, { body, turns }) => {
    const types = (ids: readonly number[]) => ids.map((id) => body.value(id));
    const flops = body.nodes.map(
      ({ op, inputs, outputs, attrs }) => op.cost?.(types(inputs), types(outputs), attrs).flops ?? 0,
    );
    return { flops: turns * flops.reduce((sum, one) => sum + one, 0) };
  },
  samples: [],
  noSamples: "a body has dtypes of its own: src/core/scan.test.ts holds it to its unrolled form",
});
