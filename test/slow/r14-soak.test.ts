// R14: tens of thousands of small steps with evaluations, saves, samples and the log. Nothing piles up, and what comes out is right: the
// bytes of a run that only trains, and a loss that is the entropy of the chain that wrote the text.

import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RandomStream } from "../../src/base/index.ts";
import { amount } from "../amount.ts";
import { scratchFolder } from "../support/cli.ts";

interface Soak {
  /** Twenty of them, evenly spaced. */
  readonly marks: readonly {
    readonly step: number;
    readonly residentBytes: number;
    readonly heapBytes: number;
    readonly files: number;
    readonly threads: number;
  }[];
  readonly hash: string;
  readonly loss: number;
  readonly evalLoss?: number;
  readonly milliseconds: { readonly p50: number; readonly p99: number; readonly most: number };
}

const MiB = 2 ** 20;
const letters = 5;
const stay = 0.7;
/** Nats per letter of a chain that goes to the next letter with probability `stay`, else to any other of the four. */
const entropy = -(stay * Math.log(stay) + (1 - stay) * Math.log((1 - stay) / (letters - 1)));

let folder: ReturnType<typeof scratchFolder>;
beforeAll(() => {
  folder = scratchFolder();
  const random = new RandomStream(14, "chain");
  let state = 0;
  let text = "";
  for (let i = 0; i < 200_000; i++) {
    state = (state + (random.uniform(i) < stay ? 1 : 2 + random.below(letters - 1, i, 1))) % letters;
    text += "abcde"[state];
  }
  writeFileSync(join(folder.path, "corpus.txt"), text);
});
afterAll(() => folder.remove());

async function soak(name: string, rest: object): Promise<Soak> {
  const recipe = {
    data: { path: join(folder.path, "corpus.txt"), heldOut: 0.1 },
    tokenizer: "char",
    model: { gpt: { layers: 1, heads: 2, width: 32, context: 16, dropout: 0.1 } },
    optimizer: { adamw: { lr: 1e-3, clip: 1 } },
    batch: { size: 16 },
    ...rest,
  };
  const script = fileURLToPath(new URL("../support/soak-run.mjs", import.meta.url));
  const args = ["--expose-gc", script, JSON.stringify(recipe), join(folder.path, name)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 26 });
  return JSON.parse(stdout) as Soak;
}

/** Of a straight line through the points, by least squares. */
function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (at: 0 | 1) => points.reduce((sum, point) => sum + point[at], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const over = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0);
  return over / points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0);
}

test("60,000 steps with evaluations, saves and samples", async () => {
  const steps = amount(60_000, 1000);
  const busy = await soak("busy", {
    steps,
    eval: { every: steps / 20 },
    checkpoint: { every: steps / 20 },
    samples: { every: steps / 10, prompt: "a", tokens: 20 },
  });
  const { p50, p99, most } = busy.milliseconds;
  console.info(`a step: median ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, at most ${most.toFixed(1)} ms`);
  console.info(
    busy.marks
      .map(
        (m) =>
          `${m.step}: ${(m.residentBytes / MiB).toFixed(2)} MiB, heap ${(m.heapBytes / MiB).toFixed(2)}, ${m.files} files, ${m.threads} threads`,
      )
      .join("\n"),
  );

  const settled = busy.marks.slice(busy.marks.length / 2);
  for (const of of ["files", "threads"] as const)
    expect(new Set(settled.map((mark) => mark[of])).size, `${of} come and go`).toBe(1);
  // Over each window of a third of the run. V8 compiles and settles for more than 10,000 steps, in which resident memory rises by
  // a few MiB, here and there; what leaks grows in every window.
  const third = Math.floor(busy.marks.length / 3);
  const growth = (of: "residentBytes" | "heapBytes") =>
    busy.marks
      .slice(third)
      .map((_, from) => busy.marks.slice(from, from + third + 1))
      .map((window) => 10_000 * slope(window.map((mark) => [mark.step, mark[of]])));
  const [resident, heap] = [growth("residentBytes"), growth("heapBytes")];
  for (const [name, windows] of Object.entries({ resident, heap }))
    console.info(`${name} MiB per 10,000 steps: ${windows.map((bytes) => (bytes / MiB).toFixed(2)).join(" ")}`);
  expect(Math.min(...heap)).toBeLessThan(1e6);
  if (steps >= 60_000) expect(Math.min(...resident)).toBeLessThan(1e6);

  expect(Math.abs(busy.evalLoss! - entropy)).toBeLessThan(0.03); // 18,000 letters of deviation 0.9 each
  const plain = await soak("plain", { steps, eval: { every: 0 }, checkpoint: { every: 0 } });
  expect(busy.hash).toBe(plain.hash);
});
