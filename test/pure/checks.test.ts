// The checking scripts against small planted trees: each rule must be able to fail. Not a test of this repository's state.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, expect, test } from "vitest";

const table = [
  "| folder | job | may import | lines |",
  "|---|---|---|---|",
  "| `base` | errors | – | 20 |",
  "| `core` | the language | `base` | 20 |",
  "| `study` | many runs | all above | 20 |",
  "| `serve` | HTTP | all above but `study` | 20 |",
  "| `native` | C++ | – | 20 |",
  "| `native/kernels` | C++ | – | 20 |",
].join("\n");

const planted: string[] = [];

function plant(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "athanor-checks-"));
  planted.push(root);
  for (const [path, text] of Object.entries({ "ARCHITECTURE.md": table, ...files })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

function run(script: string, root: string, ...args: string[]): { status: number | null; problems: string[] } {
  const { status, stderr } = spawnSync(process.execPath, [`scripts/${script}.mjs`, "--root", root, ...args], {
    encoding: "utf8",
  });
  return { status, problems: stderr.trim() === "" ? [] : stderr.trim().split("\n").slice(0, -1) };
}

afterEach(() => {
  for (const root of planted.splice(0)) rmSync(root, { recursive: true });
});

const sound = {
  "src/index.ts": 'export * from "./core/index.ts";\n',
  "src/base/index.ts": 'export * from "./error.ts";\n',
  "src/base/error.ts": "// The error.\nexport const code = 1;\n",
  "src/core/index.ts": 'export * from "./graph.ts";\n',
  "src/core/graph.ts": '// The graph.\nimport { code } from "../base/index.ts";\nexport const graph = code;\n',
};

test("a tree that keeps the rules passes every check", () => {
  const root = plant(sound);
  expect(run("check-folders", root)).toEqual({ status: 0, problems: [] });
  expect(run("check-house", root)).toEqual({ status: 0, problems: [] });
});

/** Plants every violation at once (a script takes half a second to start) and wants each found, and nothing else. */
function expectFound(script: string, violations: Record<string, [text: string, message: string]>): void {
  const files = Object.entries(violations).map(([path, [text]]) => [path, text]);
  const { status, problems } = run(script, plant({ ...sound, ...Object.fromEntries(files) }));
  const found = Object.entries(violations).map(([path, [, message]]) =>
    problems.filter((problem) => problem.startsWith(path) && problem.includes(message)),
  );
  expect(found.map((matches) => matches.length)).toEqual(found.map(() => 1));
  expect(problems).toHaveLength(found.length);
  expect(status).toBe(1);
}

test("check-folders finds every wrong import, folder and size", () => {
  expectFound("check-folders", {
    "src/base/upwards.ts": ['import { graph } from "../core/index.ts";', "may import only nothing"],
    "src/core/type.ts": ['import type { A } from "../base/error.ts";', "not a door"],
    "src/core/re-export.ts": ['export { code } from "../base/error.ts";', "not a door"],
    "src/core/dynamic.ts": ['await import("../base/error.ts");', "not a door"],
    "src/core/worker.ts": ['new URL("../base/error.ts", import.meta.url);', "not a door"],
    "src/core/package-door.ts": ['import "../index.ts";', "for those outside src/"],
    "src/core/outside.ts": ['import "../../test/oracle.ts";', "leaves src/"],
    "src/core/door.test.ts": ['import "../base/error.ts";', "not a door"],
    "src/serve/http.ts": ['import "../study/index.ts";', "may import only base, core"],
    "src/misc/index.ts": ["export {};", "no row in ARCHITECTURE.md"],
    "native/pool.cc": ["#include <node_api.h>\n", "only native/addon.cc"],
  });
});

test("check-folders lets tests reach other doors, and addon.cc include Node-API", () => {
  const files = { "src/base/error.test.ts": 'import "../core/index.ts";', "native/addon.cc": "#include <napi.h>\n" };
  expect(run("check-folders", plant({ ...sound, ...files }))).toEqual({ status: 0, problems: [] });
});

test("check-folders holds each folder to its lines, tests apart", () => {
  const files = { "src/study/long.ts": "//\n".repeat(21), "src/study/long.test.ts": "//\n".repeat(99) };
  const { status, problems } = run("check-folders", plant({ ...sound, ...files }));
  expect(status).toBe(1);
  expect(problems).toEqual(["study: 21 lines, budget 20: make it smaller, or raise it with an ADR"]);
});

test("a table that names a row below is refused", () => {
  const root = plant({ ...sound, "ARCHITECTURE.md": table.replace("errors | –", "errors | `core`") });
  expect(run("check-folders", root).status).toBe(1);
});

test("check-house finds chance, clock, environment, forced casts and nameless files", () => {
  expectFound("check-house", {
    "src/base/chance.ts": ["// .\nexport const x = Math.random();", "Math.random"],
    "src/nn/clock.ts": ["// .\nexport const x = Date.now();", "Date: a host value"],
    "src/models/date.ts": ["// .\nexport const x = new Date();", "Date: a host value"],
    "src/optim/timer.ts": ["// .\nexport const x = performance.now();", "performance: a host value"],
    "src/core/environment.ts": ["// .\nexport const x = process.env.HOME;", "only src/cli"],
    "src/core/brackets.ts": ['// .\nexport const x = process["argv"];', "only src/cli"],
    "src/core/import.ts": ['// .\nimport { env } from "node:process";', "only src/cli"],
    "src/core/cast.ts": ["// .\nexport const x = 1 as unknown as string;", "as unknown as"],
    "src/core/nameless.ts": ["export const x = 1;", "first line"],
  });
});

test("check-house reads code, not comments, strings, types or property names", () => {
  const text = [
    "// Date.now() and Math.random() and process.env are banned here.",
    'export const message = "never process.env";',
    "export function last(x: { Date: Date }): Date { return x.Date; }",
  ].join("\n");
  expect(run("check-house", plant({ ...sound, "src/nn/linear.ts": text }))).toEqual({ status: 0, problems: [] });
});

test("the op list is made from the folder, and --check sees a stale one", () => {
  const ops = { "src/core/ops/matmul.ts": "", "src/core/ops/layer-norm.ts": "", "src/core/ops/matmul.test.ts": "" };
  const root = plant({ ...sound, ...ops, "src/core/ops/index.ts": "" });
  expect(run("generate-lists", root, "--check").status).toBe(1);
  expect(run("generate-lists", root).status).toBe(0);
  expect(run("generate-lists", root, "--check").status).toBe(0);
  const list = readFileSync(join(root, "src/core/ops/all.generated.ts"), "utf8").split("\n");
  expect(list.slice(1, 3)).toEqual([
    'import * as layerNormModule from "./layer-norm.ts";',
    'import * as matmulModule from "./matmul.ts";',
  ]);
  writeFileSync(join(root, "src/core/ops/softmax.ts"), "");
  expect(run("generate-lists", root, "--check").status).toBe(1);
});
