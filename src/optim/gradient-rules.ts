// What is done to gradients before a rule sees them: clipping of other kinds than by the global norm, centralization, noise.
import { iota, maximum, minimum, normal, sumSquares, type Tensor } from "../core/index.ts";
import { mapTensors, perParameter, scaledUpdates, type Transform } from "./optimizer.ts";

/** Every element kept between −limit and limit. */
export function clipByValue(limit: number): Transform {
  return perParameter("clipByValue", [], (grad) => maximum(minimum(grad, limit), -limit));
}

/** Each gradient scaled to a norm of at most `maxNorm` by itself (1e-6 as in `clipByGlobalNorm`). */
export function clipByParameterNorm(maxNorm: number): Transform {
  return perParameter("clipByParameterNorm", [], (grad) =>
    grad.mul(minimum(sumSquares(grad).sqrt().add(1e-6).reciprocal().mul(maxNorm), 1)),
  );
}

/** Norm per unit: of a matrix [inputs, outputs] per output, of a vector as a whole. */
const unitNorm = (x: Tensor): Tensor =>
  x
    .square()
    .sum(x.rank < 2 ? { keepDim: true } : { axis: [...x.shape.keys()].slice(0, -1), keepDim: true })
    .sqrt();

/** Each unit's gradient at most `ratio` times the unit's own norm, which counts as 1e-3 at least (Brock et al. 2021, AGC). */
export function clipAdaptively(ratio: number): Transform {
  return perParameter("clipAdaptively", [], (grad, { parameter }) => {
    const largest = maximum(unitNorm(parameter), 1e-3).mul(ratio);
    return grad.mul(minimum(largest.div(maximum(unitNorm(grad), 1e-6)), 1));
  });
}

/** The mean over the inputs of each output taken off, for matrices (Yong et al. 2020). */
export function centralizeGradients(): Transform {
  return perParameter("centralizeGradients", [], (grad) =>
    grad.rank < 2 ? grad : grad.sub(grad.mean({ axis: [...grad.shape.keys()].slice(0, -1), keepDim: true })),
  );
}

/** Normal noise of variance size / (1 + t)^decay, drawn by its address (Neelakantan et al. 2015, equation 1; decay 0.55 there). */
export function addGradientNoise({ size, decay }: { readonly size: number; readonly decay: number }): Transform {
  return {
    name: "noise",
    scalarsAt: (step) => ({ "noise.deviation": Math.sqrt(size / (1 + step) ** decay) }),
    apply: (state, tools) => {
      const [key, deviation] = [tools.key(), tools.scalar("noise.deviation")];
      const updates = mapTensors(scaledUpdates(state), (grad, name) => {
        const shape = grad.rank === 0 ? [1] : grad.shape;
        const noise = normal(key, iota([shape[0]!], 0), shape, `noise.${name}`).cast(grad.dtype);
        return grad.add(noise.reshape(...grad.shape).mul(deviation));
      });
      return { ...state, updates, factor: undefined };
    },
  };
}
