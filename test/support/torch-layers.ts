// PyTorch's outputs and gradients (test/golden/layers.json) as graphs of core's functions: the same cases run on every engine.
import { readFileSync } from "node:fs";
import { type FloatDType, fromNumbers, type HostArray, isFloat } from "../../src/base/index.ts";
import {
  add,
  attention,
  crossEntropy,
  type Graph,
  gelu,
  geluTanh,
  gradients,
  layerNorm,
  logSoftmax,
  rmsNorm,
  rotary,
  silu,
  softmax,
  type Tensor,
  take,
  trace,
} from "../../src/core/index.ts";

interface Packed {
  readonly dtype: "f64" | "i32" | "bool";
  readonly shape: number[];
  readonly data: number[];
}

export interface TorchCase {
  readonly name: string;
  readonly op: string;
  readonly attrs: { readonly [name: string]: number | boolean | string };
  readonly inputs: { readonly [name: string]: Packed };
  readonly output: Packed;
  readonly cotangent: Packed;
  readonly grads: { readonly [name: string]: Packed };
}

type Inputs = { readonly [name: string]: Tensor };
type Compute = (inputs: Inputs, attrs: TorchCase["attrs"]) => Tensor;

const functions: { readonly [op: string]: Compute } = {
  layerNorm: ({ x, weight, bias }, { eps }) => layerNorm(x!, weight!, bias!, Number(eps)),
  rmsNorm: ({ x, weight }, { eps }) => rmsNorm(x!, weight!, Number(eps)),
  gelu: ({ x }) => gelu(x!),
  geluTanh: ({ x }) => geluTanh(x!),
  silu: ({ x }) => silu(x!),
  relu: ({ x }) => x!.relu(),
  sigmoid: ({ x }) => x!.sigmoid(),
  tanh: ({ x }) => x!.tanh(),
  erf: ({ x }) => x!.erf(),
  softplus: ({ x }) => x!.relu().add(x!.abs().neg().exp().log1p()),
  softmax: ({ x }) => softmax(x!),
  logSoftmax: ({ x }) => logSoftmax(x!),
  crossEntropy: ({ logits, target }, { reduction, ignoreIndex }) => {
    const losses = crossEntropy(logits!, target!, Number(ignoreIndex));
    if (reduction === "none") return losses;
    const count = target!.notEqual(Number(ignoreIndex)).cast(losses.dtype).sum();
    return reduction === "sum" ? losses.sum() : losses.sum().div(count);
  },
  attention: ({ q, k, v, mask, documents }, { causal, scale, window }) =>
    attention(q!, k!, v!, {
      causal: causal === true,
      ...(scale === undefined ? {} : { scale: Number(scale) }),
      ...(window === undefined ? {} : { window: Number(window) }),
      ...(documents ? { documents } : {}),
      ...(mask ? { mask: mask.broadcastTo([q!.shape[0]!, q!.shape[2]!, q!.shape[1]!, k!.shape[1]!]) } : {}),
    }),
  rotary: ({ x, positions }, { interleaved, width, base }) =>
    rotary(x!, {
      interleaved: interleaved === true,
      ...(width === undefined ? {} : { width: Number(width) }),
      ...(base === undefined ? {} : { base: Number(base) }),
      ...(positions ? { positions } : {}),
    }),
  linear: ({ x, weight, bias }) => add(x!.matmul(weight!), bias!),
  embedding: ({ weight, indices }) => take(weight!, indices!),
};

const file = JSON.parse(readFileSync(new URL("../golden/layers.json", import.meta.url), "utf8")) as {
  cases: TorchCase[];
};

/** The cases that are functions of core; losses over pairs are nn's. */
export const torchCases: readonly TorchCase[] = file.cases.filter(({ op }) => op in functions);

export function unpack({ dtype, shape, data }: Packed, floatDType: FloatDType): HostArray {
  return fromNumbers(isFloat(dtype) ? floatDType : dtype, shape, data);
}

/** The case's graph with outputs `output` and `grad <input>`, its feeds, and PyTorch's figures for each output. */
export function traceTorchCase(
  { op, attrs, inputs, output, cotangent, grads }: TorchCase,
  dtype: FloatDType,
): { graph: Graph; feeds: Record<string, HostArray>; wanted: Record<string, HostArray> } {
  const packed = { ...inputs, cotangent };
  const feeds = Object.fromEntries(Object.entries(packed).map(([name, array]) => [name, unpack(array, dtype)]));
  const wrt = Object.keys(grads);
  const graph = trace(
    feeds,
    (given) => {
      const value = functions[op]!(given, attrs);
      const found = gradients(
        [value],
        wrt.map((name) => given[name]!),
        [given.cotangent!],
      );
      return { output: value, ...Object.fromEntries(wrt.map((name, at) => [`grad ${name}`, found[at]!])) };
    },
    { floatDType: dtype },
  );
  const figures = [["output", output] as const, ...wrt.map((name) => [`grad ${name}`, grads[name]!] as const)];
  return { graph, feeds, wanted: Object.fromEntries(figures.map(([name, array]) => [name, unpack(array, "f64")])) };
}
