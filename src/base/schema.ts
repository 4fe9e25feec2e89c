// Configuration from outside: parsing a value by a zod schema, with every problem told at once. Holds no schema of its own.
import { z } from "zod";
import { didYouMean, fail } from "./error.ts";

/** One thing wrong with a configuration. `path` is `optimizer.adamw.lr`, or "" for the whole value. */
export interface ConfigProblem {
  readonly path: string;
  readonly message: string;
}

/**
 * The value as `schema` reads it, defaults filled in. Errors with `config/invalid`, listing all problems; a key that is not
 * known is told with the nearest that is.
 *
 * @example
 * ```ts
 * import { z } from "zod";
 * import { parseConfig } from "athanor";
 * const { size } = parseConfig(z.strictObject({ size: z.number() }), { size: 3 }, "batch");
 * ```
 */
export function parseConfig<S extends z.ZodType>(schema: S, value: unknown, where: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = configProblems(schema, value, result.error.issues);
  return fail(
    "config/invalid",
    problems.length === 1 ? "a setting is wrong" : `${problems.length} settings are wrong`,
    {
      where,
      got: problems.map(({ path, message }) => `${path === "" ? "(the whole)" : path}: ${message}`).join("\n"),
      fix: "mend what is listed; nothing has been started",
    },
  );
}

/** A zod error's issues as flat problems with dotted paths. */
export function configProblems(
  schema: z.ZodType,
  value: unknown,
  issues: readonly z.core.$ZodIssue[],
): ConfigProblem[] {
  return issues.flatMap((issue) => explain(schema, value, issue, []));
}

type Path = readonly PropertyKey[];

function explain(schema: z.ZodType, value: unknown, issue: z.core.$ZodIssue, above: Path): ConfigProblem[] {
  const path = [...above, ...issue.path];
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    // The branch that the value was meant for: the one whose problems lie deepest, not "expected number, got object".
    const branches = issue.errors.filter((branch) => !branch.some(isWrongKind));
    const chosen = branches.length === 1 ? branches[0]! : undefined;
    if (chosen !== undefined) return chosen.flatMap((inner) => explain(schema, value, inner, path));
    const wanted = [...new Set(issue.errors.flat().map(wantedKind))].filter((one) => one !== undefined);
    return [{ path: path.join("."), message: `expected ${wanted.join(" or ")}, got ${shown(at(value, path))}` }];
  }
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(schema, path);
    return issue.keys.map((key) => {
      const near = didYouMean(key, known);
      const hint =
        near === undefined ? (known.length > 0 ? `; known: ${known.join(", ")}` : "") : `; did you mean ${near}?`;
      return { path: [...path, key].join("."), message: `unknown key${hint}` };
    });
  }
  const actual = at(value, path);
  const told = messageOf(issue);
  const wantsObject = issue.code === "invalid_type" && issue.expected === "object" && told === "expected object";
  const message =
    actual === undefined && issue.code === "invalid_type"
      ? `missing; ${told}`
      : `${told}, got ${shown(actual)}${wantsObject ? exampleOf(schema, path, actual) : ""}`;
  return [{ path: path.join("."), message: issue.code === "custom" ? issue.message : message }];
}

/** How a plain value is written where an object belongs: under the first key that takes it. */
function exampleOf(schema: z.ZodType, path: Path, value: unknown): string {
  const keys = objectsAt(schema, path).flatMap(({ shape }) => Object.entries(shape as z.core.$ZodLooseShape));
  const takers = keys.filter(([, inner]) => z.safeParse(inner, value).success).map(([key]) => key);
  const taker = typeof value === "string" && takers.length > 1 ? undefined : takers[0]; // a text fits too many
  if (taker !== undefined && path.length > 0) return `; such as ${String(path.at(-1))}: { ${taker}: ${shown(value)} }`;
  return keys.length === 0 ? "" : `; known: ${keys.map(([key]) => key).join(", ")}`;
}

function messageOf(issue: z.core.$ZodIssue): string {
  if (issue.code === "too_small" && issue.origin === "number")
    return `must be ${issue.inclusive ? "at least" : "greater than"} ${issue.minimum}`;
  if (issue.code === "too_big" && issue.origin === "number")
    return `must be ${issue.inclusive ? "at most" : "less than"} ${issue.maximum}`;
  if (issue.code === "too_small" && issue.origin === "array") return `must have at least ${issue.minimum} entries`;
  if (issue.code === "too_small" && issue.origin === "string" && issue.minimum === 1) return "must not be empty";
  return issue.message
    .replace(/^Invalid (input|option|value): /, "")
    .replace(/, received .*$/, "")
    .replace("expected int", "expected a whole number");
}

