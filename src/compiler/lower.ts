// Lowering: Graph → Plan. Decides which values are views, which share memory, where each buffer lies. Optimizes nothing else.
import { byteSize, type DType, fail, type Shape, sameShape, sizeOf } from "../base/index.ts";
import { type Attrs, allOps, type Graph, type Node } from "../core/index.ts";
import { aligned, planMemory } from "./memory.ts";
import type { Instruction, Plan, PlanTensor, PlanType } from "./plan.ts";
import { isEffect } from "./rewrite.ts";
import type { Target } from "./target.ts";
import { denseView, hasDenseRows, isDense, type StridedView, viewThrough } from "./views.ts";

/** A piece of memory: a variable, a feed, a constant, or a stretch of the arena with a lifetime. */
interface Buffer {
  readonly space: PlanTensor["space"];
  index: number;
  offset: number;
  readonly bytes: number;
  first: number;
  last: number;
  /** When the buffer turned out to be another one (in place, or a variable). */
  sameAs: Buffer | undefined;
}

interface Placement extends StridedView {
  readonly buffer: Buffer;
  readonly dtype: DType;
}

interface Draft {
  readonly kernel: string;
  readonly inputs: Placement[];
  readonly outputs: Placement[];
  readonly params: readonly number[];
  readonly attrs: Attrs;
  readonly node: number;
  readonly commit: boolean;
  readonly inPlace: readonly (readonly [number, number])[];
}

/** Turns an optimized graph into a plan for `target`. */
export function lower(graph: Graph, target: Target): Plan {
  const state = new Lowering(graph, target);
  return state.run();
}

class Lowering {
  private readonly graph: Graph;
  private readonly target: Target;
  private readonly placements = new Map<number, Placement>();
  private readonly drafts: Draft[] = [];
  private readonly variables: PlanType[] = [];
  private readonly feeds: PlanType[] = [];
  private readonly arena: Buffer[] = [];
  private readonly variableBuffers = new Map<string, Buffer>();
  private readonly constantParts: Uint8Array[] = [];
  private constantBytes = 0;
  private readonly commits: Set<number>;

  constructor(graph: Graph, target: Target) {
    this.graph = graph;
    this.target = target;
    this.commits = commitNodes(graph);
  }

  run(): Plan {
    // Without a guard nothing is a commit; with one, commits go last so that the guard is known before the first.
    const order = [
      ...this.graph.nodes.filter((node) => !this.commits.has(node.id)),
      ...this.graph.nodes.filter((node) => this.commits.has(node.id)),
    ];
    const assigns: Node[] = [];
    for (const node of order) {
      if (node.op.kind === "leaf") this.leaf(node);
      else if (isEffect(node)) assigns.push(node);
      else this.place(node);
    }
    const outputs = [...this.graph.outputs].map(([name, id]) => ({ name, at: this.densely(id, -1) }));
    this.lifetimes();
    for (const { at } of outputs) root(at.buffer).last = Number.POSITIVE_INFINITY;
    for (const node of assigns) this.keepOldValue(node);
    for (const node of assigns) this.assign(node);
    this.shareInPlace();
    return this.finish(outputs);
  }

  private leaf(node: Node): void {
    const id = node.outputs[0]!;
    const { dtype, shape } = this.graph.value(id);
    if (node.op.name === "constant") {
      this.placements.set(id, { ...denseView(shape), dtype, buffer: this.constant(node) });
      return;
    }
    const name = node.attrs.name as string;
    if (node.op.name === "variable") {
      this.placements.set(id, { ...denseView(shape), dtype, buffer: this.variable(name, dtype, shape) });
      return;
    }
    const index = this.feeds.push({ name, dtype, shape }) - 1;
    this.placements.set(id, { ...denseView(shape), dtype, buffer: block("feed", index, 0, byteCount(dtype, shape)) });
  }

