// Adam and its family: updates divided by a running size of the gradient, element by element. Learning rate and decay are other links.
import { type Clock, type Varying, valueAt } from "../base/index.ts";
import { complement, maximum, type Operand, type Tensor, varying } from "../core/index.ts";
import { perParameter, type Transform } from "./optimizer.ts";
import type { AdamNumbers } from "./transforms.ts";

/** A running mean: decay · old + (1 − decay) · now. */
export const runningMean = (old: Tensor, now: Tensor, decay: Operand): Tensor =>
  old.mul(decay).add(now.mul(complement(decay)));

/** 1 / (1 − βᵗ) for the update after `step` others. */
const correction = (beta: number, step: number): number => 1 / (1 - beta ** (step + 1));
const corrections =
  ({ beta1, beta2 }: Pick<AdamNumbers<Varying>, "beta1" | "beta2">) =>
  (step: number, _: number, clock: Clock) => ({
    c1: correction(valueAt(beta1, clock), step),
    c2: correction(valueAt(beta2, clock), step),
  });

/**
 * m̂ / (√v̂ + ε) with running means of g and g² (Kingma & Ba 2015; eps outside the root, as PyTorch). AMSGrad divides by the largest
 * v so far (Reddi, Kale & Kumar 2018). Betas that change are corrected for as if they had always been what they are (as PyTorch).
 */
export function scaleByAdam(numbers: AdamNumbers<Varying>, { amsgrad = false } = {}): Transform {
  const { beta1, beta2, eps } = numbers;
  return perParameter(
    "adam",
    amsgrad ? ["m", "v", "largest"] : ["m", "v"],
    (grad, { slot, keep, scalar }) => {
      const m = keep("m", runningMean(slot("m"), grad, varying(beta1, grad.dtype)));
      const v = keep("v", runningMean(slot("v"), grad.square(), varying(beta2, grad.dtype)));
      const size = amsgrad ? keep("largest", maximum(slot("largest"), v)) : v;
      return m.mul(scalar("c1")).div(size.mul(scalar("c2")).sqrt().add(eps));
    },
    corrections(numbers),
  );
}

/** m̂ / u, u the decayed largest |g| (Kingma & Ba 2015, algorithm 2; eps as PyTorch: max(β₂ u, |g| + ε)). */
export function scaleByAdamax({ beta1, beta2, eps }: AdamNumbers): Transform {
  return perParameter(
    "adamax",
    ["m", "u"],
    (grad, { slot, keep, scalar }) => {
      const m = keep("m", runningMean(slot("m"), grad, beta1));
      return m.mul(scalar("c1")).div(keep("u", maximum(slot("u").mul(beta2), grad.abs().add(eps))));
    },
    (step) => ({ c1: correction(beta1, step) }),
  );
}

/**
 * Adam with Nesterov's look ahead: the next step's momentum of m̂ and the rest of g, over √v̂ + ε (Dozat 2016, algorithm 2, as PyTorch).
 * The momentum rises to β₁: μₜ = β₁ (1 − 0.96^(rise · t) / 2).
 */
export function scaleByNadam({ beta1, beta2, eps }: AdamNumbers, { rise }: { readonly rise: number }): Transform {
  const momentum = (t: number): number => beta1 * (1 - 0.5 * 0.96 ** (t * rise));
  const products = [1]; // μ₁ … μₜ at t
  const product = (t: number): number => {
    while (products.length <= t) products.push(products.at(-1)! * momentum(products.length));
    return products[t]!;
  };
  return perParameter(
    "nadam",
    ["m", "v"],
    (grad, { slot, keep, scalar }) => {
      const m = keep("m", runningMean(slot("m"), grad, beta1));
      const v = keep("v", runningMean(slot("v"), grad.square(), beta2));
      const ahead = grad.mul(scalar("fresh")).add(m.mul(scalar("ahead")));
      return ahead.div(v.mul(scalar("c2")).sqrt().add(eps));
    },
    (step) => {
      const t = step + 1;
      return {
        fresh: (1 - momentum(t)) / (1 - product(t)),
        ahead: momentum(t + 1) / (1 - product(t + 1)),
        c2: correction(beta2, step),
      };
    },
  );
}

