// From a recipe file (or object) and --set changes to a validated Recipe. All faults are reported at once, with their lines.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, extname, resolve } from "node:path";
import type { Document, LineCounter } from "yaml";
import { configProblems, fail } from "../base/index.ts";
import { completeFrom } from "./from.ts";
import { readRateTable, replaceRateTable } from "./rate-table.ts";
import { type Recipe, type RecipeInput, recipeSchema } from "./schema.ts";

/** Loaded when a recipe is read from YAML: a program that writes its recipe itself needs none. */
export const yaml = (): typeof import("yaml") => createRequire(import.meta.url)("yaml");

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
  const raw = copyOf(input as Raw);
  resolvePaths(raw, options.cwd ?? process.cwd());
  return validate(applySets({ raw, path: undefined, line: () => undefined }, options));
}

async function readSource(path: string): Promise<Source> {
  const ending = extname(path);
  if (ending === ".ts" || ending === ".mts" || ending === ".js" || ending === ".mjs") return fromModule(path);
  if (![".yaml", ".yml", ".json"].includes(ending)) {
    fail("config/format", "a recipe is a .yaml, .json or .ts file", {
      where: path,
      expected: ".yaml, .yml, .json, .ts, .mts, .js or .mjs",
      got: ending || "no ending",
      fix: "give the path of a recipe; npx athanor init demo makes a project with one",
    });
  }
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) =>
    fail("config/read", "the recipe cannot be read", {
      where: path,
      got: cause.code === "ENOENT" ? "no such file" : cause.code === "EISDIR" ? "a folder" : cause.message,
      fix: "check the path; ready recipes lie in recipes/, or in node_modules/athanor/recipes/",
      cause,
    }),
  );
  const { LineCounter, parseDocument } = yaml();
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
  const raw =
    contentOf(document, (got) =>
      fail("config/syntax", "the recipe is not valid YAML", { where: path, got, fix: quoted }),
    ) ?? {};
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
  const loaded = await createJiti(import.meta.url, { interopDefault: false })
    .import(resolve(path))
    .catch((cause: Error) =>
      fail("config/read", "the recipe cannot be loaded", { where: path, got: cause.message, cause }),
    );
  const raw = isRecord(loaded) ? (loaded.recipe ?? loaded.default) : undefined;
  if (!isRecord(raw))
    fail("config/module", "the module exports no recipe", { where: path, fix: "write: export const recipe = { ... }" });
  return { raw: copyOf(raw), path, line: () => undefined };
}

const quoted = "put quotes around a text with special characters";

/** What a document says; an alias that is none, as a glob may look like one, is found only now. */
function contentOf(document: Document, refuse: (got: string) => never): unknown {
  try {
    return document.toJS();
  } catch (error) {
    return refuse((error as Error).message);
  }
}

/** A copy whose paths may be changed; whoever wrote the recipe keeps theirs. */
function copyOf(raw: Raw): Raw {
  return isRecord(raw.data) ? { ...raw, data: { ...raw.data } } : { ...raw };
}

function lineOf(document: Document, lines: LineCounter, keys: readonly PropertyKey[]): number | undefined {
  const { isMap, isScalar } = yaml();
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
  const { data, tokenizer, loss } = raw;
  for (const key of ["path", "heldOutPath", "cache"])
    if (isRecord(data) && typeof data[key] === "string") data[key] = resolve(folder, data[key]);
  if (isRecord(data) && Array.isArray(data.mix)) data.mix = data.mix.map((one) => resolveSource(one, folder));
  const chat = isRecord(data) && isRecord(data.chat) ? data.chat : {};
  if (isTemplateFile(chat.template)) (data as Raw).chat = { ...chat, template: resolve(folder, chat.template) };
  if (typeof tokenizer === "string" && tokenizer.endsWith(".json")) raw.tokenizer = resolve(folder, tokenizer);
  if (typeof raw.from === "string") raw.from = resolve(folder, raw.from);
  const grpo = isRecord(loss) && isRecord(loss.grpo) ? loss.grpo : {};
  const taught = isRecord(loss) && isRecord(loss.distillation) ? loss.distillation : {};
  if (typeof taught.teacher === "string")
    raw.loss = { distillation: { ...taught, teacher: resolve(folder, taught.teacher) } };
  if (typeof grpo.reward === "string") raw.loss = { grpo: { ...grpo, reward: resolve(folder, grpo.reward) } };
  replaceRateTable(raw, (path) => resolve(folder, path));
}

/** One source of `data.mix`, its path made absolute. */
function resolveSource(source: unknown, folder: string): unknown {
  return isRecord(source) && typeof source.path === "string"
    ? { ...source, path: resolve(folder, source.path) }
    : source;
}

