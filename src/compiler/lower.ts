// Lowering: Graph → drafts of instructions, in the order in which they will run. Views cost nothing where the target
// addresses by strides. What is written where is decided in assign.ts and in-place.ts, addresses in build-plan.ts.
import {
  type DType,
  fail,
  fromNumbers,
  type HostArray,
  type Shape,
  sameShape,
  sizeOf,
  unreachable,
} from "../base/index.ts";
import type { Graph, Node } from "../core/index.ts";
import { type Assignment, assignAll } from "./assign.ts";
import { buildPlan } from "./build-plan.ts";
import { checkDTypes } from "./check-dtypes.ts";
import { commitNodes } from "./commits.ts";
import { shareInPlace } from "./in-place.ts";
import { lowerScan } from "./loops.ts";
import { aligned } from "./memory.ts";
import { type Buffer, block, byteCount, type Draft, isWhole, type Loop, type Placement } from "./placement.ts";
import type { Plan, PlanType } from "./plan.ts";
import { countUses, isEffect } from "./rewrite.ts";
import type { Target } from "./target.ts";
import { denseView, hasDenseRows, isDense, reshapeView, type StridedView, viewThrough } from "./views.ts";

/** Turns an optimized graph into a plan for `target`. */
export function lower(graph: Graph, target: Target): Plan {
  return new Lowering(graph, target).run();
}

/** Kernels that can write their outputs into strided windows. Elementwise chains can on any strided target. */
const stridedOutputs = new Set(["attentionGrad", "tape", "copy"]);

/** Fills up to this size are dense constants: kernels that want dense operands then need no copy. */
const fewElements = 64;

/** The body of a scan stands among the instructions around it. */
interface Within {
  readonly outer: Lowering;
  readonly loop: Loop;
  readonly node: Node;
}

/** A value of a turn, and where it is wanted. */
interface TurnResult {
  readonly id: number;
  readonly to: Placement;
}

export class Lowering {
  readonly graph: Graph;
  readonly target: Target;
  readonly drafts: Draft[];
  readonly variables: PlanType[] = [];
  readonly feeds: PlanType[] = [];
  readonly arena: Buffer[];
  /** Graphs whose nodes instructions name: the program's own, then those of bodies. */
  readonly graphs: { readonly graph: Graph; readonly turns: number }[];
  readonly constants: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
  constantBytes = 0;
  private readonly placements = new Map<number, Placement>();
  private readonly repeats = new Map<string, Buffer>();
  private readonly variableBuffers = new Map<string, Buffer>();
  private readonly commits: ReadonlySet<number>;
  private readonly uses: Int32Array;
  readonly within: Within | undefined;
  private readonly firstNode: number;
  /** Where results of a turn are wanted. */
  private readonly wanted = new Map<number, Placement>();

  constructor(graph: Graph, target: Target, within?: Within) {
    this.graph = graph;
    this.target = target;
    this.within = within;
    this.drafts = within?.outer.drafts ?? [];
    this.arena = within?.outer.arena ?? [];
    this.graphs = within?.outer.graphs ?? [];
    this.firstNode = this.graphs.reduce((count, { graph }) => count + graph.nodes.length, 0);
    this.graphs.push({ graph, turns: within?.loop.turns ?? 1 });
    this.commits = commitNodes(graph);
    this.uses = countUses(graph);
  }

  run(): Plan {
    const { graph } = this;
    const assignments = this.assignments();
    // The guard must be known before the first commit; without a guard nothing is a commit.
    for (const node of graph.nodes) if (!this.commits.has(node.id)) this.visit(node);
    const outputs = [...graph.outputs].map(([name, id]) => ({ name, at: this.settled(id, assignments) }));
    const guard = graph.guard === undefined ? undefined : this.settled(graph.guard, assignments);
    for (const node of graph.nodes) if (this.commits.has(node.id)) this.visit(node);
    assignAll(this, [...assignments.values()]);
    shareInPlace(this.drafts);
    return buildPlan(this, outputs, guard);
  }

