// Pass `recompute`: values that lie in memory from the forward pass to the backward pass are forgotten and computed again when
// the backward pass asks for them. It is told neither pass: the turn is where most bytes are alive. What there is to forget,
// and what that costs, is found here; how much of it a budget needs, in ../recompute-ladder.ts.
import type { Graph, Node } from "../../core/index.ts";
import { byteCount } from "../placement.ts";
import { isEffect, type Pass, rewrite } from "../rewrite.ts";
import { isAlias } from "../views.ts";

/** How many nodes of each kind of work (`h.*.mlp.c_fc matmul`) are computed again: the first ones, whose turn comes last. */
export type Recompute = ReadonlyMap<string, number>;

/** Nodes of one kind of work, in order, that wait for the backward pass. */
export interface Waiting {
  readonly work: string;
  readonly nodes: readonly number[];
  /** Bytes kept for the backward pass. */
  readonly bytes: number;
  /** Operations that computing them again takes, moved bytes counted as `operationsPerByte` each. */
  readonly cost: number;
}

/** About what a processor computes while it moves one byte from or to memory. */
const operationsPerByte = 10;

export function recompute(choice: Recompute): Pass {
  return {
    name: "recompute",
    doc: "forgets what waits for the backward pass, and computes it again there",
    run: (graph) => {
      const turn = new Turn(graph);
      const forgotten = new Set<number>();
      for (const { work, nodes } of turn.waiting())
        for (const id of nodes.slice(0, choice.get(work) ?? 0)) forgotten.add(id);
      const copies = new Map<number, readonly number[]>();
      return rewrite(graph, (node, rewriter) => {
        if (node.id <= turn.at || isEffect(node)) return undefined;
        const where = (id: number): number => {
          const { node: maker, index } = graph.value(id);
          return copies.get(maker)?.[index] ?? rewriter.map(id);
        };
        // copied right before the first reader, and for all that follow
        for (const again of turn.again(node, forgotten, copies)) {
          const { op, inputs, attrs, scope } = graph.nodes[again]!;
          copies.set(again, rewriter.add(op, inputs.map(where), attrs, scope));
        }
        return rewriter.add(node.op, node.inputs.map(where), node.attrs, node.scope);
      });
    },
  };
}

/** What waits in a graph for nodes after the one at which most bytes are alive, kinds of work that free most for least first. */
export function waitingIn(graph: Graph): Waiting[] {
  return new Turn(graph).waiting();
}

/** The node of a graph at which most bytes are alive, and what is alive then. */
class Turn {
  readonly at: number;
  private readonly graph: Graph;
  /** By value: the value whose memory it is a view of. */
  private readonly base: number[] = [];
  /** By value that is no view: the last node that reads it. */
  private readonly lastRead: number[] = [];
  /** Outputs, the guard, and what variables become: they stay. */
  private readonly lasting = new Set<number>();

  constructor(graph: Graph) {
    this.graph = graph;
    for (const node of graph.nodes) {
      for (const id of node.outputs) this.base.push(isAlias(node) ? this.base[node.inputs[0]!]! : id);
      for (const id of node.inputs) {
        if (isEffect(node)) this.lasting.add(this.base[id]!);
        else this.lastRead[this.base[id]!] = node.id;
      }
    }
    const kept = [...graph.outputs.values(), ...(graph.guard === undefined ? [] : [graph.guard])];
    for (const id of kept) this.lasting.add(this.base[id]!);
    this.at = this.busiest();
  }

  private busiest(): number {
    const { nodes } = this.graph;
    const change = new Float64Array(nodes.length + 1);
    for (const node of nodes)
      for (const id of node.outputs) {
        if (!this.ownsMemory(node) || this.lasting.has(id)) continue;
        const bytes = this.bytesOf(id);
        change[node.id]! += bytes;
        change[(this.lastRead[id] ?? node.id) + 1]! -= bytes;
      }
    let [at, alive, most] = [0, 0, 0];
    nodes.forEach(({ id }) => {
      alive += change[id]!;
      if (alive > most) [at, most] = [id, alive];
    });
    return at;
  }

