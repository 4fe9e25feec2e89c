// Test tiers. `pure` needs no addon; `engine` needs the native addon; `e2e` starts the CLI; `slow` is by demand.
//
// TEST_REPORT=FILE also writes a JSON report. TEST_SHARE scales the slow tier's repetitions (see test/amount.ts).
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { tellingForks } from "./test/support/telling-forks.ts";

const addonBuilt = existsSync("native/build/Release/athanor.node");
const report = process.env.TEST_REPORT;

// Node 24 sometimes dies when a worker thread makes faster code for calls out of WebAssembly (V8: TierUpWasmToJSWrapper frees what it has already freed);
// Seen in a core dump; without such code made, it cannot happen. Node 20 has no such flag.
const execArgv = Number.parseInt(process.versions.node, 10) >= 24 ? ["--wasm-wrapper-tiering-budget=2147483647"] : [];

interface TierOptions {
  readonly order: number;
  readonly timeoutMs: number;
  readonly maxWorkers?: number;
  readonly isolate?: boolean;
}

/** Tiers run one after the other: the later ones have threads of their own and would disturb each other's timings. */
const tier = (name: string, include: string[], { order, timeoutMs, maxWorkers = 2, isolate = true }: TierOptions) => ({
  resolve: { alias: { athanor: fileURLToPath(new URL("src/index.ts", import.meta.url)) } },
  test: {
    name,
    include,
    exclude: ["**/node_modules/**"],
    pool: tellingForks,
    execArgv,
    env: { NO_COLOR: "1" }, // what commands print must not depend on where the tests run (CI counts as a terminal)
    maxWorkers,
    isolate,
    sequence: { groupOrder: order },
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
  },
});

if (!addonBuilt) {
  console.warn(
    "The engine tier is skipped: there is no native/build/Release/athanor.node. `npm run build:native` builds it.",
  );
}

export default defineConfig({
  test: {
    allowOnly: false, // here and not in the linter, which takes our fit() for another library's focused test
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
    projects: [
      // One process serves many files: pure tests share no state, and starting a process costs more than most of them.
      tier("pure", ["src/**/*.test.ts", "test/pure/**/*.test.ts"], { order: 0, timeoutMs: 60_000, isolate: false }),
      tier("engine", [addonBuilt ? "test/engine/**/*.test.ts" : "test/engine/presence.test.ts"], {
        order: 1,
        timeoutMs: 120_000,
      }),
      tier("e2e", ["test/e2e/**/*.test.ts"], { order: 2, timeoutMs: 300_000 }),
      tier("slow", ["test/slow/**/*.test.ts"], { order: 3, timeoutMs: 3_600_000, maxWorkers: 1 }),
    ],
  },
});