  /** The instructions of one turn of a loop: results go to their windows, what is carried to its place. */
  runTurn(results: readonly TurnResult[], carried: readonly TurnResult[]): void {
    const { graph } = this;
    const give = ({ id, to }: TurnResult) => {
      const found = this.placementOf(id);
      if (found.buffer !== to.buffer) this.copy(found, to, graph.producer(id));
    };
    const isThere = ({ id }: TurnResult) => this.placements.has(id);
    const later = results.filter((result) => !isThere(result));
    for (const { id, to } of later) this.wanted.set(id, to);
    // what a turn begins with may be written over in its course
    results.filter(isThere).forEach(give);
    for (const node of graph.nodes) this.visit(node);
    later.forEach(give);
    assignAll(
      this,
      carried.map(({ id, to }) => ({ value: id, to, node: graph.producer(id) })),
    );
  }

  /** Says where a value lies. */
  put(id: number, placement: Placement): void {
    this.placements.set(id, placement);
  }

  /** The variables that this program writes. */
  private assignments(): Map<string, Assignment> {
    const found = new Map<string, Assignment>();
    for (const node of this.graph.nodes) {
      if (!isEffect(node)) continue;
      const { name, dtype, shape } = node.attrs as { name: string; dtype: DType; shape: Shape };
      if (found.has(name)) {
        fail("trace/assigned-twice", `variable ${name} is given two next values`, {
          where: node.scope,
          expected: "one assign() per variable and program",
          fix: "combine the values first, or use two variables",
        });
      }
      const to = { ...denseView(shape), dtype, buffer: this.variable(name, dtype, shape) };
      found.set(name, { node, value: node.inputs[0]!, to });
    }
    return found;
  }

  private visit(node: Node): void {
    if (isEffect(node)) return;
    if (node.op.kind === "leaf") this.leaf(node);
    else if (node.op.name === "scan") lowerScan(this, node);
    else if (!(node.inputs.length === 0 && node.op.kind === "view")) this.place(node);
    // fill and iota wait until somebody reads them: their memory then lives no longer than it must
  }

  private leaf(node: Node): void {
    const id = node.outputs[0]!;
    if (this.placements.has(id)) return;
    const { dtype, shape } = this.graph.value(id);
    const place = (buffer: Buffer) => this.placements.set(id, { ...denseView(shape), dtype, buffer });
    if (node.op.name === "constant") {
      place(this.constant(node.attrs.value as HostArray));
    } else if (node.op.name === "variable") {
      place(this.variable(node.attrs.name as string, dtype, shape));
    } else {
      const index = this.feeds.push({ name: node.attrs.name as string, dtype, shape }) - 1;
      place(block("feed", byteCount(dtype, shape), { index }));
    }
  }

  private constant(array: HostArray): Buffer {
    if (this.within !== undefined) return this.within.outer.constant(array);
    const { data } = array;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const offset = this.constantBytes;
    this.constants.push({ offset, bytes });
    this.constantBytes += aligned(bytes.length);
    return block("constant", bytes.length, { offset });
  }

  /** A shape filled with one number: a single element read again and again, or all of them where they are few. */
  private repeated(value: number, dtype: DType, shape: Shape): Placement {
    const own = sizeOf(shape) <= fewElements ? shape : [];
    const key = `${dtype}[${own}] ${Object.is(value, -0) ? "-0" : value}`;
    let buffer = this.repeats.get(key);
    if (buffer === undefined) {
      buffer = { ...this.constant(fromNumbers(dtype, own, new Array<number>(sizeOf(own)).fill(value))), value };
      this.repeats.set(key, buffer);
    }
    const view = own === shape ? denseView(shape) : { offset: 0, shape, strides: shape.map(() => 0) };
    return { ...view, dtype, buffer };
  }

  variable(name: string, dtype: DType, shape: Shape): Buffer {
    const known = this.variableBuffers.get(name);
    if (known === undefined) {
      const index = this.variables.push({ name, dtype, shape }) - 1;
      const buffer = block("variable", byteCount(dtype, shape), { index });
      this.variableBuffers.set(name, buffer);
      return buffer;
    }
    const type = this.variables[known.index]!;
    if (type.dtype !== dtype || !sameShape(type.shape, shape)) {
      fail("shape/variable", `variable ${name} is used with two types`, {
        expected: `${type.dtype}[${type.shape}]`,
        got: `${dtype}[${shape}]`,
      });
    }
    return known;
  }

