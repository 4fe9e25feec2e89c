// The methods that learn from pairs, as a recipe names them: their settings, what they take of a model, and their loss (formulas in nn).
import { z } from "zod";
import { ones, stopGradient, type Tensor, zeros } from "../core/index.ts";
import * as nn from "../nn/index.ts";

const beta = (meaning: string, standard: number) => z.number().positive().default(standard).describe(meaning);
const held = "how strongly the reference holds the model";
const smoothing = z.number().min(0).lt(0.5).default(0).describe("share of the pairs whose order is taken to be wrong");

export const preferenceSchemas = {
  dpo: z.strictObject({ beta: beta(held, 0.1), labelSmoothing: smoothing }),
  ipo: z.strictObject({ beta: beta(held, 0.1) }),
  kto: z.strictObject({
    beta: beta(held, 0.1),
    desirableWeight: beta("what a chosen completion counts", 1),
    undesirableWeight: beta("what a rejected one counts", 1),
  }),
  orpo: z.strictObject({ beta: beta("what the preference counts beside the chosen text's own loss", 0.1) }),
  simpo: z.strictObject({
    beta: beta("scale of a token's mean log-probability", 2),
    gamma: z.number().min(0).default(1).describe("by how much the chosen one must lead"),
  }),
  cpo: z.strictObject({
    beta: beta("scale of log-probabilities", 0.1),
    labelSmoothing: smoothing,
    alpha: z.number().min(0).default(1).describe("what the chosen text's own loss counts"),
  }),
};

export type PreferenceName = keyof typeof preferenceSchemas;
type Settings = { readonly [K in PreferenceName]: z.output<(typeof preferenceSchemas)[K]> };
export type PreferenceChoice = { readonly [K in PreferenceName]?: Settings[K] | undefined };

/** Log-probabilities (B) of completions, by the policy and, where the method has one, by the reference. */
export interface PairScores {
  readonly chosen: Tensor;
  readonly rejected: Tensor;
  readonly referenceChosen: Tensor;
  readonly referenceRejected: Tensor;
  /** KTO: log π − log π_ref of completions that belong to other prompts. */
  readonly mismatched?: Tensor;
}

export interface PreferenceMethod {
  readonly name: PreferenceName;
  readonly beta: number;
  /** Compares with a reference. */
  readonly hasReference: boolean;
  /** Takes means over a completion's tokens, not sums. */
  readonly perToken: boolean;
  /** Also looks at completions that belong to other prompts. */
  readonly hasMismatched: boolean;
  /** Losses (B). */
  loss(scores: PairScores): Tensor;
  /** Mean loss of a model that is its reference, or has no preference; undefined where it depends on the model. */
  readonly lossAtFirst: number | undefined;
}

const each = { reduction: "none" } as const;

/** The method that was chosen, `undefined` where none was. */
export function preferenceMethod(choice: PreferenceChoice): PreferenceMethod | undefined {
  const name = Object.keys(preferenceSchemas).find((one) => choice[one as PreferenceName] !== undefined);
  if (name === undefined) return undefined;
  const settings = choice[name as PreferenceName]!;
  const plain = { hasReference: false, perToken: false, hasMismatched: false, lossAtFirst: undefined };
  const compared = { ...plain, hasReference: true };
  const methods: { readonly [K in PreferenceName]: (own: Settings[K]) => Omit<PreferenceMethod, "name" | "beta"> } = {
    dpo: (own) => ({
      ...compared,
      lossAtFirst: Math.LN2,
      loss: (s) => nn.dpoLoss(s.chosen, s.rejected, s.referenceChosen, s.referenceRejected, { ...own, ...each }),
    }),
    ipo: (own) => ({
      ...compared,
      perToken: true,
      lossAtFirst: 1 / (2 * own.beta) ** 2,
      loss: (s) => nn.ipoLoss(s.chosen, s.rejected, s.referenceChosen, s.referenceRejected, { ...own, ...each }),
    }),
    kto: (own) => ({
      ...compared,
      hasMismatched: true,
      lossAtFirst: (own.desirableWeight + own.undesirableWeight) / 4,
      loss: (s) => ktoOfPairs(s, own),
    }),
    orpo: (own) => ({ ...plain, perToken: true, loss: (s) => nn.orpoLoss(s.chosen, s.rejected, { ...own, ...each }) }),
    simpo: (own) => ({
      ...plain,
      perToken: true,
      loss: (s) => nn.simpoLoss(s.chosen, s.rejected, { ...own, ...each }),
    }),
    cpo: (own) => ({ ...plain, loss: (s) => nn.cpoLoss(s.chosen, s.rejected, { ...own, ...each }) }),
  };
  const make = methods[name as PreferenceName] as (own: typeof settings) => Omit<PreferenceMethod, "name" | "beta">;
  return { name: name as PreferenceName, beta: settings.beta, ...make(settings) };
}

/** Each completion of a pair judged by itself, and the mean of both; how far the policy has moved is told by those of other prompts. */
function ktoOfPairs(scores: PairScores, settings: Settings["kto"]): Tensor {
  const { chosen, rejected, referenceChosen, referenceRejected, mismatched } = scores;
  const moved = stopGradient(mismatched!.mean().maximum(0));
  const { shape, dtype } = chosen;
  const baseline = zeros(shape, dtype).add(moved);
  const options = { ...settings, ...each };
  const good = nn.ktoLoss(chosen, referenceChosen, ones(shape, dtype), baseline, options);
  const bad = nn.ktoLoss(rejected, referenceRejected, zeros(shape, dtype), baseline, options);
  return good.add(bad).mul(0.5);
}
