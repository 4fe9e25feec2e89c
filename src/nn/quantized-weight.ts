// A weight kept in few bits, and never trained: int8 or NF4 (Dettmers et al. 2023). What the bits mean is in core.
import { byteSize, type DType, type FloatDType, type HostArray, sameShape, sizeOf } from "../base/index.ts";
import {
  dequantize,
  type QuantizedFormat,
  type QuantizedParts,
  quantize,
  quantizedMatmul,
  quantizedTypes,
  type Tensor,
  take,
} from "../core/index.ts";
import { Embedding } from "./embedding.ts";
import { type Init, initialize } from "./init.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/**
 * (…, inputs) → (…, outputs). Stands where the weight did, a layer's [inputs, outputs] or a table [outputs, inputs]; its tensors are the parts
 * that are kept of it.
 */
export class QuantizedWeight extends Module {
  readonly codes: Parameter;
  readonly scales: Parameter;
  readonly scaleCodes: Parameter | undefined;
  readonly mean: Parameter | undefined;
  /** Of the weight. */
  readonly shape: readonly [number, number];
  readonly isTable: boolean;
  readonly init: Init;
  readonly format: QuantizedFormat;

  /** Errors with `nn/quantize`. */
  constructor(format: QuantizedFormat, { shape, init }: Parameter, isTable = false) {
    super();
    this.format = format;
    this.shape = [shape[0]!, shape[1]!];
    this.isTable = isTable;
    this.init = init;
    const types = quantizedTypes(format, isTable ? [shape[1]!, shape[0]!] : this.shape);
    const kept = (type: (typeof types)["codes"]) =>
      new Parameter(type.shape, { init: "zeros", dtype: type.dtype, constant: true });
    this.codes = kept(types.codes);
    this.scales = kept(types.scales);
    this.scaleCodes = types.scaleCodes && kept(types.scaleCodes);
    this.mean = types.mean && kept(types.mean);
  }

  get parts(): QuantizedParts<Tensor> {
    const { codes, scales, scaleCodes, mean } = this;
    const parts = { codes: codes.tensor, scales: scales.tensor };
    return mean === undefined ? parts : { ...parts, scaleCodes: scaleCodes!.tensor, mean: mean.tensor };
  }

  forward(x: Tensor): Tensor {
    return quantizedMatmul(x, this.parts);
  }

  /** Rows of a table in int8 by id, or all of them. */
  rows(ids?: Tensor): Tensor {
    const chosen = ({ tensor }: Parameter) => (ids === undefined ? tensor : take(tensor, ids));
    const scales = chosen(this.scales);
    return chosen(this.codes)
      .cast(scales.dtype)
      .sub(128)
      .mul(scales.reshape(...scales.shape, 1));
  }
}

/**
 * Keeps the weights of a model's linear layers in few bits; those at its top, its head, stay as they are (as bitsandbytes leaves them), and
 * those that are trained.
 * The store's tensors are then those of `storedParts`. Gives the paths of what it keeps so. Errors with `nn/quantize`.
 *
 * To generate with a trained model in int8: `quantizeLayers(model, "int8")` before its programs are traced, and for each of its
 * weights that the store shall hold `storedParts(model, tensors)`.
 */
export function quantizeLayers(
  model: Module,
  format: QuantizedFormat,
  isTrained: (name: string) => boolean = () => false,
): string[] {
  const layers = [...model.modules()].filter(
    (entry): entry is [string, Linear] =>
      entry[1] instanceof Linear && entry[0].includes(".") && !isTrained(`${entry[0]}.weight`),
  );
  for (const [, layer] of layers) {
    if (layer.weight instanceof Parameter) layer.weight = new QuantizedWeight(format, layer.weight);
  }
  return layers.map(([path]) => `${path}.weight`);
}

/**
 * Keeps in int8 what has a row or an output per id of a vocabulary, as a model's `vocabulary` names it: the table of tokens, and the head, which is
 * the dearest part of a token. For generation; what is trained beside quantized layers keeps its head.
 */
