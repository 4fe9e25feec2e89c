// The graph: an append-only list of nodes whose ids are in topological order. Holds no data but constants, runs nothing.
import { type DType, fail, formatType, type HostArray, type Shape, sameShape } from "../base/index.ts";
import type { Attrs, Op, ValueType } from "./op.ts";

/** Result of a node. `id` numbers all values of a graph in order of creation. */
export interface Value extends ValueType {
  readonly id: number;
  /** The node that makes it, and which of its outputs it is. */
  readonly node: number;
  readonly index: number;
}

export interface Node {
  readonly id: number;
  readonly op: Op;
  readonly attrs: Attrs;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  /** Module path that made it, `h.0.attn`, or "". */
  readonly scope: string;
}

export class Graph {
  readonly nodes: Node[] = [];
  readonly values: Value[] = [];
  /** What a program returns, by name. */
  readonly outputs = new Map<string, number>();
  /** Intermediate values that were named with `tap`. */
  readonly taps = new Map<string, number>();
  /** When set: a bool scalar; variables are written only if it is true at the end. */
  guard: number | undefined;

  /** Appends a node and returns the ids of its outputs. Runs the op's shape rule. */
  add(op: Op, inputs: readonly number[], attrs: Attrs, scope = ""): readonly number[] {
    const types: ValueType[] = inputs.map((id) => this.value(id));
    const least = op.inputs.length - (op.optional ?? 0);
    if (inputs.length < least || (!op.variadic && inputs.length > op.inputs.length)) {
      fail("op/arity", `${op.name} was given ${inputs.length} tensors`, {
        expected: `${op.variadic ? "at least " : ""}${least === op.inputs.length || op.variadic ? least : `${least} to ${op.inputs.length}`} (${op.inputs.join(", ")})`,
        got: `${inputs.length}`,
      });
    }
    const inferred: ValueType | readonly ValueType[] = op.infer(types, attrs);
    const outputTypes = (Array.isArray(inferred) ? inferred : [inferred]) as readonly ValueType[];
    const nodeId = this.nodes.length;
    const outputs = outputTypes.map((type, index) => {
      const id = this.values.length;
      this.values.push({ id, node: nodeId, index, dtype: type.dtype, shape: type.shape });
      return id;
    });
    this.nodes.push({ id: nodeId, op, attrs, inputs, outputs, scope });
    return outputs;
  }

  value(id: number): Value {
    const value = this.values[id];
    if (value === undefined) fail("internal/graph", `no value %${id} in this graph`);
    return value;
  }

  /** The node that makes a value. */
  producer(id: number): Node {
    return this.nodes[this.value(id).node]!;
  }

  /** Nodes with the given op name, in order. */
  nodesOf(opName: string): Node[] {
    return this.nodes.filter((node) => node.op.name === opName);
  }

  /** The stable text form, one node a line. */
  toString(): string {
    return formatGraph(this);
  }
}

/** `%4:f32[4,3] = add %3 %2`, one node a line; then outputs and the guard. */
export function formatGraph(graph: Graph): string {
  const lines = graph.nodes.map((node) => {
    const results = node.outputs.map((id) => `%${id}:${formatValue(graph.value(id))}`).join(", ");
    const inputs = node.inputs.map((id) => ` %${id}`).join("");
    return `${results === "" ? "" : `${results} = `}${node.op.name}${inputs}${formatAttrs(node.attrs)}`;
  });
  for (const [name, id] of graph.outputs) lines.push(`output ${name} = %${id}`);
  if (graph.guard !== undefined) lines.push(`guard %${graph.guard}`);
  return lines.join("\n");
}

function formatValue(value: { dtype: DType; shape: Shape }): string {
  return formatType(value.dtype, value.shape);
}

function formatAttrs(attrs: Attrs): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(attrs)) {
    if (value === undefined) continue;
    parts.push(`${name}=${formatAttr(value)}`);
  }
  return parts.length === 0 ? "" : ` {${parts.join(", ")}}`;
}

function formatAttr(value: NonNullable<Attrs[string]>): string {
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) {
    return `[${value.map((item) => (typeof item === "object" ? formatTapeStep(item) : String(item))).join(", ")}]`;
  }
  if (value instanceof Graph) return `(\n${formatGraph(value).replace(/^/gm, "    ")}\n  )`;
  const { dtype, shape, data } = value as HostArray;
  const shown = Array.from(data.subarray(0, 4) as Float64Array, String).join(", ");
  return `${formatType(dtype, shape)}(${shown}${data.length > 4 ? ", …" : ""})`;
}

function formatTapeStep(step: { op: string; args: readonly number[]; value?: number }): string {
  return step.value === undefined ? `${step.op}(${step.args.join(" ")})` : `${step.op}(${step.value})`;
}

/** Re-runs every shape rule and checks ids, order and names. Passes run it in tests after each step. */
export function verifyGraph(graph: Graph): void {
  const broken = (what: string, node?: Node): never =>
    fail("internal/graph", what, node ? { where: node.scope, got: `node ${node.id} ${node.op.name}` } : {});
  let nextValue = 0;
  graph.nodes.forEach((node, id) => {
    if (node.id !== id) broken("node id is not its position", node);
    for (const input of node.inputs)
      if (!(input >= 0 && input < nextValue)) broken("input is not defined before use", node);
    for (const attr of Object.values(node.attrs)) if (attr instanceof Graph) verifyGraph(attr);
    const inferred = node.op.infer(
      node.inputs.map((input) => graph.value(input)),
      node.attrs,
    );
    const types = (Array.isArray(inferred) ? inferred : [inferred]) as readonly ValueType[];
    if (types.length !== node.outputs.length) broken("number of outputs differs from the shape rule", node);
    node.outputs.forEach((output, index) => {
      const value = graph.value(output);
      if (output !== nextValue++) broken("value ids are not consecutive", node);
      if (value.node !== id || value.index !== index) broken("value does not point at its node", node);
      if (value.dtype !== types[index]!.dtype || !sameShape(value.shape, types[index]!.shape)) {
        broken(
          `output type differs from the shape rule: ${formatValue(value)} against ${formatValue(types[index]!)}`,
          node,
        );
      }
    });
  });
  for (const [name, id] of [...graph.outputs, ...graph.taps])
    if (!(id in graph.values)) broken(`output ${name} is no value`);
  if (graph.guard !== undefined) {
    const guard = graph.value(graph.guard);
    if (guard.dtype !== "bool" || guard.shape.length !== 0) broken("guard is not a bool scalar");
  }
}
