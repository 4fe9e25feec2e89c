// Runs the saver under strace, which kills it at a chosen system call or gives it an error there.
// One libuv thread, so that the calls of a save are counted in one place; our writes are pwrite64 and fdatasync/fsync, which
// nothing else in Node uses.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Why strace cannot be used here; `undefined` when it can. */
export function whyNoStrace(): string | undefined {
  if (process.platform !== "linux") return "strace needs Linux";
  try {
    execFileSync("strace", ["-f", "-e", "trace=none", "true"], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `strace does not work here (apt-get install strace): ${error instanceof Error ? error.message.split("\n")[0] : error}`;
  }
}

/** Calls that a save makes, by what they do. */
export const changing = ["mkdir", "openat", "pwrite64", "fsync", "rename", "close", "unlink", "rmdir"] as const;
export const reading = ["pread64", "statx", "fstat", "newfstatat", "getdents64", "readlink", "access"] as const;

export interface Point {
  readonly call: string;
  /** Which call of that name on its thread, from 1. */
  readonly index: number;
}

export interface Told {
  readonly step: number;
  readonly saved: boolean;
  readonly code?: string;
  readonly got?: string;
  /** After a failure: the newest good checkpoint then. */
  readonly latest?: number;
  readonly deleted?: number;
  readonly problems?: readonly { readonly code: string }[];
}

export interface Outcome {
  readonly signal: string | null;
  readonly told: readonly Told[];
  /** The traced call that was changed, as strace prints it. */
  readonly injected: string | undefined;
  readonly stderr: string;
}

function trace(saver: string, args: readonly string[], calls: readonly string[], inject: readonly string[]) {
  const scratch = mkdtempSync(join(tmpdir(), "athanor-trace-"));
  const log = join(scratch, "log");
  const options = ["-f", "-y", "-s", "16", "-o", log, "-e", `trace=${calls.map((call) => `?${call}`).join(",")}`];
  const injections = inject.flatMap((text) => ["-e", `inject=${text}`]);
  const result = spawnSync("strace", [...options, ...injections, process.execPath, saver, ...args], {
    encoding: "utf8",
    env: { ...process.env, UV_THREADPOOL_SIZE: "1", NODE_OPTIONS: "" },
    timeout: 60_000,
  });
  const text = readFileSync(log, "utf8");
  rmSync(scratch, { recursive: true });
  return { result, text };
}

/**
 * Every call of the given names between the marks of one step, as points to break at. strace counts on each thread alone,
 * so a call that another thread reaches as often (while Node starts) cannot be meant and is left out.
 */
export function listPoints(saver: string, args: readonly string[], step: number, calls: readonly string[]): Point[] {
  const { text } = trace(saver, args, [...new Set([...calls, "access"])], []);
  const counts = new Map<string, number>();
  const points: (Point & { thread: string })[] = [];
  let inside = false;
  for (const line of text.split("\n")) {
    const match = /^(\d+) +(\w+)\(/.exec(line); // a resumed call was counted where it began
    if (match === null) continue;
    if (line.includes(`/mark/begin-${step}"`)) inside = true;
    if (line.includes(`/mark/end-${step}"`)) inside = false;
    const [, thread, call] = match;
    const index = (counts.get(`${thread} ${call}`) ?? 0) + 1;
    counts.set(`${thread} ${call}`, index);
    if (inside && calls.includes(call!) && /checkpoints|\.tmp-/.test(line))
      points.push({ thread: thread!, call: call!, index });
  }
  const elsewhere = (thread: string, call: string) =>
    Math.max(
      0,
      ...[...counts].filter(([key]) => key.endsWith(` ${call}`) && key !== `${thread} ${call}`).map(([, n]) => n),
    );
  return points
    .filter(({ thread, call, index }) => index > elsewhere(thread, call))
    .map(({ call, index }) => ({ call, index }));
}

/** The calls between the marks of one step in order, each with the paths that it names or that its descriptors stand for. */
export function listCalls(saver: string, args: readonly string[], step: number, calls: readonly string[]) {
  const { text } = trace(saver, args, [...new Set([...calls, "access"])], []);
  const lines = text.split("\n");
  const begin = lines.findIndex((line) => line.includes(`/mark/begin-${step}"`));
  const end = lines.findIndex((line) => line.includes(`/mark/end-${step}"`));
  return lines.slice(begin + 1, end).flatMap((line) => {
    const match = /^\d+ +(\w+)\((.*)/.exec(line);
    if (match === null || !calls.includes(match[1]!)) return [];
    return [
      { call: match[1]!, paths: [...match[2]!.matchAll(/<(\/[^>]*)>|"(\/[^"]*)"/g)].map((one) => one[1] ?? one[2]!) },
    ];
  });
}

/** Runs the saver with one change, such as `signal=KILL` or `error=ENOSPC`, at one point (`onward`: and at all that follow). */
export function runBroken(
  saver: string,
  args: readonly string[],
  point: Point,
  change: string,
  options: { onward?: boolean } = {},
): Outcome {
  const when = `when=${point.index}${options.onward === true ? "+" : ""}`;
  const { result, text } = trace(saver, args, [point.call], [`${point.call}:${change}:${when}`]);
  const killed = /\+\+\+ killed by (\w+)/.exec(text)?.[1] ?? null;
  const lines = text.split("\n");
  const injected = change.startsWith("signal")
    ? lines.filter((line) => line.includes(`${point.call}(`)).at(-1)
    : lines.find((line) => line.includes("(INJECTED)"));
  const told = result.stdout.split("\n").flatMap((line): Told[] => (line === "" ? [] : [JSON.parse(line)]));
  return { signal: killed, told, injected, stderr: result.stderr };
}

/** `count` of the points, evenly spread; all when there are no more. */
export function thin(points: readonly Point[], count: number): readonly Point[] {
  const step = Math.max(1, points.length / count);
  return Array.from({ length: Math.min(count, points.length) }, (_, i) => points[Math.floor(i * step)]!);
}
