// Pass `hoist`: what a loop does in every turn alike is done once, before it. A matrix that few rows are multiplied by in every turn is
// laid out for that before it too.
import { allOps, Graph, type Node, type Op, type ScanAttrs, type ValueType } from "../../core/index.ts";
import { type Pass, type Rewriter, rewrite } from "../rewrite.ts";
import type { Target } from "../target.ts";

/** Fewer rows take a matrix as it lies as fast; for more, a product lays it out in little of the time that it multiplies. */
const [leastRows, mostRows] = [3, 128];
/** Laying a matrix out takes about as long as three products with few rows. */
const leastTurns = 8;

export function hoist(target: Target): Pass {
  const packs = target.hasKernel("matmulPanels") && target.hasKernel("packPanels");
  return {
    name: "hoist",
    doc: "does before a loop what is the same in all of its turns",
    run: (graph) =>
      rewrite(graph, (node, rewriter) =>
        node.op.name === "scan" ? new Hoisting(node, rewriter, packs).run() : undefined,
      ),
  };
}

/** Values of a body that differ from turn to turn. */
export function varyingValues(body: Graph, { carried, sequences }: ScanAttrs): ReadonlySet<number> {
  const found = new Set<number>();
  for (const { op, attrs, inputs, outputs } of body.nodes)
    if (op.name === "input" ? Number(attrs.name) < carried + sequences : inputs.some((id) => found.has(id)))
      for (const id of outputs) found.add(id);
  return found;
}

class Hoisting {
  private readonly node: Node;
  private readonly attrs: ScanAttrs;
  private readonly rewriter: Rewriter;
  private readonly packs: boolean;
  private readonly varying: ReadonlySet<number>;
  private readonly body = new Graph();
  /** Where values of the old body went: in the new one, and outside of it. */
  private readonly inside = new Map<number, number>();
  private readonly outside = new Map<number, number>();
  /** Inputs of the new scan, and their leaves in its body by what they are outside. */
  private readonly inputs: number[] = [];
  private readonly leaves = new Map<number, number>();
  /** Panels by what they are of. */
  private readonly panels = new Map<string, number>();

  constructor(node: Node, rewriter: Rewriter, packs: boolean) {
    this.node = node;
    this.attrs = node.attrs as ScanAttrs;
    this.rewriter = rewriter;
    this.packs = packs && (node.attrs as ScanAttrs).turns >= leastTurns;
    this.varying = varyingValues(this.attrs.body, this.attrs);
  }

  run(): readonly number[] {
    const { node, attrs, rewriter, body } = this;
    const turning = attrs.carried + attrs.sequences;
    this.inputs.push(...node.inputs.slice(0, turning).map(rewriter.map));
    for (const one of attrs.body.nodes)
      if (this.varying.has(one.outputs[0]!) && !this.multiplyPanels(one)) this.copy(one);
    const results = attrs.results.map((id) => this.within(id));
    return rewriter.add(node.op, this.inputs, { ...attrs, body, results }, node.scope);
  }

  /** A node of the old body in the new one. */
  private copy({ op, attrs, inputs, outputs, scope }: Node): void {
    const operands = inputs.map((id) => this.within(id));
    const made = this.body.add(op, operands, attrs, scope);
    outputs.forEach((id, at) => void this.inside.set(id, made[at]!));
  }

  /** A value of the old body in the new one: views, and what is made of nothing, are made there; the rest comes from outside. */
  private within(id: number): number {
    if (!this.inside.has(id)) {
      const node = this.attrs.body.producer(id);
      if (node.op.kind === "view") this.copy(node);
      else this.inside.set(id, this.leaf(this.without(id)));
    }
    return this.inside.get(id)!;
  }

  /** A value that is the same in every turn, outside. */
  private readonly without = (id: number): number => {
    if (!this.outside.has(id)) {
      const { op, attrs, inputs, outputs, scope } = this.attrs.body.producer(id);
      const made = () => this.rewriter.add(op, inputs.map(this.without), attrs, scope);
      const ids = op.name === "input" ? [this.rewriter.map(this.node.inputs[Number(attrs.name)]!)] : made();
      outputs.forEach((output, at) => void this.outside.set(output, ids[at]!));
    }
    return this.outside.get(id)!;
  };

  private leaf(outer: number): number {
    const known = this.leaves.get(outer);
    if (known !== undefined) return known;
    const { dtype, shape } = this.rewriter.graph.value(outer);
    const name = String(this.inputs.push(outer) - 1);
    const [made] = this.body.add(allOps().get("input") as Op, [], { name, dtype, shape });
    this.leaves.set(outer, made!);
    return made!;
  }

  /** Makes a product with panels of a matrix that is the same in every turn; false where this is not one, or would gain nothing. */
  private multiplyPanels({ op, attrs, inputs, outputs, scope }: Node): boolean {
    if (!this.packs || op.name !== "matmul" || attrs.transposeA || this.varying.has(inputs[1]!)) return false;
    const [x, matrix] = inputs.map((id): ValueType => this.attrs.body.value(id)) as [ValueType, ValueType];
    const [rows, depth] = x.shape as [number, number];
    const isEven = x.dtype === "f32" || depth % 2 === 0;
    if (x.shape.length !== 2 || x.dtype !== matrix.dtype || !isEven || rows < leastRows || rows > mostRows)
      return false;
    const result = this.attrs.body.value(outputs[0]!);
    if (result.dtype !== "f32") return false;
    const operands = [this.within(inputs[0]!), this.leaf(this.panelsOf(inputs[1]!, attrs.transposeB === true, scope))];
    const columns = result.shape[1]!;
    const [made] = this.body.add(allOps().get("matmulPanels") as Op, operands, { columns }, scope);
    this.inside.set(outputs[0]!, made!);
    return true;
  }

  private panelsOf(id: number, transpose: boolean, scope: string): number {
    const matrix = this.without(id);
    const key = `${matrix} ${transpose}`;
    if (!this.panels.has(key)) {
      const [made] = this.rewriter.add(allOps().get("packPanels") as Op, [matrix], { transpose }, scope);
      this.panels.set(key, made!);
    }
    return this.panels.get(key)!;
  }
}
