// Pass `chunk-logits`: a product whose result only a cross-entropy reads, with what flows back through both, becomes one op
// whose kernel holds the logits of some rows at a time. Only where they are many, and only where the gradient of each row's
// loss is known beforehand (a mean over targets, say, or a weight), since the kernel keeps nothing for a second pass.
import { byteSize, sizeOf } from "../../base/index.ts";
import { allOps, type Graph, type Node, type Op } from "../../core/index.ts";
import { countUses, type Pass, type Rewriter, rewrite } from "../rewrite.ts";

export interface ChunkSizes {
  /** Of a chunk's logits at most: smaller chunks make the kernel pack the weights more often. Default 128 MiB. */
  readonly chunkBytes?: number;
  /** Logits of no more than this stay as they are: a cache may hold them. Default 16 MiB. */
  readonly leastBytes?: number;
}

/** What is found around a product of logits. */
interface Head {
  readonly product: Node;
  readonly loss: Node;
  readonly backward: Backward | undefined;
}

interface Backward {
  /** The gradient of the logits, and the casts that round it. */
  readonly inner: readonly Node[];
  readonly dx: Node;
  readonly dw: Node;
  /** Nodes behind the loss that the gradient of its rows is made by, in their order. */
  readonly seed: readonly Node[];
}

export function chunkLogits({ chunkBytes = 128 * 2 ** 20, leastBytes = 16 * 2 ** 20 }: ChunkSizes = {}): Pass {
  return {
    name: "chunk-logits",
    doc: "joins a cross-entropy with the product of its logits, and their gradients, so that they need not be kept whole",
    run: (graph) => {
      const heads = headsOf(graph, leastBytes);
      if (heads.length === 0) return graph;
      const byLoss = new Map(heads.map((head) => [head.loss.id, head]));
      const inner = new Set(heads.flatMap(({ product, backward }) => [product, ...(backward?.inner ?? [])]));
      const early = new Set(heads.flatMap(({ backward }) => backward?.seed ?? []));
      return rewrite(graph, (node, rewriter) => {
        if (inner.has(node)) return [-1]; // nothing reads it any more
        const head = byLoss.get(node.id);
        if (head !== undefined) return join(graph, head, chunkBytes, rewriter);
        // made with the loss, before its turn
        const isMade = early.has(node) || heads.some(({ backward }) => backward?.dx === node || backward?.dw === node);
        return isMade ? node.outputs.map((id) => rewriter.map(id)) : undefined;
      });
    },
  };
}

function join(graph: Graph, { product, loss, backward }: Head, chunkBytes: number, r: Rewriter): readonly number[] {
  const { scope } = product;
  for (const node of backward?.seed ?? []) {
    const inputs = node.inputs.map((id) => r.map(id));
    r.add(node.op, inputs, node.attrs, node.scope).forEach((id, at) => r.setMap(node.outputs[at]!, id));
  }
  const flipped = product.attrs.transposeB !== true;
  const flip = (id: number): number =>
    flipped ? r.add(allOps().get("permute") as Op, [id], { order: [1, 0] }, scope)[0]! : id;
  const [x, weight] = product.inputs.map((id) => r.map(id)) as [number, number];
  const inputs = [x, flip(weight), r.map(loss.inputs[1]!)];
  if (backward !== undefined) inputs.push(r.map(backward.inner[0]!.inputs[3]!));
  const { shape, dtype } = graph.value(product.outputs[0]!);
  const [rows, classes] = shape as [number, number];
  const chunks = Math.ceil((rows * classes * byteSize(dtype)) / chunkBytes);
  const attrs = {
    ignoreIndex: loss.attrs.ignoreIndex,
    chunkRows: Math.ceil(rows / chunks),
    roundsGrad: (backward?.inner.length ?? 0) > 1,
  };
  const made = r.add(allOps().get("linearCrossEntropy") as Op, inputs, attrs, scope);
  if (backward !== undefined) {
    r.setMap(backward.dx.outputs[0]!, made[2]!);
    r.setMap(backward.dw.outputs[0]!, flip(made[3]!));
  }
  return made.slice(0, 2);
}

