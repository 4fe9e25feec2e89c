// Positions as waves: what is added to embeddings so that a token knows where it stands. Turned queries and keys are in rotary.ts.
import { constant, type Tensor } from "../core/index.ts";

/**
 * Sines in even channels and cosines in odd ones, of wavelengths from 2π to 10,000 · 2π (Vaswani et al. 2017, section 3.5):
 * positions i32 (…) → (…, width), in the trace's float dtype unless given.
 */
export function sinusoid(positions: Tensor, width: number, dtype: Tensor["dtype"]): Tensor {
  const perChannel = (of: (channel: number) => number) =>
    constant(
      Array.from({ length: width }, (_, c) => of(c)),
      dtype,
    );
  const frequencies = perChannel((c) => 10_000 ** (-(c - (c % 2)) / width));
  const angles = positions
    .cast(dtype)
    .reshape(...positions.shape, 1)
    .mul(frequencies);
  return angles
    .sin()
    .mul(perChannel((c) => 1 - (c % 2)))
    .add(angles.cos().mul(perChannel((c) => c % 2)));
}