  private constant(node: Node): Buffer {
    const { value } = node.attrs;
    if (typeof value !== "object" || !("data" in value)) return fail("internal/lower", "constant without a value");
    const offset = this.constantBytes;
    const { data } = value;
    const bytes = new Uint8Array(aligned(data.byteLength));
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    this.constantParts.push(bytes);
    this.constantBytes += bytes.length;
    return block("constant", 0, offset, data.byteLength);
  }

  private variable(name: string, dtype: DType, shape: Shape): Buffer {
    const known = this.variableBuffers.get(name);
    if (known !== undefined) {
      const type = this.variables[known.index]!;
      if (type.dtype !== dtype || !sameShape(type.shape, shape)) {
        fail("shape/variable", `variable ${name} is used with two types`, {
          expected: `${type.dtype}[${type.shape}]`,
          got: `${dtype}[${shape}]`,
        });
      }
      return known;
    }
    const buffer = block("variable", this.variables.push({ name, dtype, shape }) - 1, 0, byteCount(dtype, shape));
    this.variableBuffers.set(name, buffer);
    return buffer;
  }

  /** Views cost nothing where the target addresses by strides; every other node becomes an instruction. */
  private place(node: Node): void {
    if (node.op.kind === "view" && node.inputs.length === 1) {
      const input = this.placements.get(node.inputs[0]!)!;
      const views = node.outputs.map((id, at) => {
        const { shape } = this.graph.value(id);
        const view = viewThrough(node, input, shape, at);
        return view === undefined || !(this.target.strided || isDense(view)) ? undefined : view;
      });
      // Without strides only a view that starts where its buffer starts is one: dense, and nothing skipped.
      const usable = views.every((view) => view && (this.target.strided || view.offset === input.offset));
      if (usable) {
        node.outputs.forEach((id, at) => {
          this.placements.set(id, { ...views[at]!, dtype: input.dtype, buffer: input.buffer });
        });
        return;
      }
      if (this.target.strided && node.op.name === "reshape") {
        const dense = this.densely(node.inputs[0]!, node.id);
        const { shape } = this.graph.value(node.outputs[0]!);
        this.placements.set(node.outputs[0]!, { ...denseView(shape), dtype: dense.dtype, buffer: dense.buffer });
        return;
      }
    }
    if (this.target.strided && node.op.name === "concat") this.concat(node);
    else if (this.target.strided && node.op.name === "pad") this.pad(node);
    else this.kernel(node);
  }

  private kernel(node: Node): void {
    const { op, attrs } = node;
    const tape = this.target.tapes && op.kind === "elementwise";
    if (!tape && !this.target.hasKernel(op.name)) {
      fail("engine/no-kernel", `the ${this.target.name} engine has no kernel for ${op.name}`, {
        where: node.scope,
        fix: "run on the reference engine, or express it with other operations",
      });
    }
    const layout = tape ? "strided" : (op.layout ?? "dense");
    const inputs = node.inputs.map((id) => this.operand(id, layout, node.id));
    const outputs = node.outputs.map((id) => this.fresh(id));
    const types = node.inputs.map((id) => this.graph.value(id));
    this.drafts.push({
      kernel: op.name,
      inputs,
      outputs,
      params: op.params?.(attrs, types) ?? [],
      attrs,
      node: node.id,
      commit: this.commits.has(node.id),
      inPlace: tape ? everyPair(outputs.length, inputs.length) : (op.inPlace ?? []),
    });
  }

  /** Parts are written into windows of one buffer. */
  private concat(node: Node): void {
    const whole = this.fresh(node.outputs[0]!);
    const axis = node.attrs.axis as number;
    let start = 0;
    for (const id of node.inputs) {
      const part = this.placements.get(id)!;
      const window = { ...whole, offset: whole.offset + start * whole.strides[axis]!, shape: part.shape };
      start += part.shape[axis]!;
      if (!this.writeInto(id, part, window)) this.copy(part, window, node.id);
    }
  }

