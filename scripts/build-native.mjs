// Builds native/build/Release/athanor.node with node-gyp, offline, and only when a source changed.
//   node scripts/build-native.mjs [--sanitize address|thread] [--force] [--strict]
// A sanitized build goes to native/build/<kind>/ and does not touch the usual one. Without a compiler this says so and
// exits 0, for `prepare`: every command still runs on the reference engine. `--strict` exits 1 instead.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const native = join(root, "native");
const { values: options } = parseArgs({
  options: { sanitize: { type: "string" }, force: { type: "boolean" }, strict: { type: "boolean" } },
});
const sanitizers = ["address", "thread"];
if (options.sanitize !== undefined && !sanitizers.includes(options.sanitize)) {
  console.error(`--sanitize ${options.sanitize}: expected one of ${sanitizers.join(", ")}`);
  process.exit(2);
}

const require = createRequire(import.meta.url);
const nodeGyp = require.resolve("node-gyp/bin/node-gyp.js");
const buildDir = options.sanitize === undefined ? native : join(native, "build", options.sanitize, "native");
const addon = join(buildDir, "build", "Release", "athanor.node");
const stampFile = join(buildDir, "build", "sources.sha256");

const stamp = hashSources();
if (!options.force && existsSync(addon) && existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) {
  console.error("native engine: up to date");
  process.exit(0);
}

const missing = missingTool();
if (missing !== undefined) giveUp(`${missing}.`);

mkdirSync(join(buildDir, "build"), { recursive: true });
await takeLock(join(buildDir, "build", ".building"));
if (buildDir !== native) copySources();
console.error("native engine: compiling, about a minute");
const started = performance.now();
const gypArgs = ["-C", buildDir, "--jobs", String(availableParallelism()), ...nodeDirArgs()];
const env = { ...process.env, npm_config_loglevel: "error" };
if (options.sanitize !== undefined) {
  const flags = `-fsanitize=${options.sanitize} -g -fno-omit-frame-pointer`;
  env.CXXFLAGS = `${env.CXXFLAGS ?? ""} ${flags}`;
  env.LDFLAGS = `${env.LDFLAGS ?? ""} -fsanitize=${options.sanitize}`;
}
// configure rewrites the Makefile, make then compiles what is older than its sources
for (const command of ["configure", "build"]) {
  const result = spawnSync(process.execPath, [nodeGyp, command, ...gypArgs], { env, encoding: "utf8" });
  if (result.status !== 0) {
    process.stderr.write(tail(result.stdout) + tail(result.stderr));
    giveUp(`the compiler failed (node-gyp ${command}).`);
  }
  const warnings = result.stderr.split("\n").filter((line) => /warning:/.test(line));
  if (warnings.length > 0) console.error(warnings.join("\n"));
}
writeFileSync(stampFile, stamp);
console.error(`native engine: built ${addon} in ${((performance.now() - started) / 1000).toFixed(1)} s`);

/** One build of a folder at a time. The lock names its owner; a dead owner's lock is taken over. */
async function takeLock(file) {
  for (let waited = 0; waited < 600; waited++) {
    try {
      writeFileSync(file, String(process.pid), { flag: "wx" });
      process.on("exit", () => rmSync(file, { force: true }));
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (!isAlive(Number(readIfThere(file)))) rmSync(file, { force: true });
    else await new Promise((resume) => setTimeout(resume, 1000));
  }
  giveUp(`another build has held ${file} for ten minutes.`);
}

function readIfThere(file) {
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

function isAlive(pid) {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Everything that can change the binary: sources, this script, the build of Node it is for. */
function hashSources() {
  const hash = createHash("sha256").update(
    `${process.version} ${process.platform} ${process.arch} ${process.env.CXX ?? ""}`,
  );
  for (const file of sourceFiles()) hash.update(file).update(readFileSync(join(native, file)));
  return hash.update(readFileSync(fileURLToPath(import.meta.url))).digest("hex");
}

function sourceFiles() {
  const named = (folder) => readdirSync(join(native, folder)).filter((f) => /\.(cc|h|gyp)$/.test(f));
  return [...named("."), ...named("kernels").map((f) => join("kernels", f))].sort();
}

/** A sanitized build is a build of a copy, for node-gyp has one build folder per binding.gyp. */
function copySources() {
  rmSync(join(buildDir, "kernels"), { recursive: true, force: true });
  for (const file of sourceFiles()) {
    mkdirSync(dirname(join(buildDir, file)), { recursive: true });
    cpSync(join(native, file), join(buildDir, file), { preserveTimestamps: true });
  }
  const modules = join(buildDir, "node_modules");
  if (!existsSync(modules)) symlinkSync(join(root, "node_modules"), modules);
}

/** Node's headers where this Node or the system keeps them; without them node-gyp would go to the network. */
function nodeDirArgs() {
  if (process.platform === "win32") return [];
  const candidates = [process.env.npm_config_nodedir, resolve(process.execPath, "../.."), "/usr", "/usr/local"];
  const found = candidates.find((dir) => dir && existsSync(join(dir, "include/node/node_api.h")));
  if (found !== undefined) return [`--nodedir=${found}`];
  giveUp(`the headers of Node ${process.version} (include/node/node_api.h) were not found in ${candidates.filter(Boolean).join(", ")}.
    Set npm_config_nodedir to a folder that has them.`);
}

function missingTool() {
  if (process.platform === "win32") return undefined;
  const works = (command, args) => spawnSync(command, args, { stdio: "ignore" }).status === 0;
  const compiler = (process.env.CXX ?? "c++").split(" ")[0];
  if (!works(compiler, ["--version"])) return `no C++ compiler (${compiler})`;
  if (!works("make", ["--version"])) return "no make";
  if (!works("python3", ["--version"])) return "no python3, which node-gyp needs";
  return undefined;
}

function tail(text) {
  return `${text.split("\n").slice(-60).join("\n")}\n`;
}

function giveUp(reason) {
  console.error(`native engine: not built: ${reason}
  Everything runs, more slowly, on the reference engine. To build it: install g++ 12 or clang 15, make and python3, then
    npx athanor engine build`);
  process.exit(options.strict ? 1 : 0);
}