/** Adam whose adaptive part is rectified, and left out while its variance is unbounded, ρₜ ≤ 5 (Liu et al. 2020, algorithm 2, as PyTorch). */
export function scaleByRadam({ beta1, beta2, eps }: AdamNumbers): Transform {
  const longest = 2 / (1 - beta2) - 1;
  const rectification = (t: number) => {
    const length = longest - (2 * t * beta2 ** t) / (1 - beta2 ** t);
    if (length <= 5) return 0;
    const top = (length - 4) * (length - 2) * longest;
    return Math.sqrt(top / ((longest - 4) * (longest - 2) * length)) * Math.sqrt(1 - beta2 ** t);
  };
  return perParameter(
    "radam",
    ["m", "v"],
    (grad, { slot, keep, scalar }) => {
      const m = keep("m", runningMean(slot("m"), grad, beta1)).mul(scalar("c1"));
      const v = keep("v", runningMean(slot("v"), grad.square(), beta2));
      return m.mul(scalar("rectified").div(v.sqrt().add(eps)).add(scalar("plain")));
    },
    (step) => {
      const rectified = rectification(step + 1);
      return { c1: correction(beta1, step), rectified, plain: rectified === 0 ? 1 : 0 };
    },
  );
}

export interface AdanNumbers {
  /** Decays of g, of the difference of gradients, of the squared sum of both: 1 − β of the paper. */
  readonly betas: readonly [number, number, number];
  readonly eps: number;
}

/** (m̂ + β₂ d̂) / (√n̂ + ε), d the running mean of gradient differences (Xie et al. 2022, with the bias corrections of its code). */
export function scaleByAdan({ betas: [beta1, beta2, beta3], eps }: AdanNumbers): Transform {
  return perParameter(
    "adan",
    ["m", "d", "n", "last"],
    (grad, { slot, keep, scalar }) => {
      const change = grad.sub(slot("last")).mul(scalar("hasLast"));
      keep("last", grad);
      const m = keep("m", runningMean(slot("m"), grad, beta1));
      const d = keep("d", runningMean(slot("d"), change, beta2));
      const n = keep("n", runningMean(slot("n"), grad.add(change.mul(1 - beta2)).square(), beta3));
      const ahead = m.mul(scalar("c1")).add(d.mul(scalar("c2")).mul(1 - beta2));
      return ahead.div(n.mul(scalar("c3")).sqrt().add(eps));
    },
    (step) => ({
      c1: correction(beta1, step),
      c2: correction(beta2, step),
      c3: correction(beta3, step),
      hasLast: step === 0 ? 0 : 1,
    }),
  );
}

export interface AdemamixNumbers {
  /** Decays of the fast mean, of g², of the slow mean. */
  readonly betas: readonly [number, number, number];
  readonly eps: number;
  /** Weight of the slow mean. */
  readonly alpha: number;
  /** Updates over which α and the slow decay grow to their values; 0 for at once. */
  readonly warmup: number;
}

/** (m̂₁ + α m₂) / (√v̂ + ε) with a second, slow mean of gradients (Pagliardini, Ablin & Grangier 2024, algorithm 1). */
export function scaleByAdemamix({ betas: [beta1, beta2, beta3], eps, alpha, warmup }: AdemamixNumbers): Transform {
  const slowDecay = (t: number): number => {
    if (t >= warmup) return beta3;
    const [fast, slow, share] = [Math.log(beta1), Math.log(beta3), t / warmup];
    return Math.min(beta3, Math.exp((fast * slow) / ((1 - share) * slow + share * fast)));
  };
  return perParameter(
    "ademamix",
    ["fast", "slow", "v"],
    (grad, { slot, keep, scalar }) => {
      const fast = keep("fast", runningMean(slot("fast"), grad, beta1));
      const slow = keep(
        "slow",
        slot("slow")
          .mul(scalar("decay"))
          .add(grad.mul(scalar("rest"))),
      );
      const v = keep("v", runningMean(slot("v"), grad.square(), beta2));
      const sum = fast.mul(scalar("c1")).add(slow.mul(scalar("alpha")));
      return sum.div(v.mul(scalar("c2")).sqrt().add(eps));
    },
    (step) => ({
      c1: correction(beta1, step),
      c2: correction(beta2, step),
      decay: slowDecay(step + 1),
      rest: 1 - slowDecay(step + 1),
      alpha: alpha * Math.min(1, warmup === 0 ? 1 : (step + 1) / warmup),
    }),
  );
}

/** Without a first moment, the preconditioner of schedule-free AdamW: g / (√v̂ + ε). */
export function scaleByMeanSquare({ beta2, eps }: Pick<AdamNumbers, "beta2" | "eps">): Transform {
  return perParameter(
    "meanSquare",
    ["v"],
    (grad, { slot, keep, scalar }) =>
      grad.div(
        keep("v", runningMean(slot("v"), grad.square(), beta2))
          .mul(scalar("c2"))
          .sqrt()
          .add(eps),
      ),
    (step) => ({ c2: correction(beta2, step) }),
  );
}