  /** Lets the kernel that makes a value write it where it is wanted, instead of copying it there afterwards. */
  private writeInto(id: number, part: Placement, window: Placement): boolean {
    const maker = this.drafts.find((draft) => draft.outputs.some((output) => output.buffer === part.buffer));
    const readers = this.graph.nodes.filter((node) => node.inputs.includes(id)).length;
    const isWholeBuffer =
      part.buffer.space === "arena" &&
      part.offset === 0 &&
      isDense(part) &&
      part.buffer.bytes === byteCount(part.dtype, part.shape);
    if (maker === undefined || readers !== 1 || !isWholeBuffer || !stridedOutputs.has(maker.kernel)) return false;
    const at = maker.outputs.findIndex((output) => output.buffer === part.buffer);
    const made = maker.outputs[at]!;
    const moved = viewLike(window, made.shape);
    if (moved === undefined || this.isReadElsewhere(part.buffer, maker)) return false;
    maker.outputs[at] = { ...moved, dtype: made.dtype, buffer: window.buffer };
    return true;
  }

  private isReadElsewhere(buffer: Buffer, maker: Draft): boolean {
    return this.drafts.some((draft) => draft !== maker && draft.inputs.some((input) => input.buffer === buffer));
  }

  private pad(node: Node): void {
    const whole = this.fresh(node.outputs[0]!);
    const part = this.placements.get(node.inputs[0]!)!;
    const { axis, low, value } = node.attrs as { axis: number; low: number; value: number };
    this.emit("fill", [], [whole], [value], node.id);
    this.copy(part, { ...whole, offset: low * whole.strides[axis]!, shape: part.shape }, node.id);
  }

  private copy(from: Placement, to: Placement, node: number): void {
    this.emit("copy", [from], [to], [], node);
  }

  private emit(kernel: string, inputs: Placement[], outputs: Placement[], params: number[], node: number): void {
    this.drafts.push({ kernel, inputs, outputs, params, attrs: {}, node, commit: false, inPlace: [] });
  }

  private operand(id: number, layout: "strided" | "rows" | "dense", node: number): Placement {
    const placement = this.placements.get(id)!;
    if (layout === "strided" || (layout === "rows" && hasDenseRows(placement))) return placement;
    return this.densely(id, node);
  }

  /** The value without gaps, copied if it is a view with some. The copy serves later readers too. */
  private densely(id: number, node: number): Placement {
    const placement = this.placements.get(id)!;
    if (isDense(placement)) return placement;
    const dense = this.fresh(id);
    this.copy(placement, dense, node);
    return dense;
  }

  private fresh(id: number): Placement {
    const { dtype, shape } = this.graph.value(id);
    const buffer = block("arena", 0, 0, byteCount(dtype, shape));
    this.arena.push(buffer);
    const placement = { ...denseView(shape), dtype, buffer };
    this.placements.set(id, placement);
    return placement;
  }

  private lifetimes(): void {
    this.drafts.forEach((draft, at) => {
      for (const { buffer } of [...draft.inputs, ...draft.outputs]) {
        buffer.first = Math.min(buffer.first, at);
        buffer.last = Math.max(buffer.last, at);
      }
    });
    if (this.graph.guard !== undefined) this.placements.get(this.graph.guard)!.buffer.last = Number.POSITIVE_INFINITY;
  }

