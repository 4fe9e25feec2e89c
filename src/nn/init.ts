// How parameters start. Host functions of (seed, parameter name, element): independent of order, engine and threads.
import {
  allocate,
  didYouMean,
  type FloatDType,
  fail,
  type HostArray,
  RandomStream,
  type Shape,
  sizeOf,
  toBf16,
  toF16,
  viewOf,
} from "../base/index.ts";

/** Variances of weights by their fans, as fractions: what keeps the scale of activations, or of gradients, from layer to layer. */
const variances = {
  /** Glorot & Bengio 2010, equation 16: a compromise of both. */
  xavier: (fanIn: number, fanOut: number) => [2, fanIn + fanOut],
  /** He et al. 2015, for rectifiers, which halve the variance. */
  he: (fanIn: number) => [2, fanIn],
  /** LeCun et al. 1998. */
  lecun: (fanIn: number) => [1, fanIn],
} as const;

export const initNames = [
  "zeros",
  "ones",
  "normal",
  "truncatedNormal",
  "uniform",
  "xavierUniform",
  "xavierNormal",
  "heUniform",
  "heNormal",
  "lecunUniform",
  "lecunNormal",
  "orthogonal",
  "identity",
  "sparse",
] as const;
export type InitName = (typeof initNames)[number];

/**
 * An initializer by name, or with its numbers. Fans count (inputs, outputs) of a matrix stored [in, out].
 *
 * - `truncatedNormal`: what lies further than `cut` (default 2) times `std` from the mean is drawn again; `std` is that before.
 * - `xavier…`, `he…`, `lecun…`: times `gain`; `fan: "out"` keeps the scale of gradients instead of that of activations.
 * - `orthogonal`: columns (rows, where these are more) of length `gain` at right angles (Saxe et al. 2014).
 * - `identity`: ones on the diagonal. `sparse`: that share of each output's inputs is 0, the rest normal (Martens 2010).
 * - `scaled`: another one times a factor; what muP makes of a parameter's own.
 */
export type Init =
  | InitName
  | { readonly name: "normal"; readonly std: number; readonly mean?: number }
  | { readonly name: "truncatedNormal"; readonly std: number; readonly mean?: number; readonly cut?: number }
  | { readonly name: "uniform"; readonly bound: number }
  | { readonly name: "constant"; readonly value: number }
  | {
      readonly name: `${keyof typeof variances}${"Uniform" | "Normal"}`;
      readonly gain?: number;
      readonly fan?: "in" | "out";
    }
  | { readonly name: "orthogonal"; readonly gain?: number }
  | { readonly name: "sparse"; readonly sparsity: number; readonly std?: number }
  | { readonly name: "scaled"; readonly init: Init; readonly factor: number };

/**
 * The initial value of one parameter. `name` selects its random stream. With `into`, the values stand at the start of that
 * buffer, so that a large model leaves no garbage behind. Errors with `nn/init`.
 */
export function initialize(
  init: Init,
  name: string,
  shape: Shape,
  dtype: FloatDType,
  seed: number,
  into?: ArrayBuffer,
): HostArray {
  const size = sizeOf(shape);
  const stream = new RandomStream(seed, `init:${name}`);
  const draw = drawer(init, shape, stream);
  const data = into === undefined ? allocate(dtype, size) : viewOf(dtype, into, 0, size);
  const round = dtype === "bf16" ? toBf16 : dtype === "f16" ? toF16 : (value: number) => value;
  for (let i = 0; i < size; i++) data[i] = round(typeof draw === "number" ? draw : draw(i));
  return { dtype, shape, data };
}

/** One number for all elements, or the value of each. */
type Draw = number | ((element: number) => number);

type Numbers = { [name in "std" | "mean" | "cut" | "bound" | "gain" | "sparsity"]?: number } & { fan?: "in" | "out" };

