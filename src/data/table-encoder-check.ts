// Whether data read from a file is an encoder that this version understands. An encoder comes with a model from
// anywhere, so nothing of it is believed.
import { fail } from "../base/index.ts";

/** JSON of an encoder's file. Errors with `data/encoder` where it is none. */
export function parseEncoder(json: string, where: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    return fail("data/encoder", "the encoder's file is not JSON", {
      where,
      expected: "JSON, as it was saved",
      got: (cause as Error).message,
      fix: "use the file that was saved with the model",
      cause,
    });
  }
}

/** Errors with `data/encoder`, naming the first thing that is wrong. */
export function checkTableEncoder(data: unknown): void {
  const root = object(data, "the encoder");
  if (root.format !== "athanor-table-encoder") wrong("format", '"athanor-table-encoder"', root.format);
  if (root.version !== 1) wrong("version", "1", root.version);
  const target = object(root.target, "target");
  text(target.name, "target.name");
  if (target.task === "classification") distinctTexts(target.classes, "target.classes");
  else if (target.task === "regression") spread(target, "target");
  else wrong("target.task", "classification or regression", target.task);
  const policy = object(root.policy, "policy");
  if (policy.missing !== "impute" && policy.missing !== "error")
    wrong("policy.missing", "impute or error", policy.missing);
  if (policy.notFinite !== "missing" && policy.notFinite !== "error")
    wrong("policy.notFinite", "missing or error", policy.notFinite);
  distinctTexts(root.ignored, "ignored");
  const names = list(root.features, "features").map((item, i) => {
    const where = `features[${i}]`;
    const feature = object(item, where);
    if (feature.kind === "number") {
      spread(feature, where);
      if (feature.edges !== undefined) rising(feature.edges, `${where}.edges`);
    } else if (feature.kind === "boolean") finite(feature.fill, `${where}.fill`);
    else if (feature.kind === "category") {
      distinctTexts(feature.values, `${where}.values`);
      if (typeof feature.missing !== "boolean") wrong(`${where}.missing`, "true or false", feature.missing);
    } else wrong(`${where}.kind`, "number, boolean or category", feature.kind);
    return text(feature.name, `${where}.name`);
  });
  distinctTexts(names, "the names of features");
}

function wrong(where: string, expected: string, got: unknown): never {
  fail("data/encoder", "this is not a table encoder that this version can read", {
    where,
    expected,
    got: got === undefined ? "nothing" : String(got).slice(0, 80),
    fix: "use the file that was saved with the model",
  });
}

function object(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return wrong(where, "an object", value);
}

function list(value: unknown, where: string): unknown[] {
  return Array.isArray(value) ? value : wrong(where, "a list", value);
}

function text(value: unknown, where: string): string {
  return typeof value === "string" ? value : wrong(where, "a text", value);
}

function finite(value: unknown, where: string): void {
  if (!Number.isFinite(value)) wrong(where, "a finite number", value);
}

function spread(value: Record<string, unknown>, where: string): void {
  finite(value.mean, `${where}.mean`);
  finite(value.scale, `${where}.scale`);
  if (!(Number(value.scale) > 0)) wrong(`${where}.scale`, "more than 0", value.scale);
}

function rising(value: unknown, where: string): void {
  const numbers = list(value, where);
  if (numbers.length < 2) wrong(where, "two numbers or more", value);
  for (const [at, item] of numbers.entries()) {
    finite(item, `${where}[${at}]`);
    if (at > 0 && Number(item) <= Number(numbers[at - 1]))
      wrong(`${where}[${at}]`, `more than ${numbers[at - 1]}`, item);
  }
}

function distinctTexts(value: unknown, where: string): void {
  const texts = list(value, where).map((item, i) => text(item, `${where}[${i}]`));
  const seen = new Set(texts);
  if (seen.size !== texts.length)
    wrong(
      where,
      "distinct texts",
      texts.find((item, i) => texts.indexOf(item) !== i),
    );
}
