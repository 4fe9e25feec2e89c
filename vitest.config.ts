// Test tiers. `pure` needs no addon; `engine` needs the native addon; `e2e` starts the CLI; `slow` is by demand.
import { defineConfig } from "vitest/config";

const tier = (name: string, include: string[], timeoutMs: number) => ({
  test: {
    name,
    include,
    exclude: ["**/node_modules/**"],
    pool: "forks" as const,
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
  },
});

export default defineConfig({
  test: {
    projects: [
      tier("pure", ["src/**/*.test.ts", "test/pure/**/*.test.ts"], 60_000),
      tier("engine", ["test/engine/**/*.test.ts"], 120_000),
      tier("e2e", ["test/e2e/**/*.test.ts"], 300_000),
      tier("slow", ["test/slow/**/*.test.ts"], 3_600_000),
    ],
  },
});
