// Builds what a source checkout needs: dist/ from src/, then the native engine. The addon is optional: without a
// compiler the build says so and every command still runs on the reference engine.
//   node scripts/build.mjs [--if-installed]
// `npx athanor` before `npm ci` links this folder and runs its `prepare`, whose words and failures npm keeps to itself: with
// --if-installed nothing is done without the dependencies, and the command itself says what is missing.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
if (!existsSync(`${root}/src`)) process.exit(0); // a published package carries dist/ already
if (process.argv.includes("--if-installed") && !existsSync(`${root}/node_modules/typescript`)) process.exit(0);
const run = (script, args = []) =>
  spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: "inherit" }).status ?? 1;
for (const [script, args] of [
  [`${root}/scripts/generate-lists.mjs`, []],
  [`${root}/node_modules/typescript/bin/tsc`, ["-b"]],
  [`${root}/scripts/bundle.mjs`, []],
]) {
  const status = run(script, args);
  if (status !== 0) process.exit(status);
}
if (existsSync(`${root}/native/binding.gyp`)) run(`${root}/scripts/build-native.mjs`);
