// R13: memory that is not there. A run that cannot fit is refused before its first step with a table of its bytes; an allocation
// that the system refuses inside the engine ends the call in an exception with a code; the process is never killed, and trains on.
import { execFile, execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { amount } from "../amount.ts";
import { makeText, scratchFolder } from "../support/cli.ts";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const works = (command: string, ...args: string[]): boolean => {
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};
const noLinux = process.platform === "linux" ? undefined : "limits and preloaded libraries are Linux's";
const noCompiler = noLinux ?? (works("g++", "--version") ? undefined : "there is no g++");
const noLimits = noLinux ?? (works("prlimit", "--version") ? undefined : "there is no prlimit");

let folder: ReturnType<typeof scratchFolder>;
beforeAll(() => {
  folder = scratchFolder();
  writeFileSync(join(folder.path, "corpus.txt"), makeText(20_000));
});
afterAll(() => folder.remove());

interface Held {
  readonly threads: number;
  readonly kilobytes: number;
  readonly engineBytes: number;
}

interface Sweep {
  readonly name: string;
  /** Allocations of the addon in one go. */
  readonly total: number;
  readonly refused: number;
  /** Of these, how many ended the call with `engine/out-of-memory`, and how many it did without. */
  readonly told: number;
  readonly endured: number;
  readonly wrong: readonly string[];
  readonly start: Held;
  readonly half: Held;
  readonly end: Held;
}

test("every allocation of the addon refused once: an error with a code, nothing kept, training goes on", async ({
  skip,
}) => {
  if (noCompiler !== undefined) skip(noCompiler);
  const [library, control] = [join(folder.path, "refuse-memory.so"), join(folder.path, "control")];
  const source = path("../fault/refuse-memory.cc");
  execFileSync("g++", ["-shared", "-fPIC", "-O1", "-std=c++20", "-o", library, source, "-ldl"]);
  writeFileSync(control, Buffer.alloc(16));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--expose-gc", path("../support/refused-run.mjs"), control, String(amount(1000, 40))],
    { env: { ...process.env, LD_PRELOAD: library, REFUSE_MEMORY: control }, maxBuffer: 2 ** 26 },
  );
  for (const { name, total, refused, told, endured, wrong, start, half, end } of JSON.parse(stdout) as Sweep[]) {
    console.info(`${name}: ${total} allocations, ${refused} refused one by one, ${told} told, ${endured} done without`);
    expect(wrong).toEqual([]);
    expect(total).toBeGreaterThan(50);
    expect(told + endured).toBe(refused);
    expect(refused).toBeGreaterThanOrEqual(Math.min(total, amount(1000, 40)) - 1);
    expect(end.threads).toBeLessThanOrEqual(start.threads); // an engine that was not let go has two
    expect(end.engineBytes).toBe(start.engineBytes);
    expect(end.kilobytes - half.kilobytes).toBeLessThan(64 * 1024); // one run's engine has 13 MiB
  }
});

// Parameters, gradients and slots of a layer take 113 MiB; Node has about a GiB of addresses before it begins.
const configs = [6, 5, 4, 7, 8, 3, 9, 2, 12, 1].flatMap((layers) =>
  [1.75, 2, 2.25].map((gib) => [gib, layers] as const),
);

test("30 runs under a limit on addresses: trained, or refused with a table", async ({ skip }) => {
  if (noLimits !== undefined) skip(noLimits);
  const count = { trained: 0, refused: 0 };
  for (const [gib, layers] of configs.slice(0, amount(configs.length, 4))) {
    const name = `${gib}-${layers}`;
    const recipe = join(folder.path, `${name}.json`);
    writeFileSync(
      recipe,
      JSON.stringify({
        data: { path: join(folder.path, "corpus.txt") },
        tokenizer: "char",
        model: { gpt: { layers, heads: 4, width: 768, context: 32, dropout: 0 } },
        optimizer: { adamw: {} },
        batch: { size: 2 },
        steps: 1,
        eval: { every: 0 },
        checkpoint: { every: 0 },
      }),
    );
    const command = [path("../../bin/athanor.mjs"), "train", recipe, "--run-dir", join(folder.path, name), "--json"];
    const run = await promisify(execFile)("prlimit", [`--as=${gib * 2 ** 30}`, process.execPath, ...command], {
      env: { ...process.env, NO_COLOR: "1" },
    }).then(
      () => ({ code: 0, stderr: "" }),
      ({ code, signal, stderr }) => ({ code: code ?? signal, stderr }),
    );
    if (run.code === 0) {
      count.trained++;
      continue;
    }
    count.refused++;
    expect(run, name).toEqual({
      code: 2,
      stderr: expect.stringMatching(/\[plan\/memory\][\s\S]*ulimit -v[\s\S]*parameters +\d[\s\S]*slots[\s\S]*fix/),
    });
  }
  console.info(`${count.trained} trained, ${count.refused} refused before the first step`);
  expect(Math.min(count.trained, count.refused)).toBeGreaterThan(0);
});
