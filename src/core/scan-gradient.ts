// The gradient of a scan: a scan that runs the other way. What its turns need of the forward turns is given out by the same scan once more,
// which thereby keeps more (the compiler makes one of both). A weight's gradient that is a product is one product over all turns.
import { isFloat } from "../base/index.ts";
import { matmulOf, zerosLike } from "./functions.ts";
import { gradients } from "./grad.ts";
import { Graph } from "./graph.ts";
import type { VjpContext } from "./op.ts";
import { inputLeaf } from "./ops/leaf.ts";
import { type ScanAttrs, scan as scanOp } from "./ops/scan.ts";
import { inlineBody, scan } from "./scan.ts";
import { applyMulti, applyOp, type Tensor } from "./tensor.ts";
import { currentTrace, withScope, withTrace } from "./trace.ts";

/** What flows into each input, `null` where nothing does. */
export function scanGradient({ inputs, grads, attrs }: VjpContext<readonly string[], ScanAttrs>): (Tensor | null)[] {
  const { results, carried, sequences, turns, reverse } = attrs;
  const given = inputs as readonly Tensor[];
  const places = [...given.keys()];
  const turn = new TurnGradient(attrs, given, grads);
  const { seeds, gradOf } = turn;
  const isSequence = (place: number) => place >= carried && place < carried + sequences;
  const flowing = places.filter((place) => place < carried && seeds[place] !== undefined);
  const shared = places.filter((place) => place >= carried + sequences && gradOf[place] !== undefined);
  const factors = new Map(shared.map((place) => [place, turn.factorsOf(gradOf[place]!)]));
  const summed = shared.filter((place) => factors.get(place) === undefined);

  const stacked = places.flatMap((place) => (isSequence(place) ? (gradOf[place] ?? []) : (factors.get(place) ?? [])));
  for (const id of [...stacked, ...[...flowing, ...summed].flatMap((place) => gradOf[place] ?? [])]) turn.need(id);
  const kept = [...turn.kept];
  const again = applyMulti(scanOp, given, { ...attrs, results: [...results, ...kept.map((id) => turn.origin(id))] });

  /** What every backward turn sees one index of, by what it stands for in the turn's graph. */
  const seen = new Map<number, Tensor>();
  seeds.forEach((seed, at) => seed !== undefined && at >= carried && seen.set(seed, grads[at]!));
  kept.forEach((id, at) => void seen.set(id, again[results.length + at]!));
  for (const place of turn.sequences) seen.set(turn.leaves[place]!, given[place]!);
  const out = [...new Set(stacked)].filter((id) => !seen.has(id));

  const { carry, outputs } = scan(
    (state, now) => {
      const values = new Map<number, Tensor>();
      [...seen.keys()].forEach((id, at) => void values.set(id, now[at]!));
      flowing.forEach((place, at) => void values.set(seeds[place]!, state[at]!));
      for (const place of places.slice(carried + sequences)) values.set(turn.leaves[place]!, given[place]!);
      turn.replay(values);
      const contribution = (place: number) => values.get(gradOf[place] ?? -1);
      return {
        carry: [
          ...flowing.map((place, at) => contribution(place) ?? zerosLike(state[at]!)),
          ...summed.map((place, at) => state[flowing.length + at]!.add(contribution(place)!)),
        ],
        outputs: out.map((id) => values.get(id)!),
      };
    },
    {
      carry: [...flowing.map((at) => grads[at] ?? zerosLike(given[at]!)), ...summed.map((at) => zerosLike(given[at]!))],
      sequences: [...seen.values()],
      turns,
      reverse: !reverse,
    },
  );

  const stackOf = (id: number) => seen.get(id) ?? outputs[out.indexOf(id)]!;
  const rowsOf = (id: number) => stackOf(id).reshape(-1, stackOf(id).shape.at(-1)!);
  const ends = new Map([...flowing, ...summed].map((place, at) => [place, carry[at]!]));
  return places.map((place) => {
    const [a, b] = factors.get(place) ?? [];
    if (a !== undefined) return matmulOf(rowsOf(a), rowsOf(b!), true, false);
    return isSequence(place) && gradOf[place] !== undefined ? stackOf(gradOf[place]) : (ends.get(place) ?? null);
  });
}

