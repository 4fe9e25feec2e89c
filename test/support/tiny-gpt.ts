// The tiny GPT-2 that PyTorch trained (test/golden/tiny-gpt.json): its settings, its start, its batches. No figures of ours.
import { readFileSync } from "node:fs";
import { type FloatDType, fromNumbers, type HostArray, sizeOf } from "../../src/base/index.ts";
import type { GptConfig } from "../../src/models/index.ts";

/** Parameters and what their start is made from. */
export interface StatedStart {
  readonly parameters: readonly {
    readonly name: string;
    readonly shape: number[];
    readonly centre: number;
    readonly scale: number;
  }[];
}

export interface TinyGptVariant extends StatedStart {
  readonly biases: boolean;
  readonly gelu: "erf" | "tanh";
  readonly startSums: readonly number[];
  readonly logits: readonly number[];
  readonly f64: {
    readonly losses: readonly number[];
    readonly globalNorms: readonly number[];
    /** Per step, in the order of `parameters`, before clipping. */
    readonly gradNorms: readonly (readonly number[])[];
    readonly finalNorms: readonly number[];
    readonly finalSums: readonly number[];
    readonly lossAfter: number;
    readonly grads?: { readonly [name: string]: readonly number[] };
  };
  readonly f32: {
    readonly losses: readonly number[];
    readonly globalNorm: number;
    readonly gradNorms: readonly number[];
  };
}

interface TinyGpt {
  readonly config: {
    vocab: number;
    context: number;
    width: number;
    layers: number;
    heads: number;
    batch: number;
    normEps: number;
  };
  readonly training: {
    steps: number;
    lr: number;
    beta1: number;
    beta2: number;
    eps: number;
    weightDecay: number;
    clipNorm: number;
  };
  readonly batches: readonly { readonly inputs: number[][]; readonly targets: number[][] }[];
  readonly variants: { readonly [name: string]: TinyGptVariant };
}

export const tinyGpt = JSON.parse(readFileSync("test/golden/tiny-gpt.json", "utf8")) as TinyGpt;

export function configOf({ biases, gelu }: TinyGptVariant): GptConfig {
  const { vocab, context, width, layers, heads, normEps } = tinyGpt.config;
  const activation = gelu === "erf" ? "gelu" : "geluTanh";
  return {
    vocab,
    context,
    width,
    layers,
    heads,
    dropout: 0,
    bias: biases,
    normBias: true,
    activation,
    tiedHead: true,
    eps: normEps,
  };
}

/** The stated start, MurmurHash3's finalizer of (parameter, element): exact in f32. */
export function startOf({ parameters }: StatedStart, dtype: FloatDType): Map<string, HostArray> {
  return new Map(
    parameters.map(({ name, shape, centre, scale }, parameter) => {
      const values = Array.from({ length: sizeOf(shape) }, (_, element) => {
        let x = (Math.imul(parameter, 0x9e3779b1) + element) >>> 0;
        x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
        x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
        x = (x ^ (x >>> 16)) >>> 0;
        return centre + scale * ((x >>> 16) / 65536 - 0.5);
      });
      return [name, fromNumbers(dtype, shape, values)];
    }),
  );
}

/** Token ids as a feed i32 [rows, columns]. */
export function tokensOf(rows: readonly (readonly number[])[]): HostArray {
  return fromNumbers("i32", [rows.length, rows[0]!.length], rows.flat());
}
