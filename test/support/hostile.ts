// Files as somebody malicious or a bad disk would leave them: bytes changed, cut, doubled, moved; numbers and words of JSON replaced by
// what no program expects. The same seed gives the same file.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AthanorError, RandomStream } from "../../src/base/index.ts";

const nasty = [
  ...'-1 0 1e999 -1e308 9007199254740993 18446744073709551615 4294967296 2147483647 0.5 null true [] {} ""'.split(" "),
  ...[
    '"__proto__"',
    '"../../etc/passwd"',
    '"\\ud800"',
    "[[[[[[[[[[]]]]]]]]]]",
    `"${"a".repeat(5000)}"`,
    "NaN",
    '"F32"',
    '"BF16"',
  ],
];

/** A changed copy of `bytes`, which may be JSON, or a table of JSON behind eight bytes of length, as safetensors have. */
export function mutate(bytes: Buffer, seed: number): Buffer {
  const stream = new RandomStream(seed, "hostile");
  const times = 1 + stream.below(3, 0);
  let out: Buffer = Buffer.from(bytes);
  for (let i = 1; i <= times; i++) out = mutateOnce(out, (bound, what) => stream.below(Math.max(1, bound), i, what));
  return out;
}

function mutateOnce(bytes: Buffer, pick: (bound: number, what: number) => number): Buffer {
  const at = pick(bytes.length, 0);
  const end = Math.min(bytes.length, at + 1 + pick(32, 1));
  const replace = (from: number, to: number, by: Buffer) =>
    Buffer.concat([bytes.subarray(0, from), by, bytes.subarray(to)]);
  switch (pick(8, 2)) {
    case 0: {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ (1 << pick(8, 3));
      return copy;
    }
    case 1:
      return replace(at, end, Buffer.alloc(0));
    case 2:
      return bytes.subarray(0, at);
    case 3:
      return replace(at, at, bytes.subarray(at, end));
    case 4:
      return replace(0, Math.min(8, bytes.length), Buffer.from(Array.from({ length: 8 }, (_, i) => pick(256, 10 + i))));
    default: {
      // a value of JSON; the rest of the file still fits together
      const text = bytes.toString("latin1");
      const values = [...text.slice(0, 20_000).matchAll(/(?<=[:,[]\s*)(-?[\d.]+|"[^"\\]{0,40}"|true|false|null)/g)];
      const value = values[pick(values.length, 4)];
      if (value === undefined) return bytes.subarray(0, at);
      return replace(value.index, value.index + value[0].length, Buffer.from(nasty[pick(nasty.length, 5)]!));
    }
  }
}

export interface HostileResult {
  readonly read: number;
  readonly refused: number;
  /** Whatever was thrown that is no error of ours, with the seed. */
  readonly crashes: readonly string[];
  readonly slowestMs: number;
  readonly codes: ReadonlySet<string>;
}

/** Reads `count` folders with one file mutated each; nothing but an error that says what is wrong may come of it. */
export async function readHostile(options: {
  readonly folder: string;
  readonly files: { readonly [name: string]: Buffer };
  readonly mutated: string;
  readonly count: number;
  readonly read: (folder: string) => Promise<unknown>;
}): Promise<HostileResult> {
  const { folder, files, mutated, count, read } = options;
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  const crashes: string[] = [];
  const codes = new Set<string>();
  let [ok, refused, slowestMs] = [0, 0, 0];
  for (let seed = 0; seed < count; seed++) {
    writeFileSync(join(folder, mutated), mutate(files[mutated]!, seed));
    const start = process.cpuUsage();
    try {
      await read(folder);
      ok++;
    } catch (error) {
      if (error instanceof AthanorError && !error.code.startsWith("internal/")) {
        refused++;
        codes.add(error.code);
      } else crashes.push(`seed ${seed}: ${String(error)}`);
    }
    slowestMs = Math.max(slowestMs, process.cpuUsage(start).user / 1000);
  }
  return { read: ok, refused, crashes, slowestMs, codes };
}
