#!/usr/bin/env node
// The command `athanor`: starts dist/cli/main.js, or says what to run where that is not built yet. Nothing else happens here.
import { fileURLToPath } from "node:url";

await import("../dist/cli/main.js").catch((error) => {
  if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
  const code = "install/missing";
  const what = "Athanor is not installed here yet";
  const where = fileURLToPath(new URL("..", import.meta.url));
  const expected = "dist/, built from src/, and the dependencies in node_modules/";
  const [got] = error.message.split("\n");
  const fix = "npm ci";
  if (process.argv.includes("--json"))
    process.stdout.write(
      `${JSON.stringify({ event: "error", type: "error", code, what, where, expected, got, fix })}\n`,
    );
  process.stderr.write(
    `[${code}] ${what}\n  at        ${where}\n  expected  ${expected}\n  got       ${got}\n  fix       ${fix}\n`,
  );
  process.exitCode = 2;
});
