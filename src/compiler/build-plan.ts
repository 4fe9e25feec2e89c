// The last step of lowering: drafts become instructions, placements become addresses in one arena.
import { byteSize, contiguousStrides, type Shape, sizeOf } from "../base/index.ts";
import type { Graph } from "../core/index.ts";
import type { Lowering } from "./lower.ts";
import { planMemory } from "./memory.ts";
import { type Draft, type Placement, root } from "./placement.ts";
import type { Instruction, Plan, PlanLoop, PlanTensor } from "./plan.ts";
import { isDense } from "./views.ts";

interface NamedPlacement {
  readonly name: string;
  readonly at: Placement;
}

export function buildPlan(lowering: Lowering, outputs: readonly NamedPlacement[], guard: Placement | undefined): Plan {
  const { graphs, drafts, arena, variables, feeds } = lowering;
  const buffers = arena.filter((buffer) => buffer.sameAs === undefined && buffer.first <= buffer.last);
  const { offsets, totalBytes } = planMemory(buffers);
  buffers.forEach((buffer, at) => {
    buffer.offset = offsets[at]!;
  });
  const table = new TensorTable();
  const code = drafts.map(
    ({ kernel, inputs, outputs, params, attrs, node, commit, loop }): Instruction => ({
      ...(loop === undefined ? {} : { turns: loop.turns }),
      kernel,
      inputs: inputs.map((operand) => table.indexOf(operand)),
      outputs: outputs.map((operand) => table.indexOf(operand)),
      params,
      attrs,
      node,
      commit,
    }),
  );
  const constants = new Uint8Array(lowering.constantBytes);
  for (const { offset, bytes } of lowering.constants) constants.set(bytes, offset);
  return {
    code,
    outputs: outputs.map(({ name, at }) => ({ name, tensor: table.indexOf(at) })),
    guard: guard === undefined ? -1 : table.indexOf(guard),
    tensors: table.tensors,
    arenaBytes: totalBytes,
    constants,
    variables,
    feeds,
    nodes: graphs.flatMap(({ graph, turns }) => nodesOf(graph, turns)),
    loops: loopsOf(drafts),
  };
}

/** The distinct tensors of a plan. */
class TensorTable {
  readonly tensors: PlanTensor[] = [];
  private readonly known = new Map<string, number>();

  indexOf(placement: Placement): number {
    const { dtype, shape } = placement;
    const own = root(placement.buffer);
    const { start: first = 0, step = 0 } = own.moving ?? {};
    const { space, index, offset: base } = own.moving === undefined ? own : root(own.moving.of);
    const offset = base + first;
    // nothing lies nowhere: an empty window must not point behind its buffer
    const start = offset + (sizeOf(shape) === 0 ? 0 : placement.offset * byteSize(dtype));
    const strides = isDense(placement) ? contiguousStrides(shape) : ownStrides(shape, placement.strides);
    const key = `${space} ${index} ${start} ${dtype} ${shape} ${strides} ${step}`;
    let at = this.known.get(key);
    if (at === undefined) {
      at =
        this.tensors.push({ space, index, offset: start, dtype, shape, strides, ...(step === 0 ? {} : { step }) }) - 1;
      this.known.set(key, at);
    }
    return at;
  }
}

/** The stride of a dimension of size 1 means nothing: 1 for all, so that a last axis reads as dense. */
function ownStrides(shape: Shape, strides: readonly number[]): readonly number[] {
  return strides.map((stride, axis) => (shape[axis] === 1 ? 1 : stride));
}

function loopsOf(drafts: readonly Draft[]): readonly PlanLoop[] {
  const loops = new Set(drafts.flatMap(({ loop }) => loop ?? []));
  return [...loops].map(({ first, end, turns }) => ({ first, count: end - first, turns }));
}

/** What a scan computes is told of its body's nodes, for all turns. */
function nodesOf(graph: Graph, turns: number): Plan["nodes"] {
  const types = (ids: readonly number[]) => ids.map((id) => graph.value(id));
  return graph.nodes.map(({ op, scope, inputs, outputs, attrs }) => ({
    op: op.name,
    scope,
    flops: op.name === "scan" ? 0 : turns * (op.cost?.(types(inputs), types(outputs), attrs).flops ?? 0),
  }));
}
