export * from "./functions.ts";
export { grad, gradients, valueAndGrad } from "./grad.ts";
export { formatGraph, Graph, type Node, type Value, verifyGraph } from "./graph.ts";
export { locate } from "./locate.ts";
export * from "./op.ts";
export { allOpModules } from "./ops/all.generated.ts";
export { erfScalar } from "./ops/elementwise.ts";
export { type ScanAttrs, seenByTurn } from "./ops/scan.ts";
export { registerClass, tape } from "./ops/tape.ts";
export {
  dequantize,
  type QuantizedFormat,
  type QuantizedParts,
  quantize,
  quantizedFormats,
  quantizedTypes,
} from "./quantized.ts";
export { inlineBody, type ScanOptions, scan, type Turn } from "./scan.ts";
export { tapeOpcodes } from "./tape-opcodes.ts";
export { type Operand, type ReduceOptions, Tensor } from "./tensor.ts";
export {
  currentScope,
  currentTrace,
  feed,
  insideTrace,
  markOutput,
  type RandomInputs,
  type TraceContext,
  type TraceOptions,
  tap,
  trace,
  withContext,
  withScope,
  withTrace,
} from "./trace.ts";
export { complement, courseOfFeed, varying } from "./varying.ts";
export { type VmapOptions, vmap } from "./vmap.ts";
