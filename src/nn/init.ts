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

export const initNames = [
  "zeros",
  "ones",
  "normal",
  "uniform",
  "xavierUniform",
  "xavierNormal",
  "heUniform",
  "heNormal",
  "lecunNormal",
] as const;
export type InitName = (typeof initNames)[number];

/** An initializer by name, or with its numbers. Fans count (inputs, outputs) of a matrix stored [in, out]. */
export type Init =
  | InitName
  | { readonly name: "normal"; readonly std: number; readonly mean?: number }
  | { readonly name: "uniform"; readonly bound: number }
  | { readonly name: "constant"; readonly value: number };

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
  const draw = drawer(init, shape);
  const data = into === undefined ? allocate(dtype, size) : viewOf(dtype, into, 0, size);
  const stream = new RandomStream(seed, `init:${name}`);
  const round = dtype === "bf16" ? toBf16 : dtype === "f16" ? toF16 : (value: number) => value;
  for (let i = 0; i < size; i++) data[i] = round(typeof draw === "number" ? draw : draw(stream, i));
  return { dtype, shape, data };
}

type Draw = number | ((stream: RandomStream, element: number) => number);

const normal =
  (std: number, mean = 0): Draw =>
  (stream, i) =>
    mean + std * stream.normal(i);
const uniform =
  (bound: number): Draw =>
  (stream, i) =>
    (2 * stream.uniform(i) - 1) * bound;

function drawer(init: Init, shape: Shape): Draw {
  const name = typeof init === "string" ? init : init.name;
  const [fanIn, fanOut] = fans(shape);
  switch (name) {
    case "zeros":
      return 0;
    case "ones":
      return 1;
    case "constant":
      return (init as { value: number }).value;
    case "normal":
      return typeof init === "object" && "std" in init ? normal(init.std, init.mean) : normal(1);
    case "uniform":
      return uniform(typeof init === "object" && "bound" in init ? init.bound : 1);
    case "xavierUniform": // Glorot & Bengio 2010, equation 16
      return uniform(Math.sqrt(6 / (fanIn + fanOut)));
    case "xavierNormal":
      return normal(Math.sqrt(2 / (fanIn + fanOut)));
    case "heUniform": // He et al. 2015, for rectifiers
      return uniform(Math.sqrt(6 / fanIn));
    case "heNormal":
      return normal(Math.sqrt(2 / fanIn));
    case "lecunNormal": // LeCun et al. 1998
      return normal(Math.sqrt(1 / fanIn));
    default:
      return fail("nn/init", `no initializer is called ${JSON.stringify(name)}`, {
        expected: initNames.join(", "),
        got: String(name),
        fix: `did you mean ${didYouMean(String(name), initNames) ?? "normal"}?`,
      });
  }
}

/** (inputs, outputs) of a weight: [in, out] for matrices; a vector counts as its own length both ways. */
function fans(shape: Shape): [number, number] {
  if (shape.length < 2) return [shape[0] ?? 1, shape[0] ?? 1];
  const receptive = sizeOf(shape.slice(0, -2));
  return [shape.at(-2)! * receptive, shape.at(-1)! * receptive];
}