  /** An output takes over the memory of an input that dies with the instruction. */
  private shareInPlace(): void {
    this.drafts.forEach((draft, at) => {
      const taken = new Set<Buffer>();
      for (const [out, into] of draft.inPlace) {
        const [output, input] = [draft.outputs[out], draft.inputs[into]];
        if (output === undefined || input === undefined || output.buffer.sameAs) continue;
        const from = root(input.buffer);
        const fits =
          from.space === "arena" &&
          from.last === at &&
          !taken.has(from) &&
          from !== output.buffer &&
          output.buffer.space === "arena" &&
          output.buffer.first === at &&
          from.bytes === output.buffer.bytes &&
          input.dtype === output.dtype &&
          isDense(input) &&
          isDense(output) &&
          input.offset === 0 &&
          output.offset === 0 &&
          // the same memory read through another operand would be overwritten while it is read
          draft.inputs.every((other, position) => position === into || root(other.buffer) !== from);
        if (!fits) continue;
        output.buffer.sameAs = from;
        from.last = Math.max(from.last, output.buffer.last);
        taken.add(from);
      }
    });
  }

  /** A variable given the old value of another (a swap, say) takes it from a copy made before any is overwritten. */
  private keepOldValue(node: Node): void {
    const id = node.inputs[0]!;
    const value = this.placements.get(id)!;
    if (value.buffer.space !== "variable") return;
    const kept = this.fresh(id);
    this.copy(value, kept, node.id);
    kept.buffer.first = kept.buffer.last = this.drafts.length - 1;
  }

  /** A variable's next value is written in its place when nobody reads the old one later; else copied at the end. */
  private assign(node: Node): void {
    const id = node.inputs[0]!;
    const value = this.placements.get(id)!;
    const target = this.variable(node.attrs.name as string, node.attrs.dtype as DType, node.attrs.shape as Shape);
    const from = root(value.buffer);
    if (from === target) return; // already there
    const maker = this.drafts.findIndex((draft) => draft.outputs.some((output) => root(output.buffer) === from));
    const direct =
      maker >= 0 &&
      from.space === "arena" &&
      from.last !== Number.POSITIVE_INFINITY &&
      isDense(value) &&
      value.offset === 0 &&
      from.bytes === target.bytes &&
      (this.graph.guard === undefined || this.drafts[maker]!.commit) &&
      this.writersOf(from) === 1 &&
      this.mayOverwrite(maker, target, from);
    if (direct) {
      from.sameAs = target;
      return;
    }
    const dense = isDense(value) ? value : this.densely(id, node.id);
    const { shape } = this.graph.value(id);
    this.emit("copy", [dense], [{ ...denseView(shape), dtype: value.dtype, buffer: target }], [], node.id);
    const last = this.drafts.length - 1;
    this.drafts[last] = { ...this.drafts[last]!, commit: this.graph.guard !== undefined };
    from.last = Math.max(from.last, last);
    dense.buffer.first = Math.min(dense.buffer.first, last - 1);
    dense.buffer.last = Math.max(dense.buffer.last, last);
  }

  private writersOf(buffer: Buffer): number {
    return this.drafts.filter((draft) => draft.outputs.some((output) => root(output.buffer) === buffer)).length;
  }

  /** True when every reader of the variable runs before instruction `maker`, or is it and reads in step with its writing. */
  private mayOverwrite(maker: number, variable: Buffer, made: Buffer): boolean {
    return this.drafts.every((draft, at) => {
      if (draft.outputs.some((output) => root(output.buffer) === variable)) return false;
      const positions = draft.inputs.flatMap((input, position) => (root(input.buffer) === variable ? [position] : []));
      if (positions.length === 0 || at < maker) return true;
      if (at > maker) return false;
      const out = draft.outputs.findIndex((output) => root(output.buffer) === made);
      return positions.every((position) => {
        const input = draft.inputs[position]!;
        return isDense(input) && input.offset === 0 && draft.inPlace.some(([o, i]) => o === out && i === position);
      });
    });
  }