function headsOf(graph: Graph, leastBytes: number): Head[] {
  const readers: Node[][] = graph.values.map(() => []);
  for (const node of graph.nodes) for (const id of new Set(node.inputs)) readers[id]!.push(node);
  const uses = countUses(graph);
  /** Who reads a value, if nothing but nodes does, each once. */
  const readersOf = (id: number): readonly Node[] => (uses[id] === readers[id]!.length ? readers[id]! : []);
  return graph.nodesOf("crossEntropy").flatMap((loss): Head[] => {
    const [logits] = loss.inputs as [number];
    const product = graph.producer(logits);
    const { dtype, shape } = graph.value(logits);
    if (product.op.name !== "matmul" || product.attrs.transposeA === true || dtype !== "f32") return [];
    if (sizeOf(shape) * byteSize(dtype) <= leastBytes) return [];
    const [first, grad, ...others] = readersOf(logits);
    if (first !== loss || others.length > 0) return [];
    if (grad === undefined) return [{ product, loss, backward: undefined }];
    const backward = backwardOf(graph, { product, loss, grad }, readersOf);
    return backward === undefined ? [] : [{ product, loss, backward }];
  });
}

function backwardOf(
  graph: Graph,
  { product, loss, grad }: { readonly product: Node; readonly loss: Node; readonly grad: Node },
  readersOf: (id: number) => readonly Node[],
): Backward | undefined {
  const [x, weight] = product.inputs as [number, number];
  const isOwn =
    grad.op.name === "crossEntropyGrad" &&
    grad.attrs.ignoreIndex === loss.attrs.ignoreIndex &&
    [...loss.inputs, loss.outputs[1]].every((id, at) => grad.inputs[at] === id);
  if (!isOwn) return undefined;
  const inner = [grad];
  let dLogits = grad.outputs[0]!;
  for (const to of ["bf16", "f32"]) {
    const [cast, ...others] = readersOf(dLogits);
    if (cast?.op.name !== "cast" || cast.attrs.to !== to || others.length > 0) break;
    inner.push(cast);
    dLogits = cast.outputs[0]!;
  }
  if (inner.length === 2) return undefined;
  const isProduct = ({ op, inputs, attrs }: Node, a: number, b: number, transposeA: boolean, transposeB: boolean) =>
    op.name === "matmul" &&
    inputs[0] === a &&
    inputs[1] === b &&
    attrs.transposeA === transposeA &&
    attrs.transposeB === transposeB;
  const { transposeB } = product.attrs as { transposeB: boolean };
  const products = readersOf(dLogits);
  const dx = products.find((node) => isProduct(node, dLogits, weight, false, !transposeB));
  const dw = products.find((node) =>
    transposeB ? isProduct(node, dLogits, x, true, false) : isProduct(node, x, dLogits, true, false),
  );
  const seed = seedOf(graph, grad.inputs[3]!, loss);
  if (dx === undefined || dw === undefined || products.length !== 2 || seed === undefined) return undefined;
  return { inner, dx, dw, seed };
}

/** Nodes behind `loss` that make value `id`; `undefined` where it depends on the loss, or is dear to compute early. */
function seedOf(graph: Graph, id: number, loss: Node): readonly Node[] | undefined {
  const found = new Set<Node>();
  const visit = (value: number): boolean => {
    const node = graph.producer(value);
    if (node.id < loss.id || found.has(node)) return true;
    if (!["leaf", "elementwise", "view", "reduce"].includes(node.op.kind)) return false;
    found.add(node);
    return node.inputs.every(visit);
  };
  return visit(id) ? [...found].sort((a, b) => a.id - b.id) : undefined;
}