  /** Where a value lies. */
  placementOf(id: number): Placement {
    if (!this.placements.has(id)) this.source(this.graph.producer(id));
    return this.placements.get(id)!;
  }

  private source(node: Node): void {
    const id = node.outputs[0]!;
    const { dtype, shape } = this.graph.value(id);
    if (this.target.strided && node.op.name === "fill") {
      this.placements.set(id, this.repeated(node.attrs.value as number, dtype, shape));
    } else this.kernel(node);
  }

  private place(node: Node): void {
    if (this.asView(node)) return;
    if (this.target.strided && node.op.name === "concat") this.concat(node);
    else if (this.target.strided && node.op.name === "pad") this.pad(node);
    else this.kernel(node);
  }

  /** Places a view node on its input's memory. False when only a copy can make it. */
  private asView(node: Node): boolean {
    if (node.op.kind !== "view" || node.inputs.length !== 1) return false;
    const { strided } = this.target;
    const input = this.placementOf(node.inputs[0]!);
    const views: StridedView[] = [];
    for (const [index, id] of node.outputs.entries()) {
      const view = viewThrough(node, input, this.graph.value(id).shape, index);
      if (view === undefined) break;
      // Without strides only what begins where its buffer begins, and has no gaps, is a view.
      if (strided || (isDense(view) && view.offset === input.offset)) views.push(view);
    }
    let source = input;
    if (views.length < node.outputs.length) {
      if (!(strided && node.op.name === "reshape")) return false;
      source = this.densely(node.inputs[0]!, node);
      views.splice(0, 1, denseView(this.graph.value(node.outputs[0]!).shape));
    }
    node.outputs.forEach((id, at) => {
      this.placements.set(id, { ...views[at]!, dtype: source.dtype, buffer: source.buffer });
    });
    return true;
  }

  private kernel(node: Node): void {
    const { op, attrs } = node;
    const tape = op.name === "tape";
    if (this.target.tapes && op.kind === "elementwise" && !tape) unreachable(`${op.name} was not made a tape`);
    if (!tape && !this.target.hasKernel(op.name)) {
      fail("engine/no-kernel", `the ${this.target.name} engine has no kernel for ${op.name}`, {
        where: node.scope,
        fix: "run on the reference engine, or express it with other operations",
      });
    }
    checkDTypes(node, this.graph, this.target);
    const inputs = node.inputs.map((id) => this.operand(id, op.layout ?? "dense", node));
    const outputs = node.outputs.map((id) => this.fresh(id));
    const types = node.inputs.map((id) => this.graph.value(id));
    this.draft(node, op.name, inputs, outputs, {
      params: op.params?.(attrs, types) ?? [],
      attrs,
      inPlace: tape ? everyPair(outputs.length, inputs.length) : (op.inPlace ?? []),
    });
  }

  private draft(
    node: Node,
    kernel: string,
    inputs: readonly Placement[],
    outputs: Placement[],
    rest: Partial<Pick<Draft, "params" | "attrs" | "inPlace">> = {},
  ): void {
    const { params = [], attrs = {}, inPlace = [] } = rest;
    const { within, drafts } = this;
    const commit = within === undefined ? this.commits.has(node.id) : within.outer.commits.has(within.node.id);
    const made = { at: drafts.length, node: this.firstNode + node.id, loop: within?.loop };
    const draft = { ...made, kernel, inputs, outputs, params, attrs, commit, inPlace };
    const touched = ({ buffer }: Placement) => (buffer.moving === undefined ? [buffer] : [buffer, buffer.moving.of]);
    for (const buffer of inputs.flatMap(touched)) buffer.readers.push(draft);
    for (const buffer of outputs.flatMap(touched)) buffer.writers.push(draft);
    drafts.push(draft);
  }

  /** Writes a value to where it is wanted. */
  copy(from: Placement, to: Placement, node: Node): void {
    const { value } = from.buffer;
    if (value !== undefined && to.dtype === "f32" && isDense(to))
      this.draft(node, "fill", [], [to], { params: [value] });
    else this.draft(node, "copy", [from], [to]);
  }

