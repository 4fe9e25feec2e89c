// Builds and runs native/bench/kernels_bench.cc over the addon's own kernel objects. Not `athanor bench`, which times steps.
//
//   node scripts/build-native.mjs && node scripts/bench-native.mjs [threads] [avx512|avx2|portable] [name part] [cpu]
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { listFiles } from "./source-files.mjs";

const native = join(dirname(dirname(fileURLToPath(import.meta.url))), "native");
const built = join(native, "build", "Release", "obj.target");
if (!existsSync(built)) {
  console.error("bench-native: no objects of the engine; run node scripts/build-native.mjs first");
  process.exit(1);
}
const kernels = listFiles(built, [".o"]).filter((file) => /kernels_\w+\/kernels\//.test(file));
const program = join(native, "build", "kernels_bench");
const sources = ["bench/kernels_bench.cc", "pool.cc", "registry.cc"].map((file) => join(native, file));
const flags = ["-std=c++20", "-O3", "-Wall", "-Wextra", "-Wno-psabi", "-pthread"];
const link = spawnSync(process.env.CXX ?? "g++", [...flags, ...sources, ...kernels, "-o", program], {
  stdio: "inherit",
});
if (link.status !== 0) process.exit(1);
process.exit(spawnSync(program, process.argv.slice(2), { stdio: "inherit" }).status ?? 1);
