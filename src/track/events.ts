// What happens in a run, told as data: one type per event, and its one-line form. Not where events go (metrics-log.ts).

/** Free figures by name, such as `{ accuracy: 0.91 }`. */
export type Figures = Readonly<Record<string, number>>;

export interface StartEvent {
  readonly type: "start";
  /** 0, or the step that a resumed run goes on from. */
  readonly step: number;
  readonly parameters: number;
  /** Those that are trained, where not all are. */
  readonly trained?: number;
  /** Planned peak of the memory. */
  readonly peakBytes: number;
  readonly engine: string;
  /** Floating-point operations of one step, as planned. */
  readonly flopsPerStep: number;
}

export interface StepEvent {
  readonly type: "step";
  readonly step: number;
  readonly loss: number;
  readonly lr: number;
  readonly gradNorm: number;
  /** Tokens (or samples, where there are none) since the run's first step. */
  readonly tokens: number;
  /** Rows of the step's batch, where they are not the same in all. */
  readonly rows?: number;
  readonly tokensPerSecond: number;
  readonly metrics?: Figures;
}

export interface EvalEvent {
  readonly type: "eval";
  readonly step: number;
  readonly loss: number;
  readonly perplexity?: number;
  readonly metrics?: Figures;
}

export interface CheckpointEvent {
  readonly type: "checkpoint";
  readonly step: number;
  readonly path: string;
}

export interface SampleEvent {
  readonly type: "sample";
  readonly step: number;
  readonly prompt: string;
  readonly text: string;
}

export interface EndEvent {
  readonly type: "end";
  readonly step: number;
  readonly loss: number;
  readonly evalLoss?: number;
  /** SHA-256 of the final state. */
  readonly hash: string;
  /** What ended the run: steps, tolerance, patience or time. */
  readonly reason?: string;
  /** Share of the steps' time that they waited for data, 0 to 1. */
  readonly stall?: number;
}

export interface ErrorEvent {
  readonly type: "error";
  readonly step: number;
  readonly code: string;
  readonly message: string;
}

/** The watch found something wrong, and the run goes on. */
export interface WarningEvent {
  readonly type: "warning";
  readonly step: number;
  readonly code: string;
  readonly message: string;
}

/** The run went back to a checkpoint; steps after it are made again. */
export interface RollbackEvent {
  readonly type: "rollback";
  /** That of the checkpoint. */
  readonly step: number;
  /** Steps that were done. */
  readonly from: number;
  /** Why. */
  readonly code: string;
  readonly message: string;
}

export type RunEvent =
  | StartEvent
  | StepEvent
  | EvalEvent
  | CheckpointEvent
  | SampleEvent
  | EndEvent
  | ErrorEvent
  | WarningEvent
  | RollbackEvent;

/** An event as it stands in the log. */
export type LoggedEvent = RunEvent & {
  /** Time that the run has worked, over all its pieces, by a clock that never jumps. */
  readonly seconds: number;
};

type Kind = "number" | "string";

/** What must stand in the line of each type, beside `step` and `seconds`. */
const required: Readonly<Record<RunEvent["type"], Readonly<Record<string, Kind>>>> = {
  start: { parameters: "number", peakBytes: "number", flopsPerStep: "number", engine: "string" },
  step: { loss: "number", lr: "number", gradNorm: "number", tokens: "number", tokensPerSecond: "number" },
  eval: { loss: "number" },
  checkpoint: { path: "string" },
  sample: { prompt: "string", text: "string" },
  end: { loss: "number", hash: "string" },
  error: { code: "string", message: "string" },
  warning: { code: "string", message: "string" },
  rollback: { from: "number", code: "string", message: "string" },
};

const nonFinite: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
};
const textFields = new Set(["type", "engine", "path", "prompt", "text", "hash", "code", "message"]);

/** For `JSON.stringify`, which would write NaN as null; a loss that is NaN is just what a log must tell. */
export function plainFigures(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/** One line, newline included. */
export function encodeEvent(event: LoggedEvent): string {
  return `${JSON.stringify(event, plainFigures)}\n`;
}

/** The event of a line, or `undefined` when the line is torn, damaged or of a type that is not known here. */
export function decodeEvent(line: string): LoggedEvent | undefined {
  const row = parseRow(line);
  if (row === undefined) return undefined;
  reviveNumbers(row);
  return isEvent(row) ? row : undefined;
}

function isEvent(row: Record<string, unknown>): row is Record<string, unknown> & LoggedEvent {
  const { type, step, seconds } = row;
  if (typeof type !== "string" || !Object.hasOwn(required, type)) return false;
  if (!Number.isSafeInteger(step) || typeof seconds !== "number") return false;
  return Object.entries(required[type as RunEvent["type"]]).every(([field, kind]) => typeof row[field] === kind);
}

/** The JSON object of a line, whatever it tells. */
export function parseRow(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function reviveNumbers(row: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(row)) {
    if (textFields.has(key)) continue;
    if (typeof value === "string" && Object.hasOwn(nonFinite, value)) row[key] = nonFinite[value];
    else if (typeof value === "object" && value !== null) reviveNumbers(value as Record<string, unknown>);
  }
}
