// A number in eight bits: 256 codes of a dynamic tree, dense near zero and spread over seven decades up to 1 (Dettmers et al. 2021,
// section 2). Knows no blocks and no scales.

/**
 * The sizes that codes stand for, rising from 0 to 1: per decade twice as many as in the one below, at the middles of equal parts of
 * it. A map of both signs has 127 sizes beside 0 and 1, and no −1; one of no sign 254.
 */
function codeSizes(signed: boolean): Float32Array {
  const sizes = [0];
  for (let decade = 0; decade < 7; decade++) {
    const parts = 2 ** decade * (signed ? 1 : 2);
    for (let part = 0; part < parts; part++)
      sizes.push((0.1 + (0.9 * (part + 0.5)) / parts) * Number(`1e${decade - 6}`));
  }
  return Float32Array.from([...sizes, 1]);
}

const codebook = (signed: boolean) => {
  const sizes = codeSizes(signed);
  /** Above the k-th lies size k + 1; on it, size k is taken. */
  const limits = Float32Array.from(sizes.subarray(1), (size, at) => (sizes[at]! + size) / 2);
  const nearest = (size: number): number => {
    let [low, high] = [0, limits.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (size > limits[middle]!) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  if (!signed)
    return {
      encode: (x: number) => (x > 0 ? Math.max(1, nearest(x)) : 0),
      decode: (code: number) => sizes[code]!,
    };
  return {
    encode: (x: number) => (x < 0 ? 127 - Math.min(127, nearest(-x)) : 127 + nearest(x)),
    decode: (code: number) => (code < 127 ? -sizes[127 - code]! : sizes[code - 127]!),
  };
};
/**
 * Codes of the number nearest to x, from −1 to 1 or from 0 to 1, and the numbers that codes stand for. Without a sign, what is above 0 is
 * never 0: steps are divided by its root (the zero-point problem; Li, Chen & Zhu 2023, section 4.1).
 */
export const codebooks = { signed: codebook(true), unsigned: codebook(false) };
