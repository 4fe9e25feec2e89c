// Losses of language models that learn from preferences and rewards, of log-probabilities of whole completions; policy against a
// reference where the method has one. Gradients flow to every input that is given: a reference comes as data.
import { minimum, type Tensor, where } from "../core/index.ts";
import { elementLoss, type LossOptions, requireSetting, softplus } from "./loss.ts";

/** −log σ(x). */
const surprise = (x: Tensor): Tensor => softplus(x.neg());

const above = (loss: string, settings: { readonly [name: string]: number }, least = 0): void => {
  for (const [name, value] of Object.entries(settings))
    requireSetting(loss, name, value, least < 0 ? value >= 0 : value > least, least < 0 ? "≥ 0" : `> ${least}`);
};

export interface DpoOptions extends LossOptions {
  /** How strongly the reference holds the policy; default 0.1. */
  readonly beta?: number;
  /** Share of the pairs whose order is taken to be wrong (conservative DPO, Mitchell 2023); default 0. */
  readonly labelSmoothing?: number;
}

/**
 * −log σ(β·h), h = (log π − log π_ref)(chosen) − (log π − log π_ref)(rejected): direct preference optimization (Rafailov et al. 2023,
 * equation 7). Sums of log-probabilities of completions, float (B) each.
 */
export function dpoLoss(
  chosen: Tensor,
  rejected: Tensor,
  referenceChosen: Tensor,
  referenceRejected: Tensor,
  options: DpoOptions = {},
): Tensor {
  const { beta = 0.1, labelSmoothing = 0 } = options;
  above("dpoLoss", { beta });
  requireSmoothing("dpoLoss", labelSmoothing);
  return elementLoss("dpoLoss", { chosen, rejected, referenceChosen, referenceRejected }, options, (c, r, cRef, rRef) =>
    smoothed(c.sub(cRef).sub(r.sub(rRef)).mul(beta), labelSmoothing),
  );
}

const smoothed = (x: Tensor, share: number): Tensor =>
  share === 0
    ? surprise(x)
    : surprise(x)
        .mul(1 - share)
        .add(surprise(x.neg()).mul(share));

const requireSmoothing = (loss: string, share: number): number =>
  requireSetting(loss, "labelSmoothing", share, share >= 0 && share < 0.5, "from 0 to below ½");

/**
 * (h − 1/(2β))², h as in DPO (Azar et al. 2024, equation 17, where β is τ). Of means over a completion's tokens, as its authors and
 * TRL take them: the square of a sum would grow with the length.
 */
export function ipoLoss(
  chosen: Tensor,
  rejected: Tensor,
  referenceChosen: Tensor,
  referenceRejected: Tensor,
  options: LossOptions & { readonly beta?: number } = {},
): Tensor {
  const { beta = 0.1 } = options;
  above("ipoLoss", { beta });
  return elementLoss("ipoLoss", { chosen, rejected, referenceChosen, referenceRejected }, options, (c, r, cRef, rRef) =>
    c
      .sub(cRef)
      .sub(r.sub(rRef))
      .sub(1 / (2 * beta))
      .square(),
  );
}

export interface KtoOptions extends LossOptions {
  /** How strongly the reference holds the policy; default 0.1. */
  readonly beta?: number;
  /** What a desirable completion counts; default 1. */
  readonly desirableWeight?: number;
  /** What an undesirable one counts; default 1. */
  readonly undesirableWeight?: number;
}

/**
 * λ·(1 − σ(±β·(log π − log π_ref − z))), + where a completion is desirable (1) and − where it is not (0): Ethayarajh et al. 2024,
 * section 4. z ≥ 0 is how far the policy has moved from the reference at all, a constant that no gradient should flow to. Each (B).
 */
export function ktoLoss(
  policy: Tensor,
  reference: Tensor,
  desirable: Tensor,
  baseline: Tensor,
  options: KtoOptions = {},
): Tensor {
  const { beta = 0.1, desirableWeight = 1, undesirableWeight = 1 } = options;
  above("ktoLoss", { beta, desirableWeight, undesirableWeight });
  return elementLoss("ktoLoss", { policy, reference, desirable, baseline }, options, (x, ref, good, z) => {
    const isGood = good.greater(0.5);
    const gain = x.sub(ref).sub(z).mul(beta);
    // 1 − σ(g) = e^−softplus(g)
    const loss = softplus(where(isGood, gain, gain.neg()))
      .neg()
      .exp();
    return where(isGood, loss.mul(desirableWeight), loss.mul(undesirableWeight));
  });
}