  waiting(): Waiting[] {
    const { nodes } = this.graph;
    const atTurn = new Set((nodes[this.at]?.inputs ?? []).map((id) => this.base[id]!));
    const kinds = new Map<string, { nodes: number[]; bytes: number; cost: number }>();
    const seen = new Map<string, number>();
    for (const node of nodes.slice(0, this.at)) {
      const kept = node.outputs.filter((id) => this.isReadLater(id));
      if (!this.ownsMemory(node) || kept.length === 0) continue;
      if (node.outputs.some((id) => this.lasting.has(id) || atTurn.has(id))) continue;
      const chain = [...this.again(node, new Set(), new Map()).map((id) => nodes[id]!), node];
      const dearest = chain.reduce((most, one) => (this.costOf(one) > this.costOf(most) ? one : most));
      const name = `${dearest.scope} ${dearest.op.name}`.trim();
      const nth = (seen.get(name) ?? 0) + 1;
      seen.set(name, nth);
      const work = `${name.replace(/(?<=^|\.)\d+(?=\.| )/g, "*")}${nth === 1 ? "" : ` ${nth}`}`;
      const kind = kinds.get(work) ?? { nodes: [], bytes: 0, cost: 0 };
      kind.nodes.push(node.id);
      for (const id of kept) kind.bytes += this.bytesOf(id);
      for (const one of chain) kind.cost += this.costOf(one);
      kinds.set(work, kind);
    }
    return [...kinds]
      .map(([work, kind]) => ({ work, ...kind }))
      .sort((a, b) => b.bytes / b.cost - a.bytes / a.cost || a.nodes[0]! - b.nodes[0]!);
  }

  /** The nodes from before the turn, in order, that must be computed again for `node` and are not yet among the copies. */
  again(node: Node, forgotten: ReadonlySet<number>, copies: ReadonlyMap<number, unknown>): number[] {
    const found = new Set<number>();
    const stack = [node];
    for (let reader = stack.pop(); reader !== undefined; reader = stack.pop()) {
      for (const id of reader.inputs) {
        const maker = this.graph.producer(id);
        if (found.has(maker.id) || copies.has(maker.id) || !this.vanishes(id, forgotten)) continue;
        found.add(maker.id);
        stack.push(maker);
      }
    }
    return [...found].sort((a, b) => a - b);
  }

  /** Whether a value's memory is not there any more after the turn. */
  private vanishes(id: number, forgotten: ReadonlySet<number>): boolean {
    const maker = this.graph.producer(this.base[id]!);
    if (maker.id > this.at || !this.ownsMemory(maker)) return false;
    return forgotten.has(maker.id) || !maker.outputs.some((own) => this.lasting.has(own) || this.isReadLater(own));
  }

  private isReadLater(id: number): boolean {
    return (this.lastRead[id] ?? -1) > this.at;
  }

  /** Leaves have their memory elsewhere, views in their input, fills nowhere. */
  private ownsMemory(node: Node): boolean {
    return node.op.kind !== "leaf" && node.op.name !== "fill" && !isAlias(node) && !isEffect(node);
  }

  private costOf(node: Node): number {
    if (!this.ownsMemory(node)) return 0;
    const types = (ids: readonly number[]) => ids.map((id) => this.graph.value(id));
    const { flops } = node.op.cost?.(types(node.inputs), types(node.outputs), node.attrs) ?? { flops: 0 };
    const bytes = [...node.inputs, ...node.outputs].reduce((sum, id) => sum + this.bytesOf(id), 0);
    return flops + operationsPerByte * bytes;
  }

  private bytesOf(id: number): number {
    const { dtype, shape } = this.graph.value(id);
    return byteCount(dtype, shape);
  }
}
