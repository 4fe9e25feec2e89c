// The frequencies of rotary positions as published models have them: plain, or changed so that a model reads further than it was
// trained to. Host arithmetic; the turning itself is an op of the language.
import { fail } from "../base/index.ts";

/** How frequencies are changed for a context `factor` times that of the first training. */
export type RotaryScaling =
  /** All of them divided (Chen et al. 2023, position interpolation). */
  | { readonly type: "linear"; readonly factor: number }
  /** Long wavelengths divided, short ones left, those between mixed (Grattafiori et al. 2024, as published with Llama 3.1). */
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFrequency: number;
      readonly highFrequency: number;
      readonly originalContext: number;
    }
  /** The same by the number of turns within the original context, and attention made sharper (Peng et al. 2023, YaRN). */
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly originalContext: number;
      /** Turns above which a frequency stays as it was; default 32. */
      readonly fast?: number;
      /** Turns below which it is divided whole; default 1. */
      readonly slow?: number;
      /** Factor of what is turned; default 0.1 · ln(factor) + 1. */
      readonly magnitude?: number;
    };

export interface RotaryConfig {
  /** Wavelengths grow from 2π up to 2π·base. */
  readonly base: number;
  readonly scaling?: RotaryScaling | undefined;
}

/**
 * The angle per position of each of `width` / 2 pairs of channels, and what is turned is multiplied by.
 * Errors with `nn/rotary` where a scaling is no lengthening.
 */
export function rotaryFrequencies(
  width: number,
  { base, scaling }: RotaryConfig,
): { readonly frequencies: readonly number[]; readonly magnitude: number } {
  const half = width / 2;
  const plain = Array.from({ length: half }, (_, i) => base ** (-i / half));
  if (scaling === undefined) return { frequencies: plain, magnitude: 1 };
  const { factor } = scaling;
  if (!(factor >= 1))
    fail("nn/rotary", "a scaling makes the context longer", {
      expected: "a factor of at least 1",
      got: String(factor),
      fix: "leave the scaling out, or give the longer context over the original one",
    });
  /** Between the divided and the plain frequency; `share` of the plain one. */
  const mix = (frequency: number, share: number) => (frequency / factor) * (1 - share) + frequency * share;
  if (scaling.type === "linear") return { frequencies: plain.map((one) => one / factor), magnitude: 1 };
  const { originalContext } = scaling;
  if (scaling.type === "llama3") {
    const { lowFrequency: low, highFrequency: high } = scaling;
    const share = (frequency: number) => ((originalContext * frequency) / (2 * Math.PI) - low) / (high - low);
    return { frequencies: plain.map((one) => mix(one, clamp(share(one)))), magnitude: 1 };
  }
  const { fast = 32, slow = 1, magnitude = 0.1 * Math.log(factor) + 1 } = scaling;
  /** The pair, not whole, that turns so often within the original context. */
  const pairOf = (turns: number) => (half * Math.log(originalContext / (turns * 2 * Math.PI))) / Math.log(base);
  const first = Math.max(Math.floor(pairOf(fast)), 0);
  const last = Math.min(Math.ceil(pairOf(slow)), width - 1);
  const divided = (pair: number) => clamp((pair - first) / (last === first ? 0.001 : last - first));
  return { frequencies: plain.map((one, pair) => mix(one, 1 - divided(pair))), magnitude };
}

const clamp = (share: number) => Math.min(1, Math.max(0, share));