/**
 * −log π(chosen) − β·log σ(log odds(chosen) − log odds(rejected)), odds = p / (1 − p) of the mean log-probability of a token, float
 * (B): fine-tuning and preference in one, without a reference (Hong et al. 2024, equations 4 to 7; β is λ there).
 */
export function orpoLoss(
  chosen: Tensor,
  rejected: Tensor,
  options: LossOptions & { readonly beta?: number } = {},
): Tensor {
  const { beta = 0.1 } = options;
  above("orpoLoss", { beta });
  // a token that is certain in f32 has a probability of 1, and odds without end
  const logOdds = (x: Tensor) => {
    const p = minimum(x, -1e-6);
    return p.sub(p.expm1().neg().log());
  };
  return elementLoss("orpoLoss", { chosen, rejected }, options, (c, r) =>
    surprise(logOdds(c).sub(logOdds(r)))
      .mul(beta)
      .sub(c),
  );
}

/** −log σ(β·(chosen − rejected) − γ) of mean log-probabilities of a token, float (B), without a reference (Meng et al. 2024, equation 6). */
export function simpoLoss(
  chosen: Tensor,
  rejected: Tensor,
  options: LossOptions & { readonly beta?: number; readonly gamma?: number } = {},
): Tensor {
  const { beta = 2, gamma = 1 } = options;
  above("simpoLoss", { beta });
  above("simpoLoss", { gamma }, -1);
  return elementLoss("simpoLoss", { chosen, rejected }, options, (c, r) => surprise(c.sub(r).mul(beta).sub(gamma)));
}

export interface CpoOptions extends DpoOptions {
  /** What −log π(chosen) counts beside the preference; default 1. */
  readonly alpha?: number;
}

/** DPO as if the reference thought everything alike, and α·(−log π(chosen)) that keeps it from drifting (Xu et al. 2024, equation 5). Sums, float (B). */
export function cpoLoss(chosen: Tensor, rejected: Tensor, options: CpoOptions = {}): Tensor {
  const { beta = 0.1, labelSmoothing = 0, alpha = 1 } = options;
  above("cpoLoss", { beta });
  above("cpoLoss", { alpha }, -1);
  requireSmoothing("cpoLoss", labelSmoothing);
  return elementLoss("cpoLoss", { chosen, rejected }, options, (c, r) =>
    smoothed(c.sub(r).mul(beta), labelSmoothing).sub(c.mul(alpha)),
  );
}

/** −log σ(chosen − rejected) of two rewards, float (B): Bradley & Terry 1952, as reward models learn it (Ouyang et al. 2022, equation 1). */
export function bradleyTerryLoss(chosen: Tensor, rejected: Tensor, options: LossOptions = {}): Tensor {
  return elementLoss("bradleyTerryLoss", { chosen, rejected }, options, (c, r) => surprise(c.sub(r)));
}

export interface GrpoOptions extends LossOptions {
  /** By how much the ratio of new and old probability may differ from 1 and still be rewarded for it; default 0.2. */
  readonly clip?: number;
  /** What the divergence from the reference counts; default 0.04. */
  readonly beta?: number;
}

/**
 * −min(ρ·A, clip(ρ, 1 ± ε)·A) + β·(e^d − d − 1), per token: ρ = π / π_old, A its advantage, d = log π_ref − log π, whose term estimates
 * KL(π ‖ π_ref) without bias and is never negative (Shao et al. 2024, equations 3 and 4; Schulman's k3). All of one shape.
 */
export function grpoLoss(
  policy: Tensor,
  old: Tensor,
  reference: Tensor,
  advantage: Tensor,
  options: GrpoOptions = {},
): Tensor {
  const { clip = 0.2, beta = 0.04 } = options;
  requireSetting("grpoLoss", "clip", clip, clip > 0 && clip < 1, "between 0 and 1");
  above("grpoLoss", { beta }, -1);
  return elementLoss("grpoLoss", { policy, old, reference, advantage }, options, (x, before, ref, a) => {
    const ratio = x.sub(before).exp();
    const gain = minimum(
      ratio.mul(a),
      ratio
        .maximum(1 - clip)
        .minimum(1 + clip)
        .mul(a),
    );
    const gap = ref.sub(x);
    return gap.expm1().sub(gap).mul(beta).sub(gain);
  });
}
