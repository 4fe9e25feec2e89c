// Element types: names, sizes, and the host arrays that hold them. bf16 and f16 are carried as raw 16-bit words.
import { fail } from "./error.ts";
import { formatType, sizeOf } from "./shape.ts";

export const dtypes = ["f64", "f32", "bf16", "f16", "i64", "i32", "u8", "bool"] as const;
/** An element type. `bool` is one byte, 0 or 1. */
export type DType = (typeof dtypes)[number];

export const floatDTypes = ["f64", "f32", "bf16", "f16"] as const satisfies readonly DType[];
export type FloatDType = (typeof floatDTypes)[number];

const byteSizes: Record<DType, number> = { f64: 8, f32: 4, bf16: 2, f16: 2, i64: 8, i32: 4, u8: 1, bool: 1 };

/** Bytes of one element. */
export function byteSize(dtype: DType): number {
  return byteSizes[dtype];
}

export function isDType(value: unknown): value is DType {
  return (dtypes as readonly unknown[]).includes(value);
}

export function isFloat(dtype: DType): dtype is FloatDType {
  return (floatDTypes as readonly DType[]).includes(dtype);
}

/** Host memory of one tensor. 16-bit floats are raw words; i64 is BigInt. */
export type HostData = Float64Array | Float32Array | Uint16Array | BigInt64Array | Int32Array | Uint8Array;

/** A dense row-major array on the host. */
export interface HostArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: HostData;
}

const constructors = {
  f64: Float64Array,
  f32: Float32Array,
  bf16: Uint16Array,
  f16: Uint16Array,
  i64: BigInt64Array,
  i32: Int32Array,
  u8: Uint8Array,
  bool: Uint8Array,
} as const;

/** A zero-filled host array of `length` elements. */
export function allocate(dtype: DType, length: number): HostData {
  return new constructors[dtype](length);
}

/** A view of `length` elements over `buffer` at `byteOffset` (which must be a multiple of the element size). */
export function viewOf(dtype: DType, buffer: ArrayBufferLike, byteOffset: number, length: number): HostData {
  return new constructors[dtype](buffer as ArrayBuffer, byteOffset, length);
}

const word = new DataView(new ArrayBuffer(4));

/** Rounds to f32 and then to the nearest bf16, each with ties to even as PyTorch does, and returns its 16 bits. NaN stays a quiet NaN. */
export function toBf16(value: number): number {
  word.setFloat32(0, value);
  const bits = word.getUint32(0);
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/**
 * Rounds an f32 to one of the two bf16 beside it, the upper in magnitude as often as the upper half of `random`, a 32-bit word,
 * and what bf16 leaves out add up to more than one: over all words the mean is `value`. What is not finite stays so.
 */
export function roundStochasticallyToBf16(value: number, random: number): number {
  if (!Number.isFinite(value)) return value;
  word.setFloat32(0, value);
  return fromBf16((word.getUint32(0) + (random >>> 16)) >>> 16);
}

export function fromBf16(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}

/** Rounds to f32 and then to the nearest IEEE half, each with ties to even as PyTorch does, and returns its 16 bits. */
export function toF16(value: number): number {
  word.setFloat32(0, value);
  const bits = word.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 and above round to infinity
  if (magnitude < 0x38800000) {
    // subnormal half: value / 2^-24, rounded to even by the f64 arithmetic below
    const scaled = Math.abs(fround(value)) * 2 ** 24;
    const floor = Math.floor(scaled);
    const rest = scaled - floor;
    return sign | (floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0));
  }
  const rounded = magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1);
  return sign | (rounded >>> 13);
}

export function fromF16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const { fround } = Math;

/** The value that `dtype` can hold nearest to `value`: what storing and reading back gives. */
export function roundTo(dtype: DType, value: number): number {
  switch (dtype) {
    case "f64":
      return value;
    case "f32":
      return fround(value);
    case "bf16":
      return fromBf16(toBf16(value));
    case "f16":
      return fromF16(toF16(value));
    case "i64":
      return Math.trunc(value);
    case "i32":
      return value | 0;
    case "u8":
      return value & 0xff;
    case "bool":
      return value !== 0 ? 1 : 0; // NaN is not zero
  }
}

/** Reads a host array as plain numbers, whatever its dtype. i64 beyond 2^53 loses precision. */
export function toNumbers(array: HostArray): Float64Array {
  const { dtype, data } = array;
  if (dtype === "bf16") return Float64Array.from(data as Uint16Array, fromBf16);
  if (dtype === "f16") return Float64Array.from(data as Uint16Array, fromF16);
  if (dtype === "i64") return Float64Array.from(data as BigInt64Array, Number);
  return Float64Array.from(data as Float32Array);
}

/** Makes a host array of `dtype` from plain numbers, rounding each. Errors with `shape/size` when they do not fill `shape`. */
export function fromNumbers(dtype: DType, shape: readonly number[], values: ArrayLike<number>): HostArray {
  if (sizeOf(shape) !== values.length) {
    fail("shape/size", "the values do not fill the shape", {
      expected: `${sizeOf(shape)} values for ${formatType(dtype, shape)}`,
      got: `${values.length} values`,
      fix: "pass as many values as the shape has elements",
    });
  }
  const data = allocate(dtype, values.length);
  if (dtype === "bf16") for (let i = 0; i < values.length; i++) data[i] = toBf16(values[i]!);
  else if (dtype === "f16") for (let i = 0; i < values.length; i++) data[i] = toF16(values[i]!);
  else if (dtype === "i64")
    for (let i = 0; i < values.length; i++) (data as BigInt64Array)[i] = BigInt(Math.trunc(values[i]!));
  else if (dtype === "bool") for (let i = 0; i < values.length; i++) data[i] = values[i] !== 0 ? 1 : 0;
  else (data as Float64Array).set(values);
  return { dtype, shape, data };
}
