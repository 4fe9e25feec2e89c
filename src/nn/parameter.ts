// A parameter: the description of a trainable tensor (shape, dtype, start), and its tensor in the trace under way. No data.
import { type DType, fail, type Shape } from "../base/index.ts";
import { currentScope, type Tensor, variable } from "../core/index.ts";
import type { Init } from "./init.ts";

export interface ParameterOptions {
  /** How the store's tensor starts: an initializer, or its name. */
  readonly init: Init;
  /** Left out, the dtype of the trace. */
  readonly dtype?: DType;
  /** True for one that no optimizer changes, whatever it is told to freeze. Default false. */
  readonly constant?: boolean;
}

/** Tensors that stand for parameters while a model is traced, innermost last. */
const bindings: Map<Parameter, Tensor>[] = [];

export class Parameter {
  readonly shape: Shape;
  readonly dtype: DType | undefined;
  readonly isConstant: boolean;
  /** Read when a store is filled. */
  init: Init;

  constructor(shape: Shape, options: ParameterOptions) {
    if (shape.some((dim) => !Number.isInteger(dim) || dim < 1)) {
      fail("shape/parameter", "a parameter needs positive whole dimensions", { got: `[${shape}]` });
    }
    this.shape = shape;
    this.dtype = options.dtype;
    this.isConstant = options.constant ?? false;
    this.init = options.init;
  }

  /**
   * The parameter's tensor in the trace under way. Errors with `nn/unreachable` when the model that is being traced
   * does not own this parameter.
   */
  get tensor(): Tensor {
    const binding = bindings.at(-1);
    if (binding === undefined) {
      return fail("nn/unbound", "a parameter is used outside of a traced model", {
        where: currentScope(),
        fix: "call functionalCall(model, parameters, () => model.forward(x)) inside trace()",
      });
    }
    return (
      binding.get(this) ??
      fail("nn/unreachable", "a parameter is used that model.parameters() does not reach", {
        where: currentScope() || "forward",
        expected: "parameters and modules in public fields of a Module (arrays and plain objects are searched too)",
        got: `a Parameter of shape [${this.shape}] hidden in a #private field, a Map, a closure or another model`,
        fix: "store it in an ordinary field of the module that uses it",
      })
    );
  }
}

/** Tensors of the store's parameters in the trace under way, by name. Those that are kept in bf16 are widened: models compute in f32. */
export function storedParameters(
  types: Iterable<{ readonly name: string; readonly dtype: DType; readonly shape: Shape }>,
): Map<string, Tensor> {
  return new Map(
    [...types].map(({ name, dtype, shape }) => {
      const stored = variable(name, dtype, shape);
      return [name, dtype === "bf16" ? stored.cast("f32") : stored];
    }),
  );
}

/** Runs `fn` with parameters standing for the given tensors. */
export function withParameters<T>(binding: Map<Parameter, Tensor>, fn: () => T): T {
  bindings.push(binding);
  try {
    return fn();
  } finally {
    bindings.pop();
  }
}
