// A file that is whole or not there: written beside its place under a fixed name, synced and renamed. What the disk refuses is an error that
// says how to go on.
import { createHash } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { fail } from "../base/index.ts";

/** Ending of files that are not finished; those of a killed process are written over. */
export const partialEnding = ".partial";

export class OutputFile {
  /** Written so far. */
  bytes = 0;
  private readonly path: string;
  private readonly hash = createHash("sha256");
  private handle: FileHandle | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** Writes a file at once. Errors with `data/output`. */
  static async write(path: string, text: string): Promise<void> {
    const file = new OutputFile(path);
    await file.append(Buffer.from(text));
    await file.finish();
  }

  async append(bytes: Uint8Array): Promise<void> {
    await this.onDisk(async () => {
      this.handle ??= await open(this.path + partialEnding, "w");
      await this.handle.appendFile(bytes);
    });
    this.hash.update(bytes);
    this.bytes += bytes.length;
  }

  /** The file is at its path from now on, also after a power cut. */
  async finish(): Promise<{ bytes: number; sha256: string }> {
    await this.onDisk(async () => {
      await this.handle!.sync();
      await this.handle!.close();
      await rename(this.path + partialEnding, this.path);
      const folder = await open(dirname(this.path), "r");
      await folder.sync().finally(() => folder.close());
    });
    return { bytes: this.bytes, sha256: this.hash.digest("hex") };
  }

  /** Leaves nothing behind. */
  async abort(): Promise<void> {
    await this.handle?.close().catch(() => {});
    await rm(this.path + partialEnding, { force: true });
  }

  private async onDisk(work: () => Promise<void>): Promise<void> {
    await work().catch(async (cause: NodeJS.ErrnoException) => {
      await this.abort();
      fail("data/output", "the tokens cannot be written", {
        where: this.path,
        expected: "a folder that can be written, with room for the tokens",
        got: cause.code ?? String(cause),
        fix: "make room, then give the same command again: it goes on with this shard",
        cause,
      });
    });
  }
}
