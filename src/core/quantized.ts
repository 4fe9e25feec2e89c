// Matrices that stay as they are, in few bits: int8 with a scale per output, and NF4 in blocks of 64 whose scales are codes of eight bits
// themselves (Dettmers et al. 2023, section 3), bit for bit as bitsandbytes keeps them. Host arrays alone; the product is ops/quantized-matmul.ts.
import { codebooks, type DType, fail, type HostArray, type Shape, toNumbers } from "../base/index.ts";

export const quantizedFormats = ["int8", "nf4"] as const;
export type QuantizedFormat = (typeof quantizedFormats)[number];

/** The 16 numbers of NF4: quantiles of a normal distribution, 0 among them, over their largest (appendix E). */
export const nf4Values = Float32Array.of(
  ...[-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334],
  ...[-0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224],
  ...[0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1],
);
/** Above the k-th lies number k + 1. */
const nf4Limits = nf4Values.subarray(1).map((value, at) => (nf4Values[at]! + value) / 2);

/** Numbers that share a scale, and scales that share one of theirs. */
const nf4Block = 64;
const scaleBlock = 256;

/** The tensors that stand for a matrix, by name: of `[inputs, outputs]`, in the order of its transpose, as PyTorch keeps weights. */
export type QuantizedParts<T> = { readonly codes: T; readonly scales: T; readonly scaleCodes?: T; readonly mean?: T };

/**
 * What is kept of a matrix. int8: codes [outputs, inputs] of 128 + value / scale, scales [outputs]. nf4: codes [outputs, inputs / 2], the
 * first of two in the upper half of a byte; a code for the scale of each block less the `mean` of them, and scales of those by 256.
 * Errors with `nn/quantize` where the inputs are odd.
 */
export function quantizedTypes(
  format: QuantizedFormat,
  [inputs, outputs]: readonly [number, number],
): QuantizedParts<{ readonly dtype: DType; readonly shape: Shape }> {
  if (format === "int8")
    return { codes: { dtype: "u8", shape: [outputs, inputs] }, scales: { dtype: "f32", shape: [outputs] } };
  if (inputs % 2 !== 0)
    fail("nn/quantize", "two codes of four bits share a byte", {
      expected: "a layer of an even number of inputs",
      got: `[${inputs}, ${outputs}]`,
      fix: "keep this model in int8",
    });
  const blocks = Math.ceil((inputs * outputs) / nf4Block);
  return {
    codes: { dtype: "u8", shape: [outputs, inputs / 2] },
    scales: { dtype: "f32", shape: [Math.ceil(blocks / scaleBlock)] },
    scaleCodes: { dtype: "u8", shape: [blocks] },
    mean: { dtype: "f32", shape: [] },
  };
}

/** The codes and scales nearest to a matrix [inputs, outputs], or to one given as [outputs, inputs]. Errors with `nn/quantize` where it is not finite. */
export function quantize(format: QuantizedFormat, weight: HostArray, transposed = false): QuantizedParts<HostArray> {
  const [inputs, outputs] = (transposed ? weight.shape.toReversed() : weight.shape) as [number, number];
  const types = quantizedTypes(format, [inputs, outputs]);
  const values = weight.dtype === "f32" ? (weight.data as Float32Array) : Float32Array.from(toNumbers(weight));
  const at = (flat: number) => values[transposed ? flat : (flat % inputs) * outputs + Math.floor(flat / inputs)]!;
  const block = format === "int8" ? inputs : nf4Block;
  const codes = new Uint8Array(types.codes.shape[0]! * types.codes.shape[1]!);
  const scales = new Float32Array(Math.ceil(values.length / block));
  const part = new Float32Array(block);
  for (let b = 0; b < scales.length; b++) {
    const start = b * block;
    const count = Math.min(block, values.length - start);
    let scale = 0;
    for (let i = 0; i < count; i++) {
      part[i] = at(start + i);
      const size = Math.abs(part[i]!);
      if (size > scale || Number.isNaN(size)) scale = size; // nothing is above NaN
    }
    if (!Number.isFinite(scale))
      fail("nn/quantize", "a weight is not finite", { expected: "finite numbers", got: String(scale) });
    scales[b] = format === "int8" ? scale / 127 : scale;
    const factor = scale > 0 ? Math.fround(1 / scale) : 0;
    for (let i = 0; i < count; i++) {
      const share = Math.fround(part[i]! * factor);
      if (format === "int8") codes[start + i] = 128 + Math.round(127 * share);
      else codes[(start + i) >> 1]! |= nearestNf4(share) << (i % 2 === 0 ? 4 : 0);
    }
  }
  const array = (name: keyof typeof types, data: Uint8Array | Float32Array) => ({ ...types[name]!, data }) as HostArray;
  if (format === "int8") return { codes: array("codes", codes), scales: array("scales", scales) };
  const mean = Math.fround(scales.reduce((sum, scale) => sum + scale, 0) / scales.length);
  const outer = new Float32Array(types.scales.shape[0]!);
  const scaleCodes = new Uint8Array(scales.length);
  const { encode } = codebooks.signed;
  for (let b = 0; b < outer.length; b++) {
    const rest = scales.subarray(b * scaleBlock, (b + 1) * scaleBlock).map((scale) => scale - mean);
    const largest = rest.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    outer[b] = largest;
    rest.forEach((value, i) => {
      scaleCodes[b * scaleBlock + i] = encode(largest > 0 ? Math.fround(value / largest) : 0);
    });
  }
  return {
    codes: array("codes", codes),
    scales: array("scales", outer),
    scaleCodes: array("scaleCodes", scaleCodes),
    mean: array("mean", Float32Array.of(mean)),
  };
}

function nearestNf4(x: number): number {
  let code = 0;
  for (let step = 8; step > 0; step >>= 1) if (x > nf4Limits[code + step - 1]!) code += step;
  return code;
}

/** The matrix [inputs, outputs] that parts of `quantize` stand for. */
export function dequantize(parts: QuantizedParts<HostArray>): HostArray {
  const [outputs, width] = parts.codes.shape as [number, number];
  const inputs = parts.mean === undefined ? width : 2 * width;
  const values = numbersOf(parts);
  const data = new Float32Array(values.length);
  for (let j = 0; j < outputs; j++) {
    for (let k = 0; k < inputs; k++) data[k * outputs + j] = values[j * inputs + k]!;
  }
  return { dtype: "f32", shape: [inputs, outputs], data };
}

/** The numbers that parts stand for, in the order of their codes. */
export function numbersOf({ codes, scales, scaleCodes, mean }: QuantizedParts<HostArray>): Float64Array {
  const [bytes, factors] = [codes.data as Uint8Array, scales.data as Float32Array];
  if (mean === undefined) {
    const width = codes.shape[1]!;
    return Float64Array.from(bytes, (code, at) => (code - 128) * factors[Math.floor(at / width)]!);
  }
  const { decode } = codebooks.signed;
  const scaleOf = Float64Array.from(
    scaleCodes!.data as Uint8Array,
    (code, at) => decode(code) * factors[Math.floor(at / scaleBlock)]! + (mean.data[0] as number),
  );
  const value = (code: number, at: number) => nf4Values[code]! * scaleOf[Math.floor(at / nf4Block)]!;
  return Float64Array.from({ length: 2 * bytes.length }, (_, at) =>
    value((bytes[at >> 1]! >> (at % 2 === 0 ? 4 : 0)) & 15, at),
  );
}
