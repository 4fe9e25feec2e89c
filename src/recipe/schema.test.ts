// docs/recipes.md tells every key of the schema with its default, and no key that is not there.
import { readdirSync, readFileSync } from "node:fs";
import ts from "typescript";
import { expect, test } from "vitest";
import { z } from "zod";
import { optimizerNames } from "../optim/index.ts";
import { recipeSchema } from "./schema.ts";

interface JsonSchema {
  readonly default?: unknown;
  readonly properties?: { readonly [key: string]: JsonSchema };
  readonly anyOf?: readonly JsonSchema[];
}

/** Settings that mean the same wherever they stand are told once, under `*`. */
const shared: { readonly [table: string]: readonly string[] } = {
  lr: ["warmup", "unit", "total", "peak", "every", "staircase"],
  optimizer: [
    "l2",
    "decay",
    "clip",
    "centralize",
    "noise",
    "rates",
    "layerDecay",
    "maxNorm",
    "lookahead",
    "average",
    "sharpness",
    "freeze",
  ],
};

/** Dotted keys and their defaults; the schedules of a learning rate stand once, under `lr`. */
function keysOf(schema: JsonSchema, path: string, into: Map<string, unknown>): Map<string, unknown> {
  const isRate = path.endsWith(".lr");
  const isSchedule = isRate || path === "batch.size";
  const inner = isSchedule ? schema.anyOf?.find(({ properties }) => properties)?.properties : schema.properties;
  const isLeaf = inner === undefined || Object.keys(inner).length === 0;
  if (path !== "" && (isLeaf || isSchedule)) {
    const [table, , ...rest] = path.split(".") as [string, ...string[]];
    const place = shared[table]?.includes(rest[0]!) ? [table, "*", ...rest].join(".") : path;
    if (into.has(place) && place !== path) expect(schema.default, path).toEqual(into.get(place));
    into.set(place, schema.default);
  }
  for (const [key, value] of Object.entries(inner ?? {}))
    keysOf(value, isRate ? `lr.${key}` : path === "" ? key : `${path}.${key}`, into);
  return into;
}

const { $defs = {}, ...root } = z.toJSONSchema(recipeSchema, { io: "input", unrepresentable: "any" });

/** The schema with what it refers to in its place. */
function inlined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inlined);
  if (typeof value !== "object" || value === null) return value;
  const { $ref, ...rest } = value as { $ref?: string };
  const target = $ref === undefined ? {} : ($defs[$ref.slice("#/$defs/".length)] as object);
  return Object.fromEntries(Object.entries({ ...target, ...rest }).map(([key, inner]) => [key, inlined(inner)]));
}

const schema = inlined(root) as JsonSchema;
const keys = keysOf(schema, "", new Map());
const page = readFileSync(new URL("../../docs/recipes.md", import.meta.url), "utf8");
const rows = [...page.matchAll(/^\| `([\w.*]+)` \| (?:`([^`]*)`|–) \| (.*) \|$/gm)];

test("the page lists exactly the schema's keys, each once and with a meaning", () => {
  expect(rows.map(([, key]) => key).sort()).toEqual([...keys.keys()].sort());
  expect(keys.size).toBeGreaterThan(60);
  for (const [row, , , meaning] of rows) expect(meaning!.length, row).toBeGreaterThan(5);
});

test("every setting that a fix of the data or of recipes tells to set is in the schema", () => {
  const settings = ["data", "recipe"].flatMap((folder) => fixesIn(folder)).flatMap(settingsIn);
  expect(new Set(settings).size).toBeGreaterThan(10);
  for (const setting of settings) {
    const isTable = [...keys.keys()].some((key) => key.startsWith(`${setting}.`)); // `loss: dpo` names one of several
    const [known] = [setting, setting.replace(/\.\w*$/, "")].filter(
      (key) => keys.has(key) || key.startsWith("model.") || isTable,
    );
    expect(known, `the fix names ${setting}`).toBeDefined();
  }
});

/** The expressions of all `fix` fields in a folder of src. */
function fixesIn(folder: string): string[] {
  const root = new URL(`../${folder}/`, import.meta.url);
  const names = readdirSync(root).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
  return names.flatMap((name) => {
    const source = ts.createSourceFile(name, readFileSync(new URL(name, root), "utf8"), ts.ScriptTarget.Latest);
    const found: string[] = [];
    const visit = (node: ts.Node): void => {
      if (ts.isPropertyAssignment(node) && node.name.getText(source) === "fix")
        found.push(node.initializer.getText(source));
      else ts.forEachChild(node, visit);
    };
    visit(source);
    return found;
  });
}

/** Dotted settings, words that look like options of code, and `word:` after set; in templates an inserted name is one word. */
function settingsIn(fix: string): string[] {
  const text = fix.replace(/\$\{[^}]*\}/g, "NAME").replaceAll("\\n", " ");
  const named = /\b(?:data|batch|model|eval)\.\w+(?:\.\w+)?|\b[a-z]+[A-Z]\w*|(?<=\b(?:set|or) `?)[a-z]\w*(?=: )/g;
  const quoted = text.match(/(["`'])(?:(?!\1)[^\\]|\\.)*\1/g) ?? [];
  return quoted.flatMap((one) => [...one.matchAll(named)].map(([word]) => word));
}

test("the page tells the schema's defaults", () => {
  for (const [, key, text] of rows) {
    const known = keys.get(key!);
    if (known !== undefined) expect(JSON.parse(text!), key).toEqual(known);
  }
});

test.each(optimizerNames)("the page tells the learning rate that %s has when none is given", (name) => {
  const { optimizer } = recipeSchema.parse({ data: {}, model: "mlp", optimizer: { [name]: {} } });
  const [, , text] = rows.find(([, key]) => key === `optimizer.${name}.lr`)!;
  expect(Object.values(optimizer).find((one) => one !== undefined)).toMatchObject({ lr: Number(text) });
});
