// The journal of a search: one JSON line for each event, on disk before what it tells is done. A search is the fold of its
// journal, so that it can be cut off anywhere. A torn last line is what a kill leaves, and is cut; any other damage is an error.
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { fail } from "../../base/index.ts";
import { onDisk, syncFolder, writeAll } from "../../checkpoint/index.ts";
import { readLines } from "../../track/index.ts";
import { planSchema } from "./plan.ts";
import type { TrialEvent } from "./trials.ts";

export const journalName = "journal.ndjson";
const version = 1;

const count = z.number().int().nonnegative();
const point = z.record(z.string(), z.json());

const headSchema = z.object({
  event: z.literal("search"),
  version: z.literal(version),
  at: z.string(),
  plan: planSchema,
  /** Folder that paths in changes are relative to. */
  cwd: z.string(),
  /** The first recipe, as JSON: a recipe file that was changed since is another search. */
  first: z.unknown(),
});

const eventSchema = z.discriminatedUnion("event", [
  z.object({
    event: z.literal("start"),
    trial: count,
    until: count,
    point: point.optional(),
    parent: z.object({ trial: count, step: count }).optional(),
    replaces: count.optional(),
  }),
  z.object({ event: z.literal("report"), trial: count, step: count, value: z.number(), seconds: z.number() }),
  z.object({ event: z.literal("fail"), trial: count, code: z.string(), message: z.string() }),
]);

export type JournalHead = Omit<z.infer<typeof headSchema>, "event" | "version">;

interface OpenFile {
  readonly handle: FileHandle;
  readonly end: number;
}

export class Journal {
  readonly head: JournalHead;
  readonly events: readonly TrialEvent[];
  private readonly path: string;
  private readonly handle: FileHandle;
  private position: number;
  private writing: Promise<void> = Promise.resolve();

  private constructor(path: string, head: JournalHead, events: readonly TrialEvent[], file: OpenFile) {
    this.path = path;
    this.head = head;
    this.events = events;
    this.handle = file.handle;
    this.position = file.end;
  }

  static async create(path: string, head: JournalHead): Promise<Journal> {
    const journal = new Journal(path, head, [], { handle: await open(path, "wx"), end: 0 });
    await journal.write({ event: "search", version, ...head });
    await syncFolder(dirname(path));
    return journal;
  }

  /** Reads a journal to go on with it. Errors with `search/journal`, `search/missing`. */
  static async open(path: string): Promise<Journal> {
    const handle = await open(path, constants.O_RDWR).catch((cause: Error) =>
      fail("search/missing", "there is no search here", {
        where: path,
        expected: `the folder of a search, with its ${journalName}`,
        got: cause.message,
        fix: "give the folder that the search printed when it began",
        cause,
      }),
    );
    try {
      const rows: unknown[] = [];
      let end = 0;
      for await (const line of readLines(path)) {
        if (!line.terminated) break;
        rows.push(parseLine(line.text, path, rows.length + 1));
        end = line.end;
      }
      await handle.truncate(end);
      const [first, ...rest] = rows;
      const head = check(headSchema, first, path, 1);
      const events = rest.map((row, at) => check(eventSchema, row, path, at + 2) as TrialEvent);
      return new Journal(path, head, events, { handle, end });
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** On disk when it returns. Errors with `checkpoint/no-space` and the like. */
  async append(event: TrialEvent): Promise<void> {
    await this.write(event);
  }

  async close(): Promise<void> {
    await this.writing.catch(() => undefined); // told where it was written
    await this.handle.close();
  }

  private async write(row: object): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(row)}\n`);
    const { position } = this;
    this.position += bytes.length;
    this.writing = this.writing.then(() =>
      onDisk("writing the journal", this.path, async () => {
        await writeAll(this.handle, bytes, position);
        await this.handle.datasync();
      }),
    );
    await this.writing;
  }
}

function parseLine(text: string | undefined, path: string, line: number): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return damaged(path, line, (text ?? "a line that is too long").slice(0, 80));
  }
}

function check<S extends z.ZodType>(schema: S, row: unknown, path: string, line: number): z.output<S> {
  const read = schema.safeParse(row);
  return read.success ? read.data : damaged(path, line, JSON.stringify(row)?.slice(0, 80) ?? "nothing");
}

function damaged(path: string, line: number, got: string): never {
  return fail("search/journal", "the journal of the search is damaged", {
    where: `${path}:${line}`,
    expected: "an event of this version",
    got,
    fix: "restore it from a copy; its trials are runs, each in a folder of its own",
  });
}
