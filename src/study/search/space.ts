// The space of a search: which settings of a recipe are tried, and over what. Draws nothing: that is for samplers.
import { fail } from "../../base/index.ts";
import { yaml } from "../../recipe/index.ts";

/** A value as a recipe may hold it. */
export type SettingValue = null | boolean | number | string | SettingValue[] | { [key: string]: SettingValue };

/** Some values, or all numbers between two ends, both included. `whole`: integers alone. `log`: even in the logarithm. */
export type Domain =
  | { readonly kind: "choice"; readonly values: readonly SettingValue[] }
  | {
      readonly kind: "range";
      readonly low: number;
      readonly high: number;
      readonly log: boolean;
      readonly whole: boolean;
    };

/** Domains by the dotted keys that `--set` takes, such as `optimizer.adamw.lr`. */
export type Space = ReadonlyMap<string, Domain>;

/** A value for each key of a space. */
export type Point = { readonly [key: string]: SettingValue };

const number = "[-+]?(?:\\d+\\.?\\d*|\\.\\d+)(?:[eE][-+]?\\d+)?";
const rangePattern = new RegExp(`^(log:)?(${number})\\.\\.(${number})$`);
const syntax = "values such as 64,128,256, or a range such as 0.0..0.5, 16..64 (whole numbers) or log:1e-4..1e-1";

/** Domains by key, each a list of values or text as `--over` takes it. Errors with `config/over`. */
export function parseSpace(over: { readonly [key: string]: unknown }): Space {
  const space = new Map(Object.entries(over).map(([key, value]) => [key, parseDomain(key, value)]));
  if (space.size === 0)
    fail("config/over", "the search has nothing to try", {
      where: "over",
      expected: `at least one setting, with ${syntax}`,
      got: "none",
      fix: "give --over optimizer.adamw.lr=log:1e-4..1e-1",
    });
  return space;
}

/** `key=domain` cut in two. Errors with `config/over`. */
export function parseOver(text: string): [key: string, domain: string] {
  const equals = text.indexOf("=");
  if (equals > 0 && equals < text.length - 1) return [text.slice(0, equals), text.slice(equals + 1)];
  return fail("config/over", "not a setting and its values", {
    where: `--over ${text}`,
    expected: `key=${syntax}`,
    got: text,
    fix: "give --over optimizer.adamw.lr=log:1e-4..1e-1",
  });
}

function parseDomain(key: string, value: unknown): Domain {
  const where = `over ${key}`;
  const refuse = (what: string, got: string): never => fail("config/over", what, { where, expected: syntax, got });
  const [, log, lowText, highText] = (typeof value === "string" && rangePattern.exec(value)) || [];
  if (lowText !== undefined && highText !== undefined) {
    const [low, high] = [Number(lowText), Number(highText)];
    const whole = [lowText, highText].every((text) => /^[-+]?\d+$/.test(text));
    if (!(low < high)) refuse("a range has its lower end first", String(value));
    if (log !== undefined && low <= 0) refuse("a range that is even in the logarithm lies above 0", String(value));
    return { kind: "range", low, high, log: log !== undefined, whole };
  }
  const values = typeof value === "string" ? parseList(value) : value;
  if (!Array.isArray(values) || values.length === 0) return refuse("these are no values to try", JSON.stringify(value));
  const texts = values.map((one) => JSON.stringify(one));
  if (new Set(texts).size < texts.length) refuse("a value stands there twice", texts.join(", "));
  return { kind: "choice", values: values as SettingValue[] };
}

/** `64,128,256` as YAML reads it between brackets, or `undefined`. */
function parseList(text: string): unknown {
  const document = yaml().parseDocument(`[${text}]`);
  return document.errors.length > 0 ? undefined : document.toJS();
}

/** The changes of a recipe that a point means, as `--set` takes them. */
export function changesOf(point: Point): string[] {
  return Object.entries(point).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
}

/** A value's place on its domain's own line: the index of a choice, a number or its logarithm. */
export function placeOf(domain: Domain, value: SettingValue): number {
  if (domain.kind === "choice") return domain.values.findIndex((one) => JSON.stringify(one) === JSON.stringify(value));
  return domain.log ? Math.log(Number(value)) : Number(value);
}

/** The ends of that line; whole numbers have half a step beyond, so that each has as much room as any. */
export function endsOf(domain: Domain): [low: number, high: number] {
  if (domain.kind === "choice") return [0, domain.values.length - 1];
  const beyond = domain.whole ? 0.5 : 0;
  return [domain.low - beyond, domain.high + beyond].map((end) => (domain.log ? Math.log(end) : end)) as [
    number,
    number,
  ];
}

/** The value at a place: numbers within the range, rounded to whole ones or to about a ten-thousandth of the range. */
export function valueAt(domain: Domain, place: number): SettingValue {
  if (domain.kind === "choice") return domain.values[Math.round(place)]!;
  const value = domain.log ? Math.exp(place) : place;
  const [low, high] = endsOf(domain);
  const fine = (high - low) * 1e-4 * (domain.log ? value : 1);
  const unit = domain.whole ? 1 : 10 ** Math.floor(Math.log10(fine));
  const rounded = Number((Math.round(value / unit) * unit).toPrecision(12));
  return Math.min(domain.high, Math.max(domain.low, rounded));
}

/** The values whose every combination shows the space's edges: all choices, both ends of a range. */
export function edgesOf(domain: Domain): readonly SettingValue[] {
  return domain.kind === "choice" ? domain.values : [domain.low, domain.high];
}

/** Every combination of some values for each key, the last key changing fastest. */
export function* combinations(values: ReadonlyMap<string, readonly SettingValue[]>): Generator<Point> {
  const keys = [...values.keys()];
  const counts = keys.map((key) => values.get(key)!.length);
  const total = counts.reduce((product, count) => product * count, 1);
  for (let index = 0; index < total; index++) {
    let rest = index;
    const entries = keys.map((key, at): [string, SettingValue] => {
      const stride = counts.slice(at + 1).reduce((product, count) => product * count, 1);
      const value = values.get(key)![Math.floor(rest / stride)]!;
      rest %= stride;
      return [key, value];
    });
    yield Object.fromEntries(entries);
  }
}
