// A Plan as bytes for the native engine: little-endian 64-bit words, integers as i64, parameters as f64 bits. Names
// travel beside it as strings. native/program.cc decodes and checks every number again.
import { dtypes } from "../base/index.ts";
import { kernelNames, type Plan, planSpaces } from "./plan.ts";

const magic = 0x4154484e; // "ATHN"
const version = 1;
const headerWords = 16;
const tensorWords = 22;
const codeWords = 8;
const signatureWords = 10;
const loopWords = 3;
const maxRank = 8;

/** A plan's words, and the names that go beside them. */
export interface EncodedPlan {
  readonly bytes: ArrayBuffer;
  readonly kernelNames: string[];
  readonly variableNames: string[];
  readonly feedNames: string[];
}

/** Encodes a plan. Checks nothing: the engine that loads it does. */
export function encodePlan(plan: Plan): EncodedPlan {
  const numOperands = plan.code.reduce((sum, { inputs, outputs }) => sum + inputs.length + outputs.length, 0);
  const numParams = plan.code.reduce((sum, { params }) => sum + params.length, 0);
  const constantBytes = plan.constants.byteLength;
  const { loops = [] } = plan;
  const words =
    headerWords +
    plan.tensors.length * tensorWords +
    plan.code.length * codeWords +
    numOperands +
    numParams +
    plan.outputs.length +
    (plan.variables.length + plan.feeds.length) * signatureWords +
    loops.length * loopWords +
    Math.ceil(constantBytes / 8);
  const out = new WordWriter(words);

  out.integers(magic, version, plan.tensors.length, plan.code.length, numOperands, numParams, plan.arenaBytes);
  out.integers(constantBytes, plan.variables.length, plan.feeds.length, plan.outputs.length, plan.guard);
  out.integers(loops.length, 0, 0, 0);
  for (const { space, index, offset, dtype, shape, strides, step = 0 } of plan.tensors) {
    out.integers(planSpaces.indexOf(space), index, offset, dtypes.indexOf(dtype), shape.length, step);
    out.dims(shape);
    out.dims(strides);
  }

  const names = kernelNames(plan);
  const kernels = new Map(names.map((name, at) => [name, at]));
  let operandStart = 0;
  let paramStart = 0;
  for (const { kernel, inputs, outputs, params, node, commit } of plan.code) {
    out.integers(kernels.get(kernel)!, operandStart, inputs.length, operandStart + inputs.length, outputs.length);
    out.integers(paramStart, params.length, node * 2 + (commit ? 1 : 0));
    operandStart += inputs.length + outputs.length;
    paramStart += params.length;
  }
  for (const { inputs, outputs } of plan.code) out.integers(...inputs, ...outputs);
  for (const { params } of plan.code) for (const param of params) out.double(param);
  for (const { tensor } of plan.outputs) out.integers(tensor);
  for (const signature of [...plan.variables, ...plan.feeds]) {
    out.integers(dtypes.indexOf(signature.dtype), signature.shape.length);
    out.dims(signature.shape);
  }
  for (const { first, count, turns } of loops) out.integers(first, count, turns);
  out.rest(plan.constants);

  return {
    bytes: out.buffer,
    kernelNames: names,
    variableNames: plan.variables.map(({ name }) => name),
    feedNames: plan.feeds.map(({ name }) => name),
  };
}

/** Writes words in order into a buffer of known length. */
class WordWriter {
  readonly buffer: ArrayBuffer;
  private readonly view: DataView;
  private position = 0;

  constructor(words: number) {
    this.buffer = new ArrayBuffer(words * 8);
    this.view = new DataView(this.buffer);
  }

  /** Safe integers as i64, without the cost of a BigInt each: offsets pass 2^32. */
  integers(...values: number[]): void {
    for (const value of values) {
      if (!Number.isSafeInteger(value)) throw new RangeError(`not an integer: ${value}`);
      this.view.setUint32(this.position, (value % 2 ** 32) | 0, true);
      this.view.setInt32(this.position + 4, Math.floor(value / 2 ** 32), true);
      this.position += 8;
    }
  }

  /** Dims padded with zeros to the maximal rank. */
  dims(values: readonly number[]): void {
    if (values.length > maxRank) throw new RangeError(`rank ${values.length} is above ${maxRank}`);
    this.integers(...values, ...new Array<number>(maxRank - values.length).fill(0));
  }

  double(value: number): void {
    this.view.setFloat64(this.position, value, true);
    this.position += 8;
  }

  rest(bytes: Uint8Array): void {
    new Uint8Array(this.buffer).set(bytes, this.position);
  }
}