  /** Parts are written into windows of one buffer. */
  private concat(node: Node): void {
    const whole = this.fresh(node.outputs[0]!);
    const axis = node.attrs.axis as number;
    let start = 0;
    for (const id of node.inputs) {
      const { shape } = this.graph.value(id);
      this.writeInto(id, { ...whole, offset: whole.offset + start * whole.strides[axis]!, shape }, node);
      start += shape[axis]!;
    }
  }

  private pad(node: Node): void {
    const whole = this.fresh(node.outputs[0]!);
    const { axis, low, high, value } = node.attrs as { axis: number; low: number; high: number; value: number };
    const window = (start: number, length: number): Placement => ({
      ...whole,
      offset: start * whole.strides[axis]!,
      shape: whole.shape.map((dim, at) => (at === axis ? length : dim)),
    });
    const length = whole.shape[axis]! - low - high;
    for (const border of [window(0, low), window(low + length, high)]) {
      if (border.shape[axis] !== 0) this.copy(this.repeated(value, whole.dtype, border.shape), border, node);
    }
    this.writeInto(node.inputs[0]!, window(low, length), node);
  }

  /** Lets the kernel that makes a value write it where it is wanted, or copies it there. */
  private writeInto(id: number, window: Placement, node: Node): void {
    const part = this.placementOf(id);
    const [maker, ...others] = part.buffer.writers;
    const isOwn = maker?.loop === part.buffer.loop; // what a loop gives out is made in its turns
    if (maker !== undefined && isOwn && others.length === 0 && isWhole(part) && this.isReadOnce(id)) {
      const at = maker.outputs.findIndex((output) => output.buffer === part.buffer);
      const view = stridedOutputs.has(maker.kernel) ? reshapeView(window, maker.outputs[at]!.shape) : undefined;
      if (view !== undefined && part.buffer.readers.length === 0) {
        maker.outputs[at] = { ...view, dtype: part.dtype, buffer: window.buffer };
        part.buffer.writers.length = 0;
        window.buffer.writers.push(maker);
        return;
      }
    }
    this.copy(part, window, node);
  }

  /** True when nothing else reads a value, nor what it is a view of, up to the node that computes it. */
  private isReadOnce(id: number): boolean {
    let at = id;
    while (this.uses[at] === 1) {
      const node = this.graph.producer(at);
      if (node.op.kind !== "view") return true;
      if (node.inputs.length !== 1 || node.outputs.length !== 1) return false;
      at = node.inputs[0]!;
    }
    return false;
  }

  private operand(id: number, layout: "strided" | "rows" | "dense", node: Node): Placement {
    const placement = this.placementOf(id);
    if (layout === "strided" || (layout === "rows" && hasDenseRows(placement))) return placement;
    return this.densely(id, node);
  }

  /** The value without gaps, copied if it is a view with some. The copy serves later readers too. */
  private densely(id: number, node: Node): Placement {
    const placement = this.placementOf(id);
    if (isDense(placement)) return placement;
    const dense = this.fresh(id);
    this.copy(placement, dense, node);
    return dense;
  }

  /** A value as it will still be after the last instruction: dense, and not in a variable that is written before. */
  private settled(id: number, assignments: ReadonlyMap<string, Assignment>): Placement {
    const node = this.graph.producer(id);
    const placement = this.densely(id, node);
    const { space, index } = placement.buffer;
    if (space !== "variable" || !assignments.has(this.variables[index]!.name)) {
      placement.buffer.pinned = true;
      return placement;
    }
    const kept = this.fresh(id);
    this.copy(placement, kept, node);
    kept.buffer.pinned = true;
    this.placements.set(id, placement); // the other readers need no copy
    return kept;
  }

  /** Memory of its own for a value. */
  fresh(id: number): Placement {
    const { dtype, shape } = this.graph.value(id);
    const buffer = block("arena", byteCount(dtype, shape));
    buffer.loop = this.within?.loop;
    const wanted = this.wanted.get(id);
    if (wanted === undefined) this.arena.push(buffer);
    const placement = wanted ?? { ...denseView(shape), dtype, buffer };
    this.placements.set(id, placement);
    return placement;
  }
}

function everyPair(outputs: number, inputs: number): [number, number][] {
  return Array.from({ length: outputs * inputs }, (_, at) => [Math.floor(at / inputs), at % inputs]);
}
