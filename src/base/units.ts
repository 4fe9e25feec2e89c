// Numbers for people: bytes, counts, durations. And the reverse for options such as "4GiB".
import { fail } from "./error.ts";

const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** `1536` → `1.50 KiB`. */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  // 1023.95 would be printed as 1024.0: it belongs to the next unit
  while (Math.abs(value) >= (unit === 0 ? 1024 : 1023.95) && unit < byteUnits.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(Math.abs(value) < 9.995 ? 2 : 1)} ${byteUnits[unit]}`;
}

/** `"4GiB"`, `"512 MiB"` or a plain number of bytes. Errors with `config/bytes`. */
export function parseBytes(text: string | number): number {
  if (typeof text === "number" && Number.isSafeInteger(text) && text >= 0) return text;
  const match = typeof text === "string" && /^\s*(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)?\s*$/.exec(text);
  if (!match)
    fail("config/bytes", "not an amount of memory", {
      expected: 'a number with B, KiB, MiB, GiB or TiB, such as "4GiB"',
      got: typeof text === "string" ? JSON.stringify(text) : String(text),
      fix: "write a whole number of bytes, or a number with one of these units",
    });
  return Math.round(Number(match[1]) * 1024 ** byteUnits.indexOf((match[2] ?? "B") as (typeof byteUnits)[number]));
}

/** `124439808` → `124.4 M`. */
export function formatCount(count: number): string {
  for (const [factor, suffix] of [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    // 999.95 k would be printed as 1000.0 k: it belongs to the next unit
    if (Math.abs(count) >= (factor === 1e3 ? factor : factor * 0.99995))
      return `${(count / factor).toFixed(1)} ${suffix}`;
  }
  return String(count);
}

/** `3725` seconds → `1h 02m`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  // what would round up to 1000ms or 60.0s belongs to the next unit
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)}ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}h ${two(m)}m` : `${m}m ${two(s)}s`;
}