/** One turn and its gradient in a graph of their own; of that, what the backward turns do again and what the forward ones must keep. */
class TurnGradient {
  /** By place of an input: its value, and what flows into it. */
  readonly leaves: readonly number[];
  readonly gradOf: readonly (number | undefined)[];
  /** By result: what flows out of it, where something does. */
  readonly seeds: readonly (number | undefined)[];
  /** Forward values that backward turns need, and the sequences that they see. */
  readonly kept = new Set<number>();
  readonly sequences = new Set<number>();
  private readonly attrs: ScanAttrs;
  private readonly graph = new Graph();
  private readonly origins: ReadonlyMap<number, number>;
  /** Forward values that differ from turn to turn. */
  private readonly varying = new Set<number>();
  private readonly needed = new Set<number>();
  private readonly repeated = new Set<number>();

  constructor(attrs: ScanAttrs, inputs: readonly Tensor[], grads: readonly (Tensor | undefined)[]) {
    const { body, results, carried, sequences } = attrs;
    this.attrs = attrs;
    const { graph } = this;
    const { mode, floatDType } = currentTrace();
    const leafLike = ({ dtype, shape }: { dtype: Tensor["dtype"]; shape: Tensor["shape"] }) =>
      applyOp(inputLeaf, [], { name: String(graph.nodes.length), dtype, shape });
    const found = withTrace({ graph, mode, floatDType, random: undefined }, () => {
      const leaves = inputs.map(({ dtype, shape }, place) =>
        leafLike({ dtype, shape: place >= carried && place < carried + sequences ? shape.slice(1) : shape }),
      );
      const values = inlineBody(body, leaves);
      const made = results.map((id) => values[id]!);
      const seeds = made.map((x, at) =>
        isFloat(x.dtype) && (at < carried || grads[at] !== undefined) ? leafLike(x) : undefined,
      );
      const floats = leaves.filter(({ dtype }) => isFloat(dtype));
      const into = new Map(gradients(made, floats, seeds).map((grad, at) => [floats[at]!.id, grad?.id]));
      return { leaves, values, seeds, into };
    });
    this.leaves = found.leaves.map(({ id }) => id);
    this.seeds = found.seeds.map((seed) => seed?.id);
    this.gradOf = this.leaves.map((id) => found.into.get(id));
    this.origins = new Map(found.values.map(({ id }, origin) => [id, origin]));
    for (const id of this.leaves.slice(0, carried + sequences)) this.varying.add(id);
    for (const { inputs, outputs } of graph.nodes)
      if (inputs.some((id) => this.varying.has(id))) for (const id of outputs) this.varying.add(id);
  }

  /** The value of the body that a forward value is. */
  origin(id: number): number {
    return this.origins.get(id)!;
  }

  /** The factors of a product aᵀ·b of matrices: its sum over turns is one product of all their rows. */
  factorsOf(id: number): readonly number[] | undefined {
    const { op, attrs, inputs } = this.graph.producer(id);
    const isProduct = op.name === "matmul" && attrs.transposeA === true && attrs.transposeB === false;
    return isProduct && this.graph.value(id).shape.length === 2 ? inputs : undefined;
  }

  /** Marks what backward turns need for a value. Views, and what is the same in every turn, are made again. */
  need(id: number): void {
    if (this.needed.has(id)) return;
    this.needed.add(id);
    const { op, id: node, inputs } = this.graph.producer(id);
    const { carried, sequences } = this.attrs;
    const place = this.leaves.indexOf(id);
    const isForward = this.origins.has(id);
    if (place >= carried && place < carried + sequences) this.sequences.add(place);
    else if (isForward && this.varying.has(id) && op.kind !== "view") this.kept.add(id);
    else if (op.name !== "input") {
      this.repeated.add(node);
      for (const input of inputs) this.need(input);
    }
  }

  /** Does again, in the trace under way, what was marked; `values` are those that are given, and become all. */
  replay(values: Map<number, Tensor>): void {
    for (const { id, op, attrs, inputs, outputs, scope } of this.graph.nodes) {
      if (!this.repeated.has(id)) continue;
      const operands = inputs.map((input) => values.get(input)!);
      const made = withScope(scope, () => applyMulti(op, operands, attrs));
      outputs.forEach((output, at) => void values.set(output, made[at]!));
    }
  }
}