  private finish(outputs: readonly { name: string; at: Placement }[]): Plan {
    const roots = this.arena.filter((buffer) => buffer.sameAs === undefined && buffer.first <= buffer.last);
    const { offsets, totalBytes } = planMemory(roots);
    roots.forEach((buffer, at) => {
      buffer.offset = offsets[at]!;
    });
    const tensors: PlanTensor[] = [];
    const known = new Map<string, number>();
    const tensorOf = (placement: Placement): number => {
      const { space, index, offset } = root(placement.buffer);
      const tensor: PlanTensor = {
        space,
        index,
        offset: offset + placement.offset * byteSize(placement.dtype),
        dtype: placement.dtype,
        shape: placement.shape,
        strides: placement.strides,
      };
      const key = JSON.stringify(tensor);
      const at = known.get(key) ?? tensors.push(tensor) - 1;
      known.set(key, at);
      return at;
    };
    const code = this.drafts.map(
      (draft): Instruction => ({
        kernel: this.target.tapes && allOps().get(draft.kernel)?.kind === "elementwise" ? "tape" : draft.kernel,
        inputs: draft.inputs.map(tensorOf),
        outputs: draft.outputs.map(tensorOf),
        params: draft.params,
        attrs: draft.attrs,
        node: draft.node,
        commit: draft.commit,
      }),
    );
    const guard = this.graph.guard === undefined ? -1 : tensorOf(this.placements.get(this.graph.guard)!);
    const constants = new Uint8Array(this.constantBytes);
    let at = 0;
    for (const part of this.constantParts) {
      constants.set(part, at);
      at += part.length;
    }
    return {
      tensors,
      code,
      arenaBytes: totalBytes,
      constants,
      variables: this.variables,
      feeds: this.feeds,
      outputs: outputs.map(({ name, at }) => ({ name, tensor: tensorOf(at) })),
      guard,
      nodes: this.graph.nodes.map((node) => ({
        op: node.op.name,
        scope: node.scope,
        flops: this.flopsOf(node),
      })),
    };
  }

  private flopsOf(node: Node): number {
    const types = (ids: readonly number[]) => ids.map((id) => this.graph.value(id));
    return node.op.cost?.(types(node.inputs), types(node.outputs), node.attrs).flops ?? 0;
  }
}

/** Kernels that can write their outputs into strided windows. */
const stridedOutputs = new Set(["attentionGrad", "tape", "copy"]);

/** A window's memory under another shape, if strides can express it. */
function viewLike(window: Placement, shape: Shape): StridedView | undefined {
  const node = { op: { name: "reshape" }, attrs: {} } as Node;
  return sameShape(window.shape, shape) ? window : viewThrough(node, window, shape, 0);
}

function block(space: Buffer["space"], index: number, offset: number, bytes: number): Buffer {
  return { space, index, offset, bytes, first: Number.POSITIVE_INFINITY, last: -1, sameAs: undefined };
}

function root(buffer: Buffer): Buffer {
  let at = buffer;
  while (at.sameAs !== undefined) at = at.sameAs;
  return at;
}

function byteCount(dtype: DType, shape: Shape): number {
  return sizeOf(shape) * byteSize(dtype);
}

function everyPair(outputs: number, inputs: number): [number, number][] {
  return Array.from({ length: outputs * inputs }, (_, at) => [Math.floor(at / inputs), at % inputs]);
}

/** With a guard: nodes whose results only assignments use, and the assignments. They run last, if the guard holds. */
function commitNodes(graph: Graph): Set<number> {
  const commits = new Set<number>();
  if (graph.guard === undefined) return commits;
  const readers: number[][] = graph.values.map(() => []);
  for (const node of graph.nodes) for (const id of node.inputs) readers[id]!.push(node.id);
  const outside = new Set([...graph.outputs.values(), graph.guard]);
  for (let at = graph.nodes.length - 1; at >= 0; at--) {
    const node = graph.nodes[at]!;
    const onlyCommits = node.outputs.every(
      (id) => !outside.has(id) && readers[id]!.every((reader) => commits.has(reader)),
    );
    if (isEffect(node) || (onlyCommits && node.op.kind !== "leaf" && node.op.kind !== "view")) commits.add(at);
  }
  return commits;
}
