// Comparison of numbers with a tolerance, and a failure that says where and by how much. Not a test framework.
import { type HostArray, toNumbers } from "../../src/base/index.ts";

export interface Tolerance {
  /** Allowed difference in units of the value. */
  readonly absolute?: number;
  /** Allowed difference as a share of the expected value's magnitude. */
  readonly relative?: number;
  /** Allowed difference as a share of the largest expected magnitude: for sums whose terms cancel. */
  readonly scale?: number;
  /** What is compared, for the message. */
  readonly what?: string;
}

type Numbers = HostArray | ArrayLike<number>;

const numbersOf = (values: Numbers): ArrayLike<number> => ("dtype" in values ? toNumbers(values) : values);

/**
 * Throws unless every element is within `absolute + relative·|expected| + scale·max|expected|`. NaN equals NaN, an infinity
 * only itself. The message names the worst element, both values, the error and the tolerance.
 */
export function assertClose(actual: Numbers, expected: Numbers, tolerance: Tolerance = {}): void {
  const { absolute = 0, relative = 0, scale = 0, what = "values" } = tolerance;
  const [a, b] = [numbersOf(actual), numbersOf(expected)];
  if (a.length !== b.length) throw new Error(`${what}: ${a.length} elements against ${b.length} expected`);
  let largest = 0;
  for (let i = 0; i < b.length; i++) if (Number.isFinite(b[i]!)) largest = Math.max(largest, Math.abs(b[i]!));
  const base = absolute + scale * largest;
  let worst = -1;
  let worstExcess = 0;
  let numBad = 0;
  for (let i = 0; i < a.length; i++) {
    const excess = excessOf(a[i]!, b[i]!, base + relative * Math.abs(b[i]!));
    if (!(excess > 0)) continue;
    numBad++;
    if (excess > worstExcess || worst < 0) {
      worst = i;
      worstExcess = excess;
    }
  }
  if (worst < 0) return;
  const place = "dtype" in expected ? positionOf(worst, expected.shape) : `${worst}`;
  throw new Error(
    [
      `${what}: ${numBad} of ${a.length} elements differ; the worst is [${place}]`,
      `  actual    ${a[worst]}`,
      `  expected  ${b[worst]}`,
      `  error     ${Math.abs(a[worst]! - b[worst]!)}`,
      `  allowed   ${base + relative * Math.abs(b[worst]!)}`,
    ].join("\n"),
  );
}

/** How far a value is outside its tolerance; Infinity where no tolerance could help. */
function excessOf(actual: number, expected: number, allowed: number): number {
  if (Object.is(actual, expected) || actual === expected) return 0;
  if (!Number.isFinite(actual) || !Number.isFinite(expected)) {
    return Number.isNaN(actual) && Number.isNaN(expected) ? 0 : Number.POSITIVE_INFINITY;
  }
  const error = Math.abs(actual - expected);
  if (error <= allowed) return 0;
  return allowed > 0 ? error / allowed : Number.MAX_VALUE;
}

function positionOf(index: number, shape: readonly number[]): string {
  const position: number[] = [];
  let rest = index;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    position.unshift(rest % shape[axis]!);
    rest = Math.floor(rest / shape[axis]!);
  }
  return position.join(", ");
}
