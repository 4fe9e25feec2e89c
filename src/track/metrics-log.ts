// The log of a run: `metrics.ndjson`, one event a line, only ever appended to while a run works. It must never stop a run:
// after it is open, its troubles are told once and the training goes on. The reader is in metrics-reader.ts.
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { AthanorError, fail } from "../base/index.ts";
import { encodeEvent, parseRow, type RunEvent } from "./events.ts";
import { readLines } from "./lines.ts";

export interface MetricsLogOptions {
  /** On resume from step s: lines of later steps are cut, for the run will write them again. Default: keep all. */
  readonly keepThrough?: number;
  /** Awaited before each write: while it fails (the run's lock is another's by now) nothing is written. */
  readonly guard?: () => Promise<void>;
  /** Called with the first trouble, and at the end when lines were lost (`track/write`). */
  readonly onProblem?: (problem: AthanorError) => void;
  /** How long a line may wait in memory. Default 1000. */
  readonly flushMs?: number;
  /** Lines held back while the disk refuses; past this they are dropped and counted. Default 16 MiB. */
  readonly maxHeldBytes?: number;
}

const newline = 10;

/**
 * Appends events to a run's log. Bytes go to positions that this object keeps account of, so a write that failed half-way
 * is repeated in its place: no line is torn or doubled by a full disk.
 * @example const log = await MetricsLog.open(path, { keepThrough: 200 }); log.append(event); await log.flush(); await log.close();
 */
export class MetricsLog {
  readonly path: string;
  /** Lines that were lost because the disk refused for too long. */
  dropped = 0;
  private readonly handle: FileHandle;
  private readonly guard: () => Promise<void>;
  private readonly onProblem: (problem: AthanorError) => void;
  private readonly maxHeldBytes: number;
  private readonly timer: NodeJS.Timeout;
  private readonly startedAt = performance.now();
  private readonly secondsBefore: number;
  private held: Buffer[] = [];
  private heldBytes = 0;
  private position: number;
  private writing: Promise<void> = Promise.resolve();
  private told = false;
  private closed = false;

  private constructor(path: string, handle: FileHandle, kept: RepairedLog, options: MetricsLogOptions) {
    this.path = path;
    this.handle = handle;
    this.position = kept.bytes;
    this.secondsBefore = kept.seconds;
    this.guard = options.guard ?? (async () => undefined);
    this.onProblem = options.onProblem ?? (() => undefined);
    this.maxHeldBytes = options.maxHeldBytes ?? 16 * 1024 * 1024;
    this.timer = setInterval(() => void this.flush(), options.flushMs ?? 1000).unref();
  }

  /** Repairs what is there, or begins a new log. Errors with `track/open`. */
  static async open(path: string, options: MetricsLogOptions = {}): Promise<MetricsLog> {
    try {
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT); // not to append: that would ignore positions
      try {
        if (!(await handle.stat()).isFile()) throw new Error("not a plain file");
        return new MetricsLog(path, handle, await repairLog(path, handle, options.keepThrough), options);
      } catch (error) {
        await handle.close();
        throw error;
      }
    } catch (cause) {
      return fail("track/open", "the run's log cannot be opened", {
        where: path,
        got: cause instanceof Error ? cause.message : String(cause),
        fix: "choose a run folder that can be written",
        cause,
      });
    }
  }

  /** Seconds that the run has worked, over all its pieces. */
  get seconds(): number {
    return this.secondsBefore + (performance.now() - this.startedAt) / 1000;
  }

  /** Takes an event. Never throws and never waits. */
  append(event: RunEvent): void {
    const line = Buffer.from(encodeEvent({ ...event, seconds: Math.round(this.seconds * 1000) / 1000 }));
    if (this.closed || this.heldBytes + line.length > this.maxHeldBytes) {
      this.dropped++;
      return;
    }
    this.held.push(line);
    this.heldBytes += line.length;
  }

  /**
   * Writes what is held. With `durable` it is fsynced too: call that before a checkpoint is saved, for on resume lines up
   * to its step are taken to be there. Never throws.
   */
  async flush(options: { durable?: boolean } = {}): Promise<void> {
    this.writing = this.writing.then(() => this.write(options.durable === true));
    await this.writing;
  }

  /** Flushes, fsyncs and closes; tells how many lines were lost. Never throws. */
  async close(): Promise<void> {
    if (this.closed) return;
    clearInterval(this.timer);
    await this.flush({ durable: true });
    this.closed = true;
    await this.handle.close().catch((error) => this.tell(error));
    const lost = this.dropped + Buffer.concat(this.held).filter((byte) => byte === newline).length;
    if (lost > 0)
      this.onProblem(new AthanorError("track/write", `${lost} lines of the run's log are lost`, { where: this.path }));
  }

  private async write(durable: boolean): Promise<void> {
    if (this.closed) return;
    const bytes = Buffer.concat(this.held);
    let done = 0;
    this.held = [];
    try {
      await this.guard();
      while (done < bytes.length) {
        const { bytesWritten } = await this.handle.write(bytes, done, bytes.length - done, this.position);
        if (bytesWritten <= 0) throw new Error("EIO: a write wrote nothing");
        done += bytesWritten;
        this.position += bytesWritten;
      }
      if (durable) await this.handle.datasync();
    } catch (error) {
      this.tell(error);
    }
    if (done < bytes.length) this.held.unshift(bytes.subarray(done));
    this.heldBytes -= done;
  }

  private tell(cause: unknown): void {
    if (this.told) return;
    this.told = true;
    this.onProblem(
      new AthanorError("track/write", "the run's log cannot be written; the run goes on", {
        where: this.path,
        got: cause instanceof Error ? cause.message : String(cause),
        fix: "free space or mend the disk: lines are held in memory and written when it works again",
        cause,
      }),
    );
  }
}

interface RepairedLog {
  /** Length of what was kept. */
  readonly bytes: number;
  /** Clock of the last kept event. */
  readonly seconds: number;
}

/**
 * Cuts a torn last line, and everything from the first line of a step after `keepThrough`. A last line that is whole but
 * for its newline gets that. Lines in the middle that tell nothing are left as they are.
 */
async function repairLog(
  path: string,
  handle: FileHandle,
  keepThrough = Number.POSITIVE_INFINITY,
): Promise<RepairedLog> {
  let bytes = 0;
  let seconds = 0;
  let terminated = true;
  for await (const line of readLines(path)) {
    const row = line.text === undefined ? undefined : parseRow(line.text);
    if (!line.terminated && row === undefined) break;
    if (typeof row?.step === "number" && row.step > keepThrough) break;
    if (typeof row?.seconds === "number") seconds = row.seconds;
    bytes = line.end;
    terminated = line.terminated;
  }
  await handle.truncate(bytes);
  if (!terminated) {
    await handle.write("\n", bytes);
    bytes++;
  }
  await handle.sync();
  return { bytes, seconds };
}
