// From a recipe file (or object) and --set changes to a validated Recipe. All faults are reported at once, with their lines.
import { readFile } from "node:fs/promises";
import { dirname, extname, isAbsolute, resolve } from "node:path";
import { type Document, isMap, isScalar, LineCounter, parseDocument } from "yaml";
import { configProblems, fail } from "../base/index.ts";
import { type Recipe, type RecipeInput, recipeSchema } from "./schema.ts";

/** A recipe as it was written, before defaults. */
type Raw = Record<string, unknown>;

interface Source {
  readonly raw: Raw;
  readonly path: string | undefined;
  /** Line of a key, where the file has lines. */
  line(path: readonly PropertyKey[]): number | undefined;
}

export interface ReadOptions {
  /** Changes such as `model.gpt.layers=4`, applied before validation; the value is YAML. */
  readonly set?: readonly string[];
  /** Folder that paths given by `set` are relative to; default the working folder. */
  readonly cwd?: string;
}

/** Reads, changes and validates a recipe file. Errors with `config/*`, listing every fault. */
export async function readRecipe(path: string, options: ReadOptions = {}): Promise<Recipe> {
  const source = await readSource(path);
  resolvePaths(source.raw, dirname(resolve(path)));
  return validate(applySets(source, options));
}

/** Validates a recipe from code. Paths in it are relative to the working folder. */
export function parseRecipe(input: RecipeInput, options: ReadOptions = {}): Recipe {
  const raw = { ...(input as Raw), data: { ...(input.data as Raw) } };
  resolvePaths(raw, options.cwd ?? process.cwd());
  return validate(applySets({ raw, path: undefined, line: () => undefined }, options));
}

async function readSource(path: string): Promise<Source> {
  const ending = extname(path);
  if (ending === ".ts" || ending === ".mts" || ending === ".js" || ending === ".mjs") return fromModule(path);
  if (![".yaml", ".yml", ".json"].includes(ending)) {
    fail("config/format", "a recipe is a .yaml, .json or .ts file", { where: path, got: ending || "no ending" });
  }
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) =>
    fail("config/read", "the recipe cannot be read", {
      where: path,
      got: cause.code ?? cause.message,
      fix: "check the path",
      cause,
    }),
  );
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [error] = document.errors;
  if (error !== undefined) {
    const at = error.linePos?.[0];
    fail("config/syntax", "the recipe is not valid YAML", {
      where: at ? `${path}:${at.line}:${at.col}` : path,
      got: error.message.split("\n")[0] ?? error.code,
    });
  }
  const raw: unknown = document.toJS() ?? {};
  if (!isRecord(raw))
    fail("config/syntax", "a recipe is a table of settings", {
      where: path,
      got: Array.isArray(raw) ? "a list" : typeof raw,
    });
  return { raw, path, line: (keys) => lineOf(document, lines, keys) };
}

/** A TypeScript recipe exports it as `recipe` (or by default). */
async function fromModule(path: string): Promise<Source> {
  const { createJiti } = await import("jiti");
  const loaded = await createJiti(import.meta.url)
    .import(resolve(path))
    .catch((cause: Error) =>
      fail("config/read", "the recipe cannot be loaded", { where: path, got: cause.message, cause }),
    );
  const raw = isRecord(loaded) ? (loaded.recipe ?? loaded.default) : undefined;
  if (!isRecord(raw))
    fail("config/module", "the module exports no recipe", { where: path, fix: "write: export const recipe = { ... }" });
  return { raw: { ...raw, data: { ...(isRecord(raw.data) ? raw.data : {}) } }, path, line: () => undefined };
}

function lineOf(document: Document, lines: LineCounter, keys: readonly PropertyKey[]): number | undefined {
  for (let length = keys.length; length > 0; length--) {
    const parent = length === 1 ? document.contents : document.getIn(keys.slice(0, length - 1), true);
    if (!isMap(parent)) continue;
    const pair = parent.items.find((item) => isScalar(item.key) && item.key.value === keys[length - 1]);
    if (pair !== undefined && isScalar(pair.key) && pair.key.range) return lines.linePos(pair.key.range[0]).line;
  }
  return undefined;
}

/** Relative paths become absolute, so that a run folder tells where its data was. */
function resolvePaths(raw: Raw, folder: string): void {
  const { data, tokenizer } = raw;
  if (isRecord(data) && typeof data.path === "string") data.path = resolve(folder, data.path);
  if (typeof tokenizer === "string" && tokenizer.endsWith(".json")) raw.tokenizer = resolve(folder, tokenizer);
}

function applySets(source: Source, { set = [], cwd = process.cwd() }: ReadOptions): Source {
  for (const change of set) {
    const equals = change.indexOf("=");
    if (equals < 1)
      fail("config/set", "a change is key=value", {
        where: `--set ${change}`,
        expected: "such as --set model.gpt.layers=4",
      });
    const keys = change.slice(0, equals).split(".");
    let value: unknown = parseDocument(change.slice(equals + 1)).toJS();
    const isPath =
      keys.join(".") === "data.path" || (keys.join(".") === "tokenizer" && String(value).endsWith(".json"));
    if (isPath && typeof value === "string" && !isAbsolute(value)) value = resolve(cwd, value);
    assignDeep(source.raw, keys, value, change);
  }
  return source;
}

function assignDeep(target: Raw, keys: readonly string[], value: unknown, change: string): void {
  let at: Raw = target;
  for (const key of keys.slice(0, -1)) {
    if (key === "__proto__" || key === "constructor")
      fail("config/set", "not a key of a recipe", { where: `--set ${change}` });
    const inner = at[key];
    // A plain value gives way: `--set optimizer.adamw.lr.cosine.peak=1e-3` replaces a number by a table.
    at[key] = isRecord(inner) ? { ...inner } : {};
    at = at[key] as Raw;
  }
  at[keys.at(-1)!] = value;
}

function validate(source: Source): Recipe {
  const result = recipeSchema.safeParse(source.raw);
  if (result.success) {
    // A family completes its own configuration once the data is known: the recipe keeps what was written.
    const { model } = source.raw;
    return { ...result.data, model: typeof model === "string" ? { [model]: {} } : (model as Recipe["model"]) };
  }
  const problems = configProblems(recipeSchema, source.raw, result.error.issues).map(({ path, message }) => {
    const line = source.line(path.split("."));
    return `${path || "(the whole)"}${line === undefined ? "" : ` (line ${line})`}: ${message}`;
  });
  return fail(
    problems.some((problem) => problem.includes(": unknown key")) ? "config/unknown-key" : "config/invalid",
    problems.length === 1 ? "the recipe has a fault" : `the recipe has ${problems.length} faults`,
    {
      ...(source.path ? { where: source.path } : {}),
      got: problems.join("\n"),
      fix: "mend what is listed; nothing has been started",
    },
  );
}

function isRecord(value: unknown): value is Raw {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
