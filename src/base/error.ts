// The one error class: five fields as data, one renderer. Not a place for sentences of single features.
// A code is stable (`shape/matmul-inner`); `internal/*` means the fault is ours, everything else the caller can mend.

/** What an error says, field by field. `where` is a module path and, when known, the user's source line. */
export interface ErrorFields {
  readonly where?: string;
  readonly expected?: string;
  readonly got?: string;
  readonly fix?: string;
  readonly cause?: unknown;
}

/** Every error that Athanor throws on purpose. `message` is the rendered text; the fields stay readable as data. */
export class AthanorError extends Error {
  readonly code: string;
  readonly what: string;
  readonly where: string | undefined;
  readonly expected: string | undefined;
  readonly got: string | undefined;
  readonly fix: string | undefined;

  constructor(code: string, what: string, fields: ErrorFields = {}) {
    super(renderError(code, what, fields), fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = "AthanorError";
    this.code = code;
    this.what = what;
    this.where = fields.where === "" ? undefined : fields.where;
    this.expected = fields.expected;
    this.got = fields.got;
    this.fix = fields.fix;
  }

  /** The same error told with a place, when it knew none. */
  at(where: string): AthanorError {
    return this.where === undefined ? this.with({ where }) : this;
  }

  /** The same error with other fields; its cause and frames stay those of the fault, not of whoever tells it. */
  with(fields: ErrorFields): AthanorError {
    const told = new AthanorError(this.code, this.what, { ...definedFields(this), ...fields });
    if (this.stack !== undefined) told.stack = this.stack.replace(this.message, () => told.message);
    return told;
  }

  toJSON(): Record<string, string | undefined> {
    const { code, what, where, expected, got, fix } = this;
    return { code, what, where, expected, got, fix };
  }
}

function definedFields(error: AthanorError): ErrorFields {
  const fields: { -readonly [Field in keyof ErrorFields]: ErrorFields[Field] } = {};
  if (error.where !== undefined) fields.where = error.where;
  if (error.expected !== undefined) fields.expected = error.expected;
  if (error.got !== undefined) fields.got = error.got;
  if (error.fix !== undefined) fields.fix = error.fix;
  if (error.cause !== undefined) fields.cause = error.cause;
  return fields;
}

/** Renders the five fields; the label column is fixed so that terminals and snapshots read alike. */
export function renderError(code: string, what: string, fields: ErrorFields): string {
  const lines = [`[${code}] ${what}`];
  if (fields.where !== undefined && fields.where !== "") lines.push(`  at        ${indent(fields.where)}`);
  if (fields.expected !== undefined) lines.push(`  expected  ${indent(fields.expected)}`);
  if (fields.got !== undefined) lines.push(`  got       ${indent(fields.got)}`);
  if (fields.fix !== undefined) lines.push(`  fix       ${indent(fields.fix)}`);
  return lines.join("\n");
}

function indent(text: string): string {
  return text.replaceAll("\n", "\n            ");
}

/** Throws an `AthanorError`. Returns `never`, so it can stand where a value is expected. */
export function fail(code: string, what: string, fields: ErrorFields = {}): never {
  // The user's own line lies under the frames of a method, a function, an op and its shape rule: the usual 10 are too few.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 40;
  try {
    throw new AthanorError(code, what, fields);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** For what only a bug of ours can reach. */
export function unreachable(what: string): never {
  throw new AthanorError("internal/unreachable", what, { fix: "this is a fault in Athanor: please report it" });
}

/**
 * The candidate nearest to `word`, for "did you mean". Case apart, at most a third of the letters may differ; from four
 * letters on always two, since an exchange of neighbours counts as two.
 */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  const allowed = word.length < 4 ? Math.floor(word.length / 3) : Math.max(2, Math.floor(word.length / 3));
  let best: string | undefined;
  let bestDistance = allowed + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(previous[j]! + 1, current[j - 1]! + 1, substitution));
    }
    previous = current;
  }
  return previous[b.length]!;
}
