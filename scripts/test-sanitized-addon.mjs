// Runs the engine tier against an addon built with the address and undefined-behaviour sanitizers. Not the C++ programs: those are
// test-native.mjs's. Node itself is not instrumented, so the sanitizer's library is preloaded and leaks are not judged.
//
//   node scripts/test-sanitized-addon.mjs [vitest filters]
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
// Last on the command line, so -O1 wins: -O3 with sanitizers takes minutes to compile and finds nothing more.
const flags = "-O1 -fsanitize=undefined -fno-sanitize-recover=all";

const libraries = ["libasan.so", "libstdc++.so"].map((name) => {
  const { stdout, status } = spawnSync(process.env.CXX ?? "g++", [`-print-file-name=${name}`], { encoding: "utf8" });
  if (status !== 0) fail("no g++: it brings the sanitizers' libraries");
  return stdout.trim();
});

run(["scripts/build-native.mjs", "--sanitize", "address", "--strict"], {
  CXXFLAGS: `${process.env.CXXFLAGS ?? ""} ${flags}`,
  LDFLAGS: `${process.env.LDFLAGS ?? ""} ${flags}`,
});
run(["node_modules/vitest/vitest.mjs", "run", "--project", "engine", ...process.argv.slice(2)], {
  LD_PRELOAD: libraries.join(" "),
  ASAN_OPTIONS: "detect_leaks=0",
  UBSAN_OPTIONS: "print_stacktrace=1",
  NODE_OPTIONS: `--require ${JSON.stringify(join(root, "scripts/use-sanitized-addon.cjs"))}`,
});

function run(args, env) {
  const { status } = spawnSync(process.execPath, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (status !== 0) fail(`${args[0]} ended with ${status ?? "a signal"}`);
}

function fail(what) {
  console.error(`test-sanitized-addon: ${what}`);
  process.exit(1);
}