function drawer(init: Init, shape: Shape, stream: RandomStream): Draw {
  const { name, ...given } = typeof init === "string" ? { name: init } : init;
  const { mean = 0, cut = 2, bound = 1, gain = 1, fan = "in", sparsity = 0.9 } = given as Numbers;
  const { std = name === "sparse" ? 0.01 : 1 } = given as Numbers;
  const normal = (deviation: number) => (i: number) => mean + deviation * stream.normal(i);
  const uniform = (limit: number) => (i: number) => (2 * stream.uniform(i) - 1) * limit;
  switch (name) {
    case "zeros":
      return 0;
    case "ones":
      return 1;
    case "constant":
      return (given as { value: number }).value;
    case "scaled": {
      const { init: inner, factor } = given as { init: Init; factor: number };
      const draw = drawer(inner, shape, stream);
      return typeof draw === "number" ? draw * factor : (i) => draw(i) * factor;
    }
    case "normal":
      return normal(std);
    case "truncatedNormal": {
      if (!(cut >= 0.01)) failSetting(name, "cut", cut, "at least 0.01 standard deviations");
      const within = (i: number, attempt: number): number => {
        const z = stream.normal(i, attempt);
        return Math.abs(z) <= cut ? z : within(i, attempt + 1);
      };
      return (i) => mean + std * within(i, 0);
    }
    case "uniform":
      return uniform(bound);
    case "orthogonal":
      return orthogonal(matrixOf(name, shape), gain, stream);
    case "identity": {
      const [, columns] = matrixOf(name, shape);
      return (i) => Number(Math.floor(i / columns) === i % columns);
    }
    case "sparse":
      return sparse(matrixOf(name, shape), sparsity, normal(std), stream);
    default: {
      const [, rule, kind] = /^(xavier|he|lecun)(Uniform|Normal)$/.exec(name) ?? failName(name);
      const [fanIn, fanOut] = fan === "in" ? fans(shape) : fans(shape).reverse();
      const [above, below] = variances[rule as keyof typeof variances](fanIn!, fanOut!);
      return kind === "Uniform"
        ? uniform(gain * Math.sqrt((3 * above) / below))
        : normal(gain * Math.sqrt(above / below));
    }
  }
}

function failName(name: string): never {
  fail("nn/init", `no initializer is called ${JSON.stringify(name)}`, {
    expected: initNames.join(", "),
    got: String(name),
    fix: `did you mean ${didYouMean(String(name), initNames) ?? "normal"}?`,
  });
}

function failSetting(init: string, name: string, value: unknown, expected: string): never {
  fail("nn/init", `${name} of ${init} is out of its range`, {
    where: init,
    expected,
    got: String(value),
    fix: `change ${name}`,
  });
}

/** (rows, columns) of a weight, leading dimensions taken as rows. */
function matrixOf(init: string, shape: Shape): [number, number] {
  if (shape.length < 2) failSetting(init, "the shape", `[${shape}]`, "a matrix");
  return [sizeOf(shape.slice(0, -1)), shape.at(-1)!];
}

/**
 * Columns, or rows where these are longer, of a normal matrix at right angles to one another, by Gram and Schmidt; projecting twice is
 * enough for f64 (Giraud et al. 2005). Their lengths before are positive, so that every rotation is as likely.
 */
function orthogonal([rows, columns]: readonly [number, number], gain: number, stream: RandomStream): Draw {
  const [count, length] = [Math.min(rows, columns), Math.max(rows, columns)];
  const vectors: Float64Array[] = [];
  for (let v = 0; v < count; v++) {
    const vector = Float64Array.from({ length }, (_, at) => stream.normal(v * length + at));
    const dot = (other: Float64Array) => other.reduce((sum, value, at) => sum + value * vector[at]!, 0);
    for (const other of [...vectors, ...vectors]) {
      const along = dot(other);
      for (let at = 0; at < length; at++) vector[at]! -= along * other[at]!;
    }
    const norm = Math.sqrt(dot(vector));
    vectors.push(vector.map((value) => value / norm));
  }
  return (i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    return gain * (rows >= columns ? vectors[column]![row]! : vectors[row]![column]!);
  };
}

function sparse(
  [rows, columns]: readonly [number, number],
  sparsity: number,
  normal: (element: number) => number,
  stream: RandomStream,
): Draw {
  if (!(sparsity >= 0 && sparsity < 1)) failSetting("sparse", "sparsity", sparsity, "a share from 0 to below 1");
  const zeros = new Set<number>();
  for (let column = 0; column < columns; column++) {
    const chance = (row: number) => stream.uniform(row * columns + column, 1);
    const order = Array.from({ length: rows }, (_, row) => row).sort((a, b) => chance(a) - chance(b) || a - b);
    for (const row of order.slice(0, Math.ceil(sparsity * rows))) zeros.add(row * columns + column);
  }
  return (i) => (zeros.has(i) ? 0 : normal(i));
}

/** Errors with `nn/symmetry` for the start of a hidden layer's weight that gives all units the same numbers. */
export function requireUnlike(init: Init): void {
  const name = typeof init === "string" ? init : init.name;
  if (!["zeros", "ones", "constant"].includes(name)) return;
  fail("nn/symmetry", "hidden units that start alike get the same gradients, and stay alike", {
    expected: "numbers that tell units apart, such as heNormal",
    got: name,
    fix: "leave init out; biases and output layers may start at 0",
  });
}

/** (inputs, outputs) of a weight: [in, out] for matrices; a vector counts as its own length both ways. */
export function fans(shape: Shape): [fanIn: number, fanOut: number] {
  if (shape.length < 2) return [shape[0] ?? 1, shape[0] ?? 1];
  const receptive = sizeOf(shape.slice(0, -2));
  return [shape.at(-2)! * receptive, shape.at(-1)! * receptive];
}
