// Reading a run's log, also while it is being written. Never changes it.
import { join } from "node:path";
import { decodeEvent, type LoggedEvent, type RunEvent } from "./events.ts";
import { readLines } from "./lines.ts";

export const metricsName = "metrics.ndjson";

export interface ReadMetricsOptions {
  /** Called for each line that tells no event: damaged, of a newer version, or a torn last one. */
  readonly onSkipped?: (line: { readonly number: number; readonly torn: boolean }) => void;
}

/**
 * Streams the events of a run in order, with bounded memory. A run without a log has none.
 * @example for await (const event of readMetrics(folder)) if (event.type === "step") plot(event.step, event.loss);
 */
export async function* readMetrics(runFolder: string, options: ReadMetricsOptions = {}): AsyncGenerator<LoggedEvent> {
  let number = 0;
  try {
    for await (const line of readLines(join(runFolder, metricsName))) {
      number++;
      const event = line.text === undefined ? undefined : decodeEvent(line.text);
      if (event !== undefined) yield event;
      else options.onSkipped?.({ number, torn: !line.terminated });
    }
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

/** All events of one type. */
export async function readEvents<T extends RunEvent["type"]>(
  runFolder: string,
  type: T,
): Promise<Extract<LoggedEvent, { type: T }>[]> {
  const events: Extract<LoggedEvent, { type: T }>[] = [];
  for await (const event of readMetrics(runFolder)) if (isOfType(event, type)) events.push(event);
  return events;
}

function isOfType<T extends RunEvent["type"]>(event: LoggedEvent, type: T): event is Extract<LoggedEvent, { type: T }> {
  return event.type === type;
}