const isTemplateFile = (value: unknown): value is string => typeof value === "string" && value.endsWith(".jinja");

function applySets(source: Source, { set = [], cwd = process.cwd() }: ReadOptions): Source {
  const changed = set.map((change) => {
    const { keys, value } = parseSet(change);
    const key = keys.join(".");
    const isPath =
      /^(from|data\.(path|heldOutPath|cache)|optimizer\.\w+\.lr\.table|loss\.(grpo\.reward|distillation\.teacher))$/.test(
        key,
      ) ||
      (key === "tokenizer" && String(value).endsWith(".json")) ||
      (key === "data.chat.template" && isTemplateFile(value));
    assignDeep(source.raw, keys, isPath && typeof value === "string" ? resolve(cwd, value) : value);
    return key;
  });
  // A key that was changed has its fault there, not in its line of the file.
  const isChanged = (key: string) => changed.some((one) => key === one || key.startsWith(`${one}.`));
  return { ...source, line: (keys) => (isChanged(keys.join(".")) ? undefined : source.line(keys)) };
}

function parseSet(change: string): { keys: string[]; value: unknown } {
  const equals = change.indexOf("=");
  const keys = change.slice(0, Math.max(0, equals)).split(".");
  const expected = "key=value, such as --set model.gpt.layers=4";
  if (keys.some((key) => key === "" || key === "__proto__"))
    fail("config/set", "not a change of a recipe", { where: `--set ${change}`, expected, got: change });
  const document = yaml().parseDocument(change.slice(equals + 1));
  const refuse = (got: string) =>
    fail("config/set", "the value is not YAML", {
      where: `--set ${change}`,
      expected,
      got,
      fix: `${quoted}, and others around all for the shell: --set '${keys.join(".")}="…"'`,
    });
  const [error] = document.errors;
  if (error !== undefined) refuse(error.message.split("\n")[0] ?? error.code);
  return { keys, value: contentOf(document, refuse) };
}

/** A plain value gives way to a table: `optimizer.adamw.lr.cosine.peak=1e-3` replaces a number. */
function assignDeep(target: Raw, keys: readonly string[], value: unknown): void {
  let at = target;
  for (const key of keys.slice(0, -1)) {
    const inner = at[key];
    const copy: Raw = isRecord(inner) ? { ...inner } : {};
    at[key] = copy;
    at = copy;
  }
  at[keys.at(-1)!] = value;
}

/** What settings are called elsewhere, in small letters, and how a recipe has them. */
const usualKeys: readonly (readonly [usual: RegExp, ours: string])[] = [
  [/^(num)?(train)?epochs$/, "steps: updates, each of batch.size rows"],
  [/^maxsteps$/, "steps"],
  [/^(lr|learningrate)$/, "optimizer.adamw.lr"],
  [/^batchsize$/, "batch.size"],
  [/^(maxlength|blocksize)$/, "model.*.context"],
  [/^dataset$/, "data.path"],
];

function validate(source: Source): Recipe {
  completeFrom(source.raw);
  replaceRateTable(source.raw, readRateTable);
  const result = recipeSchema.safeParse(source.raw);
  if (result.success) {
    // A family completes its own configuration once the data is known: the recipe keeps what was written.
    const { model } = source.raw;
    return { ...result.data, model: typeof model === "string" ? { [model]: {} } : (model as Recipe["model"]) };
  }
  const problems = configProblems(recipeSchema, source.raw, result.error.issues).map(({ path, message }) => {
    const keys = path.split(".");
    const line = source.line(keys);
    const plain = keys.at(-1)!.replaceAll(/[-_]/g, "").toLowerCase();
    const isUnknown = /^unknown key(?!; did you mean)/.test(message);
    const ours = isUnknown ? usualKeys.find(([usual]) => usual.test(plain))?.[1] : undefined;
    const told = ours === undefined ? message : `unknown key; here ${ours}`;
    return `${path || "(the whole)"}${line === undefined ? "" : ` (line ${line})`}: ${told}`;
  });
  return fail(
    problems.some((problem) => problem.includes(": unknown key")) ? "config/unknown-key" : "config/invalid",
    problems.length === 1 ? "the recipe has a fault" : `the recipe has ${problems.length} faults`,
    {
      ...(source.path ? { where: source.path } : {}),
      expected: "the keys and values that docs/recipes.md lists",
      got: problems.join("\n"),
      fix: "mend what is listed; nothing has been started",
    },
  );
}

function isRecord(value: unknown): value is Raw {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
