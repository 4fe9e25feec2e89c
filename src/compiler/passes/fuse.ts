// Pass `fuse`: chains of elementwise nodes over one shape become `tape` nodes, run tile by tile without touching memory
// between their operations. Only for targets with a tape kernel.
import { type DType, type Shape, sameShape } from "../../base/index.ts";
import { type Graph, type Node, registerClass, type TapeStep, tape } from "../../core/index.ts";
import { isEffect, type Pass, rewrite } from "../rewrite.ts";
import { scalarConstant } from "./simplify.ts";

const maxOperands = 24;

export const fuseElementwise: Pass = makeTapes("fuse", "runs chains of elementwise operations as one tape", 64);

/** Without fusion: each elementwise node is a tape of its own, since such targets have no other kernel for it. */
export const singleTapes: Pass = makeTapes("tapes", "makes each elementwise operation a tape", 1);

function makeTapes(name: string, doc: string, maxSteps: number): Pass {
  return { name, doc, run: (graph) => replaceGroups(graph, groupElementwise(graph, maxSteps)) };
}

/** A graph with a tape in the place of each group's last member. */
function replaceGroups(graph: Graph, groups: Map<number, Node[]>): Graph {
  const byLast = new Map<number, Node[]>();
  for (const group of new Set(groups.values())) byLast.set(group.at(-1)!.id, group);
  const leaders = reads(graph);
  return rewrite(graph, (node, rewriter) => {
    const group = groups.get(node.id);
    if (group === undefined) return undefined;
    // Members wait until the last of the group: their consumers outside all come later.
    const members = byLast.get(node.id);
    if (members === undefined) return node.outputs.map(() => -1);
    const plan = planTape(graph, members, leaders);
    const ids = rewriter.add(
      tape,
      plan.inputs.map((id) => rewriter.map(id)),
      { shape: graph.value(node.outputs[0]!).shape, steps: plan.steps, results: plan.results },
      members.at(-1)!.scope,
    );
    plan.outputs.forEach((id, at) => {
      rewriter.setMap(id, ids[at]!);
    });
    return [rewriter.map(node.outputs[0]!)];
  });
}

/** Node ids that read each value (effects apart: they run last), and whether something outside the nodes does. */
function reads(graph: Graph): { readonly byNode: number[][]; readonly outside: Set<number> } {
  const byNode: number[][] = graph.values.map(() => []);
  for (const node of graph.nodes) for (const id of node.inputs) byNode[id]!.push(node.id);
  const outside = new Set(graph.outputs.values());
  if (graph.guard !== undefined) outside.add(graph.guard);
  return { byNode, outside };
}

/** The class of tape that a node may join, or undefined when it must run alone: its register does not hold its rounding. */
function classOf(graph: Graph, node: Node): "f32" | "i32" | undefined {
  const inputs = node.inputs.map((id) => graph.value(id).dtype);
  const output = graph.value(node.outputs[0]!).dtype;
  const isCast = node.op.name === "cast";
  const chained: readonly DType[] = isCast ? ["f32", "bf16", "i32", "bool"] : ["f32", "i32", "bool"];
  const rounds = isCast && inputs[0] !== "bool" && output !== "f32" && !(inputs[0] === "f32" && output === "bf16");
  if (rounds || !chained.includes(output)) return undefined;
  if (!inputs.every((dtype) => chained.includes(dtype) || dtype === "u8")) return undefined;
  return registerClass(node.op.name, inputs, output);
}

/** Assigns every elementwise node to a group, in order of id. A group runs where its last member stood. */
function groupElementwise(graph: Graph, maxSteps: number): Map<number, Node[]> {
  const groups = new Map<number, Node[]>();
  const operands = new Map<Node[], Set<number>>();
  const { byNode } = reads(graph);
  for (const node of graph.nodes) {
    if (node.op.kind !== "elementwise") continue;
    let group: Node[] = [node];
    operands.set(group, new Set([...node.inputs, ...node.outputs]));
    for (const input of node.inputs) {
      const other = groups.get(graph.value(input).node);
      if (other === undefined || other === group) continue;
      if (other.length + group.length > maxSteps) continue;
      if (!mayJoin(graph, other, group, node, operands, groups, byNode)) continue;
      const merged = [...other, ...group].sort((a, b) => a.id - b.id);
      const all = new Set([...operands.get(other)!, ...operands.get(group)!]);
      operands.set(merged, all);
      for (const member of merged) groups.set(member.id, merged);
      group = merged;
    }
    groups.set(node.id, group);
  }
  return groups;
}

function mayJoin(
  graph: Graph,
  earlier: Node[],
  later: Node[],
  consumer: Node,
  operands: Map<Node[], Set<number>>,
  groups: Map<number, Node[]>,
  byNode: readonly number[][],
): boolean {
  const shape = (node: Node): Shape => graph.value(node.outputs[0]!).shape;
  if (!sameShape(shape(earlier[0]!), shape(consumer))) return false;
  const wanted = classOf(graph, consumer);
  if (wanted === undefined || classOf(graph, earlier[0]!) !== wanted) return false;
  if (operands.get(earlier)!.size + operands.get(later)!.size > maxOperands + earlier.length + later.length)
    return false;
  // Whoever reads a member before the group runs would read too early.
  return earlier.every((member) =>
    member.outputs.every((id) =>
      byNode[id]!.every((reader) => {
        if (reader >= consumer.id || isEffect(graph.nodes[reader]!)) return true;
        const group = groups.get(reader);
        return group === earlier || group === later;
      }),
    ),
  );
}

interface TapePlan {
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly steps: readonly TapeStep[];
  readonly results: readonly number[];
}

/** Registers: the inputs first, then one per step. */
function planTape(graph: Graph, members: readonly Node[], uses: ReturnType<typeof reads>): TapePlan {
  const inside = new Set(members.map((member) => member.id));
  const made = new Set(members.flatMap((member) => member.outputs));
  const constants = new Map<number, number>();
  const inputs: number[] = [];
  for (const member of members) {
    for (const id of member.inputs) {
      if (made.has(id) || constants.has(id) || inputs.includes(id)) continue;
      const value = scalarConstant(graph, id);
      if (value === undefined) inputs.push(id);
      else constants.set(id, value);
    }
  }
  const register = new Map(inputs.map((id, at) => [id, at]));
  const steps: TapeStep[] = [];
  for (const [id, value] of constants) {
    register.set(id, inputs.length + steps.length);
    steps.push({ op: "const", args: [], dtype: graph.value(id).dtype, value });
  }
  for (const member of members) {
    register.set(member.outputs[0]!, inputs.length + steps.length);
    steps.push({
      op: member.op.name,
      args: member.inputs.map((id) => register.get(id)!),
      dtype: graph.value(member.outputs[0]!).dtype,
    });
  }
  const outputs = members
    .map((member) => member.outputs[0]!)
    .filter((id) => uses.outside.has(id) || uses.byNode[id]!.some((reader) => !inside.has(reader)));
  return { inputs, outputs, steps, results: outputs.map((id) => register.get(id)!) };
}
