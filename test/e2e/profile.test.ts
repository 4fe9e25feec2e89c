// `athanor inspect --profile` on a recipe: that its figures agree with each other, its timeline, and what it refuses. No figure is
// compared with a time.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

interface Timed {
  readonly name: string;
  readonly op: string;
  readonly layer: string;
  readonly program: string;
  readonly calls: number;
  readonly ms: number;
  readonly share: number;
  readonly flops: number;
  readonly bytes: number;
  readonly floorMs: number;
  readonly gflops: number;
}

interface Profile {
  readonly steps: number;
  readonly instructionMs: number;
  readonly ops: readonly Timed[];
  readonly layers: readonly Timed[];
  readonly instructions: readonly Timed[];
  readonly limits: { readonly flopsPerSecond: number; readonly bandwidths: readonly { bytesPerSecond: number }[] };
  readonly advice: { readonly overall: readonly string[]; readonly instructions: readonly { lostMs: number }[] };
}

interface Event {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur: number;
  readonly args: { readonly [name: string]: unknown };
}

const folder = scratchFolder();
afterAll(() => folder.remove());
const recipe = writeTinyRecipe(folder.path); // two lanes: accumulate, accumulate.1, update
const sum = (list: readonly Timed[], of: (one: Timed) => number): number => list.reduce((all, one) => all + of(one), 0);

describe("a profile", () => {
  let profile: Profile;
  let events: readonly Event[];
  beforeAll(async () => {
    const args = ["inspect", recipe, "--profile", "--steps", "3", "--trace", "trace.json", "--json"];
    const { code, stdout, stderr } = await runCli(args, folder.path);
    expect(stderr).toContain("trace.json");
    expect(code).toBe(0);
    profile = JSON.parse(stdout);
    events = JSON.parse(readFileSync(join(folder.path, "trace.json"), "utf8")).traceEvents;
  });

  test.each(["ops", "layers"] as const)("its %s are its instructions, and their shares sum to one", (by) => {
    const groups = profile[by];
    expect(sum(groups, ({ share }) => share)).toBeCloseTo(1, 9);
    for (const figure of ["ms", "calls", "flops", "bytes", "floorMs"] as const)
      expect(sum(groups, (one) => one[figure])).toBeCloseTo(
        sum(profile.instructions, (one) => one[figure]),
        6,
      );
    expect(sum(groups, ({ ms }) => ms)).toBeCloseTo(profile.instructionMs, 9);
    const [first] = groups;
    expect(first!.gflops).toBeCloseTo(first!.flops / first!.ms / 1e6, 9);
  });

  test("knows layers by their paths, and every program of the step", () => {
    expect(profile.steps).toBe(3);
    const layers = profile.layers.map(({ name }) => name);
    expect(layers).toEqual(expect.arrayContaining(["h.0.attn.c_attn", "h.1.mlp.c_fc", "ln_f", "(accumulate)"]));
    expect([...new Set(profile.instructions.map(({ program }) => program))]).toEqual([
      "accumulate",
      "accumulate.1",
      "update",
    ]);
    expect(profile.ops.map(({ name }) => name)).toContain("matmul");
    expect(profile.limits.flopsPerSecond).toBeGreaterThan(0);
    for (const { bytesPerSecond } of profile.limits.bandwidths) expect(bytesPerSecond).toBeGreaterThan(0);
    for (const { lostMs } of profile.advice.instructions) expect(lostMs).toBeGreaterThan(0);
  });

  test("its timeline is in the trace event format: a track per program, nothing at the same time as another", () => {
    const names = events.filter(({ ph }) => ph === "M");
    expect(names.map(({ name, args }) => [name, args.name])).toEqual([
      ["process_name", expect.stringContaining("athanor")],
      ["thread_name", "accumulate"],
      ["thread_name", "accumulate.1"],
      ["thread_name", "update"],
    ]);
    const tracks = new Set(names.map(({ tid }) => tid));
    const timed = events.filter(({ ph }) => ph === "X");
    expect(timed.length + names.length).toBe(events.length);
    const code = profile.instructions.length;
    expect(timed.length).toBeGreaterThan(0.9 * 3 * code); // the clock may not see the shortest
    expect(timed.length).toBeLessThanOrEqual(3 * code);
    let end = 0;
    for (const { name, pid, tid, ts, dur, args } of timed) {
      expect(pid).toBe(1);
      expect(tracks).toContain(tid);
      expect(dur).toBeGreaterThan(0);
      expect(ts).toBeGreaterThanOrEqual(end - 1); // microseconds
      end = ts + dur;
      expect(args.instruction).toContain(name);
      expect(args).toMatchObject({ layer: expect.any(String), bytes: expect.any(Number), gflops: expect.any(Number) });
    }
  });
});

test("a table for people, on the reference engine too", async () => {
  const small = ["--set", "engine.name=reference", "--set", "batch.size=2", "--profile", "--steps", "1"];
  const { code, stdout } = await runCli(["inspect", recipe, ...small], folder.path);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^op +calls +ms +share +GFLOPS +MB +GB\/s +× floor$/m);
  expect(stdout).toMatch(/^layer +calls/m);
  expect(stdout).toMatch(/^h\.0\.mlp\.c_fc +\d+ /m);
  expect(stdout.match(/^all .* 100\.0 % /gm)).toHaveLength(2);
  expect(stdout).toContain("npx athanor engine build");
});

test.each([
  [["--trace", "x.json"], "only a profile has a --trace"],
  [["--steps", "3"], "only a profile has a --steps"],
  [["--profile", "--plan"], "leave out --plan or --profile"],
  [["--profile", "--program", "update"], "leave out --program or --profile"],
  [["--profile", "--steps", "0"], "--steps is not a positive whole number"],
  [["--profile", "--trace", "no/such/folder/x.json"], "[path/trace] the file of --trace cannot be written"],
  [["--profile", "--trace", "."], "[path/trace] the file of --trace cannot be written"],
  [["--profile", "--trace", ""], "--trace is empty"],
])("%s is refused", async (args, message) => {
  const { code, stdout, stderr } = await runCli(["inspect", recipe, ...args], folder.path);
  expect(stderr).toContain(message);
  expect(stdout).toBe(""); // before any step
  expect(code).toBe(2);
});