export function quantizeVocabulary(layers: Iterable<Embedding | Linear>): void {
  for (const layer of layers) {
    if (layer.weight instanceof Parameter)
      layer.weight = new QuantizedWeight("int8", layer.weight, layer instanceof Embedding);
  }
}

/** The weights that a model keeps in few bits, by the names that they would have. */
export function quantizedWeights(model: Module): Map<string, QuantizedWeight> {
  return new Map(
    [...model.modules()].filter((entry): entry is [string, QuantizedWeight] => entry[1] instanceof QuantizedWeight),
  );
}

/** A model's tensors by name, where a matrix that it keeps in few bits is the parts of it; quantized one at a time, as they are asked for. */
export function* storedParts(
  model: Module,
  tensors: Iterable<readonly [string, HostArray]>,
): Generator<[string, HostArray]> {
  const weights = quantizedWeights(model);
  for (const [name, value] of tensors) {
    const weight = weights.get(name);
    if (weight === undefined || !sameShape(value.shape, weight.shape)) yield [name, value];
    else yield* partsOf(name, weight, value);
  }
}

function partsOf(name: string, { format, isTable }: QuantizedWeight, value: HostArray): [string, HostArray][] {
  return Object.entries(quantize(format, value, isTable)).map(([part, array]) => [`${name}.${part}`, array]);
}

/** True for the name of what is kept of a matrix in few bits. */
export const isQuantizedPart = (name: string): boolean => /\.weight\.(codes|scales|scaleCodes|mean)$/.test(name);

/** A model's tensors by name, where the parts of a quantized layer's matrix are the matrix [inputs, outputs] again. */
export function wholeTensors(tensors: ReadonlyMap<string, HostArray>): Map<string, HostArray> {
  const whole = new Map<string, HostArray>();
  for (const [name, value] of tensors) {
    const [, weight, part] = /^(.*)\.(codes|scales|scaleCodes|mean)$/.exec(name) ?? [];
    if (weight === undefined || !tensors.has(`${weight}.codes`)) whole.set(name, value);
    else if (part === "codes") {
      const parts = ["codes", "scales", "scaleCodes", "mean"].map((one) => [one, tensors.get(`${weight}.${one}`)]);
      whole.set(weight, dequantize(Object.fromEntries(parts) as QuantizedParts<HostArray>));
    }
  }
  return whole;
}

/** Every parameter of a model by name, a weight that it keeps in few bits as the one that it is. */
export function wholeParameters(model: Module): Map<string, Parameter | QuantizedWeight> {
  const weights = quantizedWeights(model);
  const whole = new Map<string, Parameter | QuantizedWeight>();
  for (const [name, parameter] of model.parameters()) {
    const path = name.replace(/\.\w+$/, "");
    const weight = weights.get(path);
    whole.set(weight === undefined ? name : path, weight ?? parameter);
  }
  return whole;
}

/** The initial value of every tensor of a model, one at a time: an array is good until the next is asked for. */
export function* initialTensors(
  model: Module,
  dtypeOf: (name: string) => DType,
  seed: number,
): Generator<[string, HostArray]> {
  const wanted = [...wholeParameters(model)].map(([name, whole]) => {
    const weight = whole instanceof Parameter ? undefined : whole;
    const dtype = weight === undefined ? (dtypeOf(name) as FloatDType) : "f32";
    return { name, init: whole.init, shape: whole.shape, dtype, weight };
  });
  const buffer = new ArrayBuffer(Math.max(...wanted.map(({ dtype, shape }) => sizeOf(shape) * byteSize(dtype))));
  for (const { name, init, shape, dtype, weight } of wanted) {
    const value = initialize(init, name, shape, dtype, seed, buffer);
    if (weight === undefined) yield [name, value];
    else yield* partsOf(name, weight, value);
  }
}
