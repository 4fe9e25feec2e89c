// Checked integers: every count that comes from a file passes here before it is added, multiplied or allocated.
// Not a bignum: what does not fit 2^53 exactly is refused, which is far above any file that exists.

/** Whether `value` is a non-negative integer that a double holds exactly. */
export function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0);
}

/** `a * b` of two counts, or `undefined` when it is not exact. */
export function checkedMultiply(a: number, b: number): number | undefined {
  const product = a * b;
  return Number.isSafeInteger(product) ? product : undefined;
}

/** `a + b` of two counts, or `undefined` when it is not exact. */
export function checkedAdd(a: number, b: number): number | undefined {
  const sum = a + b;
  return Number.isSafeInteger(sum) ? sum : undefined;
}

/** Elements of a shape times `elementBytes`; every partial product is checked, also before a zero. */
export function checkedBytes(shape: readonly number[], elementBytes: number): number | undefined {
  let product: number | undefined = 1;
  for (const dim of shape) {
    product = checkedMultiply(product, dim);
    if (product === undefined) return undefined;
  }
  return checkedMultiply(product, elementBytes);
}
