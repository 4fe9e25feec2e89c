// Rules of other families: velocities and signs, sums and means of squares, a factored mean. Learning rate and decay are other links.
import type { Varying } from "../base/index.ts";
import { maximum, type Tensor, varying } from "../core/index.ts";
import { runningMean } from "./adam-rules.ts";
import { perParameter, type Transform } from "./optimizer.ts";

/** Updates accumulated in a velocity (Polyak 1964; Nesterov's look ahead as Sutskever et al. 2013, in PyTorch's form). */
export function momentum(decay: Varying, options: { nesterov?: boolean } = {}): Transform {
  return perParameter("sgd", ["velocity"], (grad, { slot, keep }) => {
    const share = varying(decay, grad.dtype);
    const velocity = keep("velocity", slot("velocity").mul(share).add(grad));
    return options.nesterov ? grad.add(velocity.mul(share)) : velocity;
  });
}

/** sign(β₁ m + (1 − β₁) g), then m ← β₂ m + (1 − β₂) g (Chen et al. 2023, algorithm 2). */
export function scaleByLion({ beta1, beta2 }: { readonly beta1: number; readonly beta2: number }): Transform {
  return perParameter("lion", ["m"], (grad, { slot, keep }) => {
    keep("m", runningMean(slot("m"), grad, beta2));
    return runningMean(slot("m"), grad, beta1).sign();
  });
}

/** g / (√Σg² + ε) (Duchi, Hazan & Singer 2011). */
export function scaleByAdagrad({ eps }: { readonly eps: number }): Transform {
  return perParameter("adagrad", ["sum"], (grad, { slot, keep }) =>
    grad.div(keep("sum", slot("sum").add(grad.square())).sqrt().add(eps)),
  );
}

interface Rho {
  /** Decay of the running means. */
  readonly rho: number;
  readonly eps: number;
}

/** g · √(E[Δ²] + ε) / √(E[g²] + ε) (Zeiler 2012, algorithm 1). */
export function scaleByAdadelta({ rho, eps }: Rho): Transform {
  return perParameter("adadelta", ["v", "delta"], (grad, { slot, keep }) => {
    const v = keep("v", runningMean(slot("v"), grad.square(), rho));
    const update = slot("delta").add(eps).sqrt().div(v.add(eps).sqrt()).mul(grad);
    keep("delta", runningMean(slot("delta"), update.square(), rho));
    return update;
  });
}

/** g / (√E[g²] + ε) (Tieleman & Hinton 2012); centred, E[g²] − E[g]² under the root (Graves 2013; eps outside, as PyTorch). */
export function scaleByRmsprop({ rho, eps, centered }: Rho & { readonly centered: boolean }): Transform {
  return perParameter("rmsprop", centered ? ["v", "mean"] : ["v"], (grad, { slot, keep }) => {
    const v = keep("v", runningMean(slot("v"), grad.square(), rho));
    const spread = centered ? v.sub(keep("mean", runningMean(slot("mean"), grad, rho)).square()) : v;
    return grad.div(spread.sqrt().add(eps));
  });
}

export interface AdafactorNumbers {
  /** The mean of squares decays by 1 − t^power. */
  readonly power: number;
  /** Smallest mean square, and smallest root mean square of a parameter. */
  readonly eps: readonly [number, number];
  /** Largest root mean square of an update. */
  readonly clipRms: number;
}

const rms = (x: Tensor): Tensor => x.square().mean().sqrt();

/**
 * Updates relative to the parameter's size, divided by a mean of squares kept as one number per row and per column (Shazeer & Stern
 * 2018, as PyTorch: rate min(lr, 1/√t)). Vectors keep all of theirs.
 */
export function scaleByAdafactor({ power, eps: [smallest, smallestRms], clipRms }: AdafactorNumbers): Transform {
  const rule = perParameter(
    "adafactor",
    [],
    (grad, { slot, keep, scalar, parameter }) => {
      const mix = (name: string, now: Tensor) => keep(name, slot(name).add(now.sub(slot(name)).mul(scalar("fresh"))));
      const meanSquare = (): Tensor => {
        if (grad.rank < 2) return mix("v", grad.square());
        const rows = mix("rows", grad.square().mean({ axis: -1, keepDim: true }));
        const columns = mix("columns", grad.square().mean({ axis: -2, keepDim: true }));
        return rows.mul(columns).div(maximum(rows.mean({ axis: -2, keepDim: true }), smallest));
      };
      const update = grad.div(maximum(meanSquare(), smallest ** 2).sqrt());
      const size = maximum(rms(parameter), smallestRms).mul(scalar("rate"));
      return update.mul(size.div(maximum(rms(update).div(clipRms), 1)));
    },
    (step, learningRate) => ({
      fresh: (step + 1) ** power,
      rate: Math.min(1, 1 / (learningRate * Math.sqrt(step + 1))), // times lr, by the chain's last link
    }),
  );
  return {
    ...rule,
    slots: (parameters) =>
      parameters.flatMap(({ name, dtype, shape }) => {
        const type = (slot: string, slotShape: readonly number[]) => ({
          name: `adafactor.${slot}.${name}`,
          dtype,
          shape: slotShape,
        });
        if (shape.length < 2) return [type("v", shape)];
        return [type("rows", [...shape.slice(0, -1), 1]), type("columns", [...shape.slice(0, -2), 1, shape.at(-1)!])];
      }),
  };
}
