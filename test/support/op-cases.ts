// Every op's samples as cases: drawn inputs, ways to lay them out in memory, and graphs over them. Every test of ops is made
// from these; no op is named here.
import {
  contiguousStrides,
  type DType,
  type FloatDType,
  fromNumbers,
  type HostArray,
  isFloat,
  RandomStream,
  sizeOf,
  toNumbers,
} from "../../src/base/index.ts";
import {
  type Attrs,
  allOps,
  constant,
  fusedMulti,
  type Graph,
  type Op,
  type Sample,
  type SampleInput,
  type Tensor,
  trace,
  where,
} from "../../src/core/index.ts";

export interface OpCase {
  readonly op: Op;
  readonly sample: Sample;
  /** `add #2` */
  readonly name: string;
}

/** Inputs in memory: as they are, or behind views that an engine may run on without a copy. */
export const layouts = ["dense", "permuted", "sliced", "broadcast"] as const;
export type Layout = (typeof layouts)[number];

/** The samples of every op; elementwise ops also on one element, on none and broadcast to a few dimensions. */
export function opCases(): OpCase[] {
  return [...allOps().values()].flatMap((op) => {
    const samples: readonly Sample[] = op.samples;
    return samples.map((sample, at) => ({ op, sample, name: `${op.name} #${at}` }));
  });
}

/** Inputs that floats are drawn for and gradients are checked of. */
export function differentiable({ sample }: OpCase): readonly number[] {
  return (
    sample.differentiable ??
    sample.inputs.flatMap(({ dtype }, at) => (dtype === undefined || isFloat(dtype) ? [at] : []))
  );
}

/** The inputs of a case: floats in `dtype` unless the sample says otherwise. */
export function drawInputs({ sample, name }: OpCase, dtype: FloatDType): HostArray[] {
  return sample.inputs.map((input, at) => draw(input, dtype, `${name} input ${at}`));
}

function draw(input: SampleInput, floatDType: FloatDType, stream: string): HostArray {
  const { shape, low = -1, high = 1, dtype = floatDType } = input;
  if (input.values !== undefined) return fromNumbers(dtype, shape, input.values);
  const random = new RandomStream(11, stream);
  return fromNumbers(
    dtype,
    shape,
    Array.from({ length: sizeOf(shape) }, (_, i) => low + (high - low) * random.uniform(i)),
  );
}

/** Numbers in [-1, 1) that belong to a name. */
function drawNumbers(name: string, length: number): number[] {
  const random = new RandomStream(12, name);
  return Array.from({ length }, (_, i) => 2 * random.uniform(i) - 1);
}

/** An array as it is stored, and the views that give it back. */
export interface Stored {
  readonly array: HostArray;
  restore(x: Tensor): Tensor;
}

/** Lays an array out in memory. `broadcast` changes its values: the first index of the first axis is repeated. */
export function store(array: HostArray, layout: Layout): Stored {
  const { shape } = array;
  const rank = shape.length;
  if (layout === "permuted" && rank >= 2) {
    const order = shape.map((_, axis) => rank - 1 - axis);
    return {
      array: gather(
        array,
        order.map((axis) => shape[axis]!),
        (at) => order.map((axis) => at[axis]!),
      ),
      restore: (x) => x.permute(...order),
    };
  }
  if (layout === "sliced" && rank >= 1) {
    const wide = shape.map((dim) => dim + 3);
    const clamped = (index: number, axis: number) => Math.min(Math.max(index - 1, 0), shape[axis]! - 1);
    return {
      array: sizeOf(shape) === 0 ? filled(array.dtype, wide) : gather(array, wide, (at) => at.map(clamped)),
      restore: (x) => shape.reduce((cut, dim, axis) => cut.slice(axis, 1, 1 + dim), x),
    };
  }
  if (layout === "broadcast" && rank >= 1 && shape[0]! > 0) {
    return {
      array: gather(array, [1, ...shape.slice(1)], (at) => at),
      restore: (x) => x.broadcastTo(shape),
    };
  }
  return { array, restore: (x) => x };
}

function filled(dtype: DType, shape: readonly number[]): HostArray {
  return fromNumbers(dtype, shape, new Array<number>(sizeOf(shape)).fill(1));
}

function gather(array: HostArray, shape: readonly number[], from: (at: number[]) => number[]): HostArray {
  const source = toNumbers(array);
  const strides = contiguousStrides(array.shape);
  const own = contiguousStrides(shape);
  const values = Array.from({ length: sizeOf(shape) }, (_, index) => {
    const at = shape.map((dim, axis) => Math.floor(index / own[axis]!) % dim);
    return source[from(at).reduce((sum, position, axis) => sum + position * strides[axis]!, 0)]!;
  });
  return fromNumbers(array.dtype, shape, values);
}

/** The op on its inputs. */
export function applyCase({ op, sample }: OpCase, inputs: readonly Tensor[]): readonly Tensor[] {
  return fusedMulti(op, inputs, (sample.attrs ?? {}) as Attrs);
}

/** A graph over the case's inputs `in0`, `in1`, … in a layout, and the feeds to run it with. */
export function traceCase(
  opCase: OpCase,
  dtype: FloatDType,
  layout: Layout,
  body: (inputs: readonly Tensor[], feeds: readonly Tensor[]) => { readonly [name: string]: Tensor },
): { readonly graph: Graph; readonly feeds: Record<string, HostArray> } {
  const stored = drawInputs(opCase, dtype).map((array) => store(array, layout));
  const feeds = Object.fromEntries(stored.map(({ array }, at) => [`in${at}`, array]));
  const graph = trace(
    feeds,
    (given) => {
      const raw = stored.map((_, at) => given[`in${at}`]!);
      return body(
        raw.map((x, at) => stored[at]!.restore(x)),
        raw,
      );
    },
    { floatDType: dtype },
  );
  return { graph, feeds };
}

/** A constant of `output`'s type with numbers in [-1, 1) of its own. */
export function weightOf(name: string, output: Tensor, at: number): Tensor {
  const numbers = drawNumbers(`${name} output ${at}`, sizeOf(output.shape));
  return constant(fromNumbers(output.dtype, output.shape, numbers));
}

/** A scalar that depends on every element of every floating output in its own way. */
export function weighted(name: string, outputs: readonly Tensor[]): Tensor | undefined {
  return (
    outputs
      .filter(({ dtype }) => isFloat(dtype))
      // an infinity that belongs there (the log-sum-exp of a row that sees nothing) is no part of the scalar
      .map((output, at) =>
        where(output.isFinite(), output, 0)
          .mul(weightOf(name, output, at))
          .sum(),
      )
      .reduce<Tensor | undefined>((total, one) => (total ? total.add(one) : one), undefined)
  );
}
