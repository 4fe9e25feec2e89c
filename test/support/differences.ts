// Derivatives by differences: the independent answer that gradient rules are held to.
import type { HostArray } from "../../src/base/index.ts";

type Arrays = { readonly [name: string]: HostArray };

/** Elements of an array that are checked: all of a small one, evenly spread ones of a large one. */
export function checkedElements(length: number, most: number): number[] {
  const step = Math.max(1, Math.ceil(length / most));
  return Array.from({ length: Math.ceil(length / step) }, (_, i) => i * step);
}

/**
 * d value / d feeds[name][element] by central differences of fourth order (Abramowitz & Stegun 25.3.6): with h = 2^-12 the
 * error of the formula is near 1e-16 of the fifth derivative, that of f64 rounding near 1e-12 of the value.
 */
export function derivative(
  value: (feeds: Arrays) => number,
  feeds: Arrays,
  name: string,
  element: number,
  h = 2 ** -12,
): number {
  const array = feeds[name]!;
  const data = (array.data as Float64Array).slice();
  const moved = { ...feeds, [name]: { ...array, data } };
  const at = (steps: number) => {
    data[element] = Number(array.data[element]) + steps * h;
    return value(moved);
  };
  return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h);
}
