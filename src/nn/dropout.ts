// Dropout (Srivastava et al. 2014) and its kin: layers that disturb what passes, only while a trace is in train mode. Masks are drawn
// from the trace's random inputs, with the module's path as stream; the first dimension of `x` must be the batch's rows.
import { type DType, fail, type Shape, type Varying, valuesOf } from "../base/index.ts";
import {
  constant,
  currentScope,
  currentTrace,
  dropoutOf,
  normal,
  ones,
  type RandomInputs,
  type Tensor,
  uniform,
  varying,
  where,
} from "../core/index.ts";
import { Module } from "./module.ts";

/** A layer that is the identity in eval mode, and at rate 0. */
abstract class Disturbance<Rate extends Varying = Varying> extends Module {
  readonly rate: Rate;

  /** `rate` is the probability with which something is dropped, below 1. */
  constructor(rate: Rate) {
    super();
    this.rate = checkRate(rate);
  }

  forward(x: Tensor): Tensor {
    const random = randomInputs(this.rate);
    return random === undefined ? x : this.disturb(x, random);
  }

  protected abstract disturb(x: Tensor, random: RandomInputs): Tensor;
}

/** Zeroes elements with probability `rate` and scales the rest by 1 / (1 − rate). */
export class Dropout extends Disturbance {
  protected override disturb(x: Tensor, { key, rows }: RandomInputs): Tensor {
    return dropoutOf(x, rateOf(this.rate, x.dtype), key, rows, currentScope());
  }
}

/** Zeroes whole parts of a row alike, those that `maskShape` has one element for, and scales the rest by 1 / (1 − rate). */
abstract class PartDropout extends Disturbance {
  protected abstract maskShape(shape: Shape): Shape;

  protected override disturb(x: Tensor, { key, rows }: RandomInputs): Tensor {
    const mask = ones(this.maskShape(x.shape), x.dtype);
    return x.mul(dropoutOf(mask, rateOf(this.rate, x.dtype), key, rows, currentScope()));
  }
}

/** Zeroes whole channels, the last dimension of (B, …, C), at all places of a row alike (Tompson et al. 2015). */
export class SpatialDropout extends PartDropout {
  protected override maskShape(shape: Shape): Shape {
    return shape.map((dim, at) => (at === 0 || at === shape.length - 1 ? dim : 1));
  }
}

/** Zeroes whole tokens of (B, T, …), such as rows of embeddings (Gal & Ghahramani 2016). */
export class TokenDropout extends PartDropout {
  protected override maskShape(shape: Shape): Shape {
    return shape.map((dim, at) => (at < 2 ? dim : 1));
  }
}

/** Zeroes a residual branch for whole rows (B, …): stochastic depth (Huang et al. 2016). */
export class DropPath extends PartDropout {
  protected override maskShape(shape: Shape): Shape {
    return shape.map((dim, at) => (at === 0 ? dim : 1));
  }
}

/** What SELU's outputs tend to far below 0: −λα (Klambauer et al. 2017). */
const saturation = -1.0507009873554805 * 1.6732632423543772;

/** Sets elements to SELU's lowest value and corrects by an affine map, so that mean 0 and variance 1 are kept (Klambauer et al. 2017). */
export class AlphaDropout extends Disturbance<number> {
  protected override disturb(x: Tensor, { key, rows }: RandomInputs): Tensor {
    const keep = 1 - this.rate;
    const scale = (keep * (1 + this.rate * saturation ** 2)) ** -0.5;
    const kept = uniform(key, rows, x.shape, currentScope()).cast(x.dtype).greaterEqual(this.rate);
    return where(kept, x, saturation)
      .mul(scale)
      .sub(scale * this.rate * saturation);
  }
}

/** Multiplies by numbers of mean 1 and variance rate / (1 − rate), as Dropout does in the mean (Srivastava et al. 2014, section 10). */
export class GaussianDropout extends Disturbance<number> {
  protected override disturb(x: Tensor, { key, rows }: RandomInputs): Tensor {
    const noise = normal(key, rows, x.shape, currentScope()).cast(x.dtype);
    return x.mul(noise.mul(Math.sqrt(this.rate / (1 - this.rate))).add(1));
  }
}

/** Adds normal noise of standard deviation `std`. */
export class GaussianNoise extends Module {
  readonly std: number;

  constructor(std: number) {
    super();
    if (!(std >= 0 && std < Number.POSITIVE_INFINITY))
      fail("nn/noise", "noise has a standard deviation", {
        expected: "0 or more",
        got: String(std),
        fix: "0 means none",
      });
    this.std = std;
  }

  forward(x: Tensor): Tensor {
    const random = randomInputs(this.std);
    if (random === undefined) return x;
    return x.add(normal(random.key, random.rows, x.shape, currentScope()).cast(x.dtype).mul(this.std));
  }
}

/** Errors with `nn/dropout` unless 0 ≤ rate < 1. */
export function checkRate<Rate extends Varying>(rate: Rate): Rate {
  const values = valuesOf(rate);
  if (values.every((value) => value >= 0 && value < 1)) return rate;
  return fail("nn/dropout", "a dropout rate is a probability below 1", {
    expected: "0 ≤ rate < 1",
    got: values.join(", "),
    fix: "0 means no dropout",
  });
}

/** The rate as a scalar. */
export function rateOf(rate: Varying, dtype: DType): Tensor {
  return typeof rate === "number" ? constant(rate, dtype) : varying(rate, dtype);
}

/** What masks are drawn from, or `undefined` when nothing is dropped: rate 0, or a trace in eval mode. */
export function randomInputs(rate: Varying): RandomInputs | undefined {
  const { mode, random } = currentTrace();
  if (rate === 0 || mode === "eval") return undefined;
  return (
    random ??
    fail("nn/random", "dropout needs random inputs", {
      where: currentScope(),
      expected: "a trace with a random key and row ids",
      got: "train mode without them",
      fix: 'give trace() the option random, or trace with mode: "eval"',
    })
  );
}
