// JSON that comes back as it went in. Not a serializer for objects: `JSON.stringify` turns NaN into null and drops
// functions without a word, and a run that goes on from such a state goes on wrong.
import { fail } from "../base/index.ts";

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** Text of a plain JSON value. Members that are `undefined` are left out. Errors with `checkpoint/state`, naming the place. */
export function encodeState(value: unknown): string {
  check(value, "state");
  return `${JSON.stringify(value, null, 1)}\n`;
}

function check(value: unknown, where: string): void {
  if (value === null || typeof value === "boolean" || typeof value === "string") return;
  if (typeof value === "number" && Number.isFinite(value)) return;
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) check(item, `${where}[${i}]`);
    return;
  }
  if (isPlainObject(value)) {
    for (const [key, item] of Object.entries(value)) if (item !== undefined) check(item, `${where}.${key}`);
    return;
  }
  fail("checkpoint/state", "the state holds a value that JSON cannot give back", {
    where,
    expected: "null, booleans, finite numbers, text, arrays and plain objects",
    got: typeof value === "object" ? value.constructor.name : String(value),
    fix: "save it as a tensor, or as text",
  });
}

function isPlainObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
