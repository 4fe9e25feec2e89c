// One SHA-256 for a whole state: what two runs must agree on to be called equal.
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { formatType } from "../base/index.ts";
import { bytesOf, sliceBytes } from "./disk.ts";
import type { TensorSource } from "./safetensors.ts";
import { compareNames } from "./safetensors-header.ts";

/**
 * SHA-256 over name, dtype, shape and bytes of tensors in name order; whatever order they come in. For each tensor the
 * text `"name" f32[2,3]` and a newline, then its little-endian bytes, whose number follows from the text.
 * The JavaScript thread is given back every MiB.
 */
export async function stateHash(tensors: Iterable<TensorSource>): Promise<string> {
  const sorted = [...tensors].sort((a, b) => compareNames(a.name, b.name));
  const hash = createHash("sha256");
  let sinceYield = 0;
  for (const { name, dtype, shape, data: source } of sorted) {
    hash.update(`${JSON.stringify(name)} ${formatType(dtype, shape)}\n`);
    const data = typeof source === "function" ? await source() : source;
    for (let at = 0; at < data.byteLength; at += sliceBytes) {
      const slice = bytesOf(data, at, Math.min(sliceBytes, data.byteLength - at));
      hash.update(slice);
      sinceYield += slice.length;
      if (sinceYield >= sliceBytes) {
        sinceYield = 0;
        await setImmediate();
      }
    }
  }
  return hash.digest("hex");
}
