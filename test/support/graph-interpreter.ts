// What a graph means, without compiler or engine: nodes one after the other, every value an array of its own, variables
// written when all is read. The oracle for everything that moves, merges or shares.
import { fromNumbers, type HostArray, sizeOf, toNumbers } from "../../src/base/index.ts";
import { type Graph, type Node, type Tensor, trace } from "../../src/core/index.ts";

type Arrays = { readonly [name: string]: HostArray };

export interface Meaning {
  readonly committed: boolean;
  readonly outputs: Arrays;
  readonly variables: Arrays;
}

export function meaningOf(graph: Graph, feeds: Arrays, variables: Arrays): Meaning {
  const values: HostArray[] = [];
  const next = new Map<string, HostArray>();
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((id) => values[id]!);
    if (node.op.name === "assign") next.set(node.attrs.name as string, inputs[0]!);
    else values.push(...resultsOf(graph, node, inputs, feeds, variables));
  }
  const committed = graph.guard === undefined || Number(values[graph.guard]!.data[0]) !== 0;
  return {
    committed,
    outputs: Object.fromEntries([...graph.outputs].map(([name, id]) => [name, values[id]!])),
    variables: { ...variables, ...(committed ? Object.fromEntries(next) : {}) },
  };
}

function resultsOf(graph: Graph, node: Node, inputs: HostArray[], feeds: Arrays, variables: Arrays): HostArray[] {
  const { op, attrs } = node;
  if (op.name === "input") return [feeds[attrs.name as string]!];
  if (op.name === "variable") return [variables[attrs.name as string]!];
  if (op.name === "constant") return [attrs.value as HostArray];
  const types = node.outputs.map((id) => graph.value(id));
  const wide = inputs.map((input): HostArray => ({ ...input, data: toNumbers(input) }));
  if (op.scalar === undefined && op.reference === undefined) return composed(node, inputs);
  const outputs = types.map(({ dtype, shape }): HostArray => ({ dtype, shape, data: new Float64Array(sizeOf(shape)) }));
  if (op.reference !== undefined) op.reference(wide, attrs, outputs);
  else {
    const operands = wide.map(({ data }) => data as Float64Array);
    outputs[0]!.data.forEach((_, at) => {
      outputs[0]!.data[at] = op.scalar!(...operands.map((data) => data[at]!));
    });
  }
  return outputs.map(({ dtype, shape, data }) => fromNumbers(dtype, shape, data as Float64Array));
}

/** A fused op is its composition. */
function composed({ op, attrs }: Node, inputs: HostArray[]): HostArray[] {
  const feeds = Object.fromEntries(inputs.map((input, at) => [`in${at}`, input]));
  const graph = trace(feeds, (given) => {
    const result: Tensor | readonly Tensor[] = op.expand!(Object.values(given) as never, attrs);
    const tensors = Array.isArray(result) ? (result as readonly Tensor[]) : [result as Tensor];
    return Object.fromEntries(tensors.map((tensor, at) => [`out${at}`, tensor]));
  });
  return Object.values(meaningOf(graph, feeds, {}).outputs);
}