/** True for "expected a number, got an object" at the union itself. */
function isWrongKind(issue: z.core.$ZodIssue): boolean {
  return issue.path.length === 0 && (issue.code === "invalid_type" || issue.code === "invalid_value");
}

function wantedKind(issue: z.core.$ZodIssue): string | undefined {
  if (issue.path.length > 0) return undefined;
  if (issue.code === "invalid_type") return issue.expected === "int" ? "a whole number" : issue.expected;
  if (issue.code === "invalid_value") return issue.values.map((one) => JSON.stringify(one)).join(" or ");
  return undefined;
}

/** What was written at a path; a number, or a word that is no choice's name, may stand for a key inside of it, as `batch: 0` does. */
function at(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inner, key) => {
    if (typeof inner === "number" || (typeof inner === "string" && inner !== key)) return inner;
    return (inner as Record<PropertyKey, unknown> | undefined)?.[key];
  }, value);
}

function shown(value: unknown): string {
  if (typeof value === "number") return String(value); // JSON would write NaN as null
  return JSON.stringify(value)?.slice(0, 60) ?? typeof value;
}

/** Known keys of the object that a schema describes at a path. */
function keysAt(schema: z.core.$ZodType, path: Path): string[] {
  return [...new Set(objectsAt(schema, path).flatMap((object) => Object.keys(object.shape)))];
}

function objectsAt(schema: z.core.$ZodType, path: Path): z.ZodObject[] {
  const objects = (one: z.core.$ZodType): z.ZodObject[] => {
    if (one instanceof z.ZodObject) return [one];
    if (one instanceof z.ZodUnion) return one.options.flatMap(objects);
    if (one instanceof z.ZodPipe) return [...objects(one.in), ...objects(one.out)]; // preprocess has its object behind it
    if (
      one instanceof z.ZodOptional ||
      one instanceof z.ZodDefault ||
      one instanceof z.ZodNullable ||
      one instanceof z.ZodPrefault
    )
      return objects(one.unwrap());
    return [];
  };
  let found = objects(schema);
  for (const key of path)
    found = found.flatMap((object) => (object.shape[String(key)] ? objects(object.shape[String(key)]!) : []));
  return found;
}

/** The names that there are, and the one that was meant: by its letters, or by its initials, as `mse` is meanSquaredError. */
function noSuchChoice(given: string, names: readonly string[]): string {
  const initials = (name: string) => name.replace(/(?<!^)[^A-Z]/g, "").toLowerCase();
  const near = didYouMean(given, names) ?? names.find((name) => initials(name) === given.toLowerCase());
  return `expected one of ${names.join(", ")}${near === undefined ? "" : ` (did you mean ${near}?)`}`;
}

/**
 * The schema of a choice written as `{ name: options }`, such as `{ adamw: { lr: 1e-3 } }`: exactly one key.
 * A name alone, `adamw`, stands for `{ adamw: {} }`. `elsewhere` says of other names where that is found.
 */
export function oneOf<const Choices extends Record<string, z.ZodType>>(
  choices: Choices,
  elsewhere: { readonly [name: string]: string } = {},
) {
  const names = Object.keys(choices);
  const shape = Object.fromEntries(Object.entries(choices).map(([name, schema]) => [name, schema.optional()]));
  const choice = z.strictObject(shape as { [K in keyof Choices]: z.ZodOptional<Choices[K]> }, {
    error: ({ code, input }) =>
      code === "invalid_type" && typeof input === "string" ? noSuchChoice(input, names) : undefined,
  });
  return z.preprocess(
    (value, { addIssue }) => {
      const given = typeof value === "string" ? [value] : Object.keys(value ?? {});
      for (const name of given)
        if (Object.hasOwn(elsewhere, name)) addIssue({ code: "custom", message: elsewhere[name]!, input: value });
      return typeof value === "string" && names.includes(value) ? { [value]: {} } : value;
    },
    choice.check((context) => {
      const given = Object.keys(context.value).filter(
        (name) => context.value[name as keyof typeof context.value] !== undefined,
      );
      if (given.length !== 1 && context.issues.length === 0) {
        context.issues.push({
          code: "custom",
          input: context.value,
          message: `expected exactly one of ${names.join(", ")}, got ${given.join(" and ") || "none"}`,
        });
      }
    }),
  );
}
