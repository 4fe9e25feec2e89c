// Pass `simplify`: algebra that never changes a result's bits (but for the sign of zero). One rule a line where it can be.
import { roundTo, sameShape, sizeOf, toNumbers } from "../../base/index.ts";
import { allOps, full, type Graph, type Node, notEqual, type Op } from "../../core/index.ts";
import { type Pass, type Rewriter, rewrite } from "../rewrite.ts";

export const simplify: Pass = {
  name: "simplify",
  doc: "removes operations that change nothing, joins views",
  run: (graph) => rewrite(graph, (node, rewriter) => rules[node.op.name]?.(node, rewriter)),
};

type Rule = (node: Node, rewriter: Rewriter) => readonly number[] | undefined;

const rules: { readonly [op: string]: Rule } = {
  stopGradient: (node, r) => [r.map(node.inputs[0]!)],
  reshape: (node, r) => viewOfBf16(node, r) ?? joinViews(node, r, "reshape", (outer) => outer),
  broadcast: (node, r) => sameType(node, r),
  cast: (node, r) => sameType(node, r) ?? toBf16(node, r) ?? (node.attrs.to === "bool" ? notZero(node, r) : undefined),
  permute: (node, r) =>
    viewOfBf16(node, r) ??
    joinViews(node, r, "permute", (outer, inner) => ({
      order: (outer.order as number[]).map((axis) => (inner.order as number[])[axis]!),
    })),
  slice: (node, r) => viewOfBf16(node, r),
  take: (node, r) => rowsOfBf16(node, r),
  split: (node, r) => viewOfBf16(node, r),
  add: (node, r) => neutral(node, r, 0, 0) ?? neutral(node, r, 1, 0),
  sub: (node, r) => neutral(node, r, 1, 0),
  mul: (node, r) => neutral(node, r, 0, 1) ?? neutral(node, r, 1, 1),
  div: (node, r) => neutral(node, r, 1, 1),
  neg: (node, r) => {
    const inner = r.graph.producer(r.map(node.inputs[0]!));
    return inner.op.name === "neg" ? [inner.inputs[0]!] : undefined;
  },
  where: (node, r) => {
    const condition = scalarConstant(r.graph, r.map(node.inputs[0]!));
    return condition === undefined ? undefined : [r.map(node.inputs[condition === 0 ? 2 : 1]!)];
  },
  concat: (node, r) => (node.inputs.length === 1 ? [r.map(node.inputs[0]!)] : viewOfBf16(node, r)),
};

/** A node that leaves dtype and shape as they are does nothing. */
function sameType(node: Node, r: Rewriter): readonly number[] | undefined {
  const input = r.map(node.inputs[0]!);
  const { dtype, shape } = r.graph.value(input);
  const wanted = node.attrs.shape as number[] | undefined;
  const same = wanted === undefined ? dtype === node.attrs.to : sameShape(shape, wanted);
  return same ? [input] : undefined;
}

/** A bf16 widened and rounded again is itself. What is only seen in another shape, or as no fewer rows, is rounded where it is computed. */
function toBf16(node: Node, r: Rewriter): readonly number[] | undefined {
  if (node.attrs.to !== "bf16") return undefined;
  const input = r.map(node.inputs[0]!);
  const narrow = beforeWidening(r.graph, input);
  if (narrow !== undefined) return [narrow];
  const { op, inputs, attrs, scope } = r.graph.producer(input);
  const sizes = () => [input, inputs[0]!].map((id) => sizeOf(r.graph.value(id).shape)) as [number, number];
  const isGrowing = op.name === "take" && sizes()[0] >= sizes()[1];
  if (op.name !== "reshape" && op.name !== "permute" && !isGrowing) return undefined;
  const [from, ...others] = inputs as [number, ...number[]];
  return r.add(op, [...r.add(node.op, [from], node.attrs, scope), ...others], attrs, scope);
}

/** A view of widened bf16 values widens the view: it is then moved and kept in two bytes. */
function viewOfBf16(node: Node, r: Rewriter): readonly number[] | undefined {
  const narrow = node.inputs.map((id) => beforeWidening(r.graph, r.map(id)));
  if (!narrow.every((id) => id !== undefined)) return undefined;
  const cast = allOps().get("cast") as Op;
  return r.add(node.op, narrow, node.attrs, node.scope).flatMap((id) => r.add(cast, [id], { to: "f32" }, node.scope));
}

/** Rows of a widened bf16 table are widened, instead of the table. */
function rowsOfBf16(node: Node, r: Rewriter): readonly number[] | undefined {
  const narrow = beforeWidening(r.graph, r.map(node.inputs[0]!));
  if (narrow === undefined) return undefined;
  const [rows] = r.add(node.op, [narrow, r.map(node.inputs[1]!)], node.attrs, node.scope);
  return r.add(allOps().get("cast") as Op, [rows!], { to: "f32" }, node.scope);
}

/** The bf16 value that an f32 one was widened from. */
export function beforeWidening(graph: Graph, id: number): number | undefined {
  const { op, inputs } = graph.producer(id);
  const widens = op.name === "cast" && graph.value(id).dtype === "f32" && graph.value(inputs[0]!).dtype === "bf16";
  return widens ? inputs[0] : undefined;
}

/** Truth as a comparison: chains of operations then need not round in their middle. */
function notZero(node: Node, r: Rewriter): readonly number[] {
  const { dtype, shape } = r.graph.value(r.map(node.inputs[0]!));
  return r.trace(node, [r.map(node.inputs[0]!)], ([x]) => [notEqual(x!, full(shape, 0, dtype))]);
}

/** Two views of one kind in a row are one; a reshape or permutation to the same shape and order is none. */
function joinViews(
  node: Node,
  r: Rewriter,
  name: string,
  join: (outer: Node["attrs"], inner: Node["attrs"]) => Node["attrs"],
): readonly number[] | undefined {
  let input = r.map(node.inputs[0]!);
  let attrs = node.attrs;
  const inner = r.graph.producer(input);
  if (inner.op.name === name) {
    attrs = join(attrs, inner.attrs);
    input = inner.inputs[0]!;
  }
  const unchanged =
    name === "permute"
      ? (attrs.order as number[]).every((axis, at) => axis === at)
      : sameShape(r.graph.value(input).shape, attrs.shape as number[]);
  if (unchanged) return [input];
  return inner.op.name === name ? r.add(node.op, [input], attrs, node.scope) : undefined;
}

/** x∘c = x for the neutral constant c. Shapes must agree: a broadcast operand gives the result its shape. */
function neutral(node: Node, r: Rewriter, at: 0 | 1, value: number): readonly number[] | undefined {
  if (scalarConstant(r.graph, r.map(node.inputs[at]!)) !== value) return undefined;
  return [r.map(node.inputs[1 - at]!)];
}

/** The number that every element of a value equals, when that is known. Looks through views. */
export function scalarConstant(graph: Graph, id: number): number | undefined {
  const node = graph.producer(id);
  switch (node.op.name) {
    case "constant": {
      const { value } = node.attrs;
      const isScalar = typeof value === "object" && "data" in value && value.data.length === 1;
      // i64 may hold what a number cannot
      return isScalar && value.dtype !== "i64" ? toNumbers(value)[0] : undefined;
    }
    case "fill":
      return roundTo(graph.value(id).dtype, node.attrs.value as number);
    case "broadcast":
    case "reshape":
    case "permute":
    case "slice":
      return scalarConstant(graph, node.inputs[0]!);
    default:
      return undefined;
  }
}
