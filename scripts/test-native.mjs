// Builds and runs the C++ test programs of native/test, plainly or under a sanitizer. Not the addon's tests, which run in Node.
//
//   node scripts/test-native.mjs [--sanitize address|thread] [--only NAME] [--isa NAME] [-- arguments for the programs]
//
// Every native/test/*_test.cc with a main is a program; the ones without belong to kernels_test. Objects are kept in
// native/build/test-<kind>/ and rebuilt when anything they could include is newer. `--isa portable` leaves out the other
// instruction sets' kernels.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { listFiles } from "./source-files.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const native = join(root, "native");
const { values: options, positionals } = parseArgs({
  options: { sanitize: { type: "string" }, only: { type: "string" }, isa: { type: "string" } },
  allowPositionals: true,
});
const sanitizerFlags = {
  none: [],
  address: ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1"],
  thread: ["-fsanitize=thread", "-g1"],
};
const kind = options.sanitize ?? "none";
if (sanitizerFlags[kind] === undefined) fail(`--sanitize ${kind}: expected address or thread`);
const compiler = process.env.CXX ?? "g++";
if (spawnSync(compiler, ["--version"]).status !== 0) fail(`no C++ compiler (${compiler}): install g++, or set CXX`);

// As binding.gyp has them, with less optimization: sanitized -O3 code takes minutes to compile and finds nothing more.
const common = [
  "-std=c++20",
  "-O1",
  "-ffp-contract=off",
  "-Wall",
  "-Wextra",
  "-Wno-psabi",
  "-pthread",
  ...sanitizerFlags[kind],
];
const avx512 = [
  ...["-DATHANOR_ISA_AVX512", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"],
  ...["-mavx2", "-mfma", "-mf16c", "-mprefer-vector-width=512", "-Wno-maybe-uninitialized", "-Wno-uninitialized"],
];
const instructionSets = {
  portable: ["-DATHANOR_ISA=portable"],
  ...(process.arch === "x64" && {
    avx2: ["-DATHANOR_ISA=avx2", "-DATHANOR_ISA_AVX2", "-mavx2", "-mfma", "-mf16c"],
    avx512: ["-DATHANOR_ISA=avx512", ...avx512],
    avx512bf16: ["-DATHANOR_ISA=avx512bf16", "-DATHANOR_ISA_AVX512BF16", "-mavx512bf16", ...avx512],
  }),
};
if (options.isa !== undefined && instructionSets[options.isa] === undefined) {
  fail(`--isa ${options.isa}: expected one of ${Object.keys(instructionSets).join(", ")}`);
}
const chosenSets = options.isa === undefined ? Object.keys(instructionSets) : [options.isa];

const buildDir = join(native, "build", `test-${kind}`);
mkdirSync(buildDir, { recursive: true });
const flat = (folder, ending) =>
  listFiles(join(native, folder), [ending]).filter((file) => dirname(file) === join(native, folder));
const headers = [...flat(".", ".h"), ...flat("kernels", ".h"), ...flat("test", ".h"), fileURLToPath(import.meta.url)];
const newestHeader = Math.max(...headers.map((file) => statSync(file).mtimeMs));

const isProgram = (file) => /\bint main\(/.test(readFileSync(file, "utf8"));
const tests = flat("test", ".cc");
const engineSources = flat(".", ".cc").filter((file) => basename(file) !== "addon.cc");

const object = (file, isa = "") => ({
  source: file,
  path: join(buildDir, `${basename(file, ".cc")}${isa && `.${isa}`}.o`),
  flags: isa === "" ? [] : instructionSets[isa],
});
const products = [
  "attention.cc",
  "attention_grad.cc",
  "grouped_matmul.cc",
  "linear_cross_entropy.cc",
  "matmul.cc",
  "panels.cc",
];
const kernelsFor = (isa) =>
  flat("kernels", ".cc").filter((file) => isa !== "avx512bf16" || products.includes(basename(file)));
const shared = [
  ...engineSources.map((file) => object(file)),
  ...chosenSets.flatMap((isa) => kernelsFor(isa).map((file) => object(file, isa))),
];
const programs = tests.filter(isProgram).map((file) => ({
  name: basename(file, ".cc"),
  objects: [file, ...(basename(file) === "kernels_test.cc" ? tests.filter((other) => !isProgram(other)) : [])].map(
    (f) => object(f),
  ),
}));
const wanted = programs.filter(({ name }) => options.only === undefined || name === options.only);
if (wanted.length === 0)
  fail(`no test program ${options.only ?? "in native/test"}; there are: ${programs.map((p) => p.name).join(", ")}`);

await compileAll([...shared, ...wanted.flatMap(({ objects }) => objects)]);
let failures = 0;
for (const { name, objects } of wanted) {
  const program = join(buildDir, name);
  const link = ["-o", program, ...common, ...[...objects, ...shared].map(({ path }) => path), "-ldl"];
  run(compiler, link) || fail(`${name} does not link`);
  const env = { ...process.env, TSAN_OPTIONS: "halt_on_error=1", UBSAN_OPTIONS: "print_stacktrace=1" };
  const started = performance.now();
  const passed = run(program, positionals, { env });
  console.log(
    `${name} (${kind}): ${passed ? "passed" : "FAILED"} in ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
  if (!passed) failures += 1;
}
process.exit(failures > 0 ? 1 : 0);

function run(command, args, { env = process.env } = {}) {
  return spawnSync(command, args, { stdio: "inherit", env }).status === 0;
}

/** Compiles what is older than its source or any header, as many files at a time as there are processors. */
async function compileAll(objects) {
  const stale = objects.filter(({ path, source }) => {
    const built = existsSync(path) ? statSync(path).mtimeMs : 0;
    return built < Math.max(newestHeader, statSync(source).mtimeMs);
  });
  const worker = async () => {
    for (let next = stale.shift(); next !== undefined; next = stale.shift()) await compile(next);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

function compile({ source, path, flags }) {
  return new Promise((resolve) => {
    const child = spawn(compiler, [...common, ...flags, "-c", source, "-o", path], { stdio: "inherit" });
    child.on("close", (code) => (code === 0 ? resolve() : fail(`${source} does not compile`)));
  });
}

function fail(what) {
  console.error(`test-native: ${what}`);
  process.exit(1);
}
