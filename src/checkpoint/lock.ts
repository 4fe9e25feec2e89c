// One writer per run folder: `run.lock` names its owner. Not a general mutex: nobody waits for it, the second run is refused.
// A lock whose owner is dead is taken over. Two processes may try that at once, so the right to replace one certain lock is
// itself taken exclusively, by a claim named after that lock's nonce.
import { randomBytes } from "node:crypto";
import { link, open, readdir, readFile, rename, rm, stat, unlink, utimes } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { fail } from "../base/index.ts";
import { onDisk, systemCode, writeAll } from "./disk.ts";
import { currentProcess, type Liveness, liveness, type ProcessIdentity } from "./process-identity.ts";

const lockName = "run.lock";
const heartbeatMs = 4_000;

const ownerSchema = z.object({
  pid: z.int().positive(),
  host: z.string(),
  boot: z.string(),
  pidSpace: z.string(),
  started: z.string(),
  nonce: z.string().regex(/^[0-9a-f]{16}$/),
  /** For people. */
  since: z.string(),
});

/** What `run.lock` holds: a process, and a name for this one lock. */
export type LockOwner = ProcessIdentity & Readonly<z.infer<typeof ownerSchema>>;

export interface RunLock {
  readonly path: string;
  readonly held: boolean;
  /** Fails with `run/lock-lost` when the lock on disk is no longer this one: someone deleted or replaced it. */
  check(): Promise<void>;
  /** Gives the folder free. Calling it again does nothing. */
  release(): Promise<void>;
}

export interface LockOptions {
  /** How long an owner on another machine or in another container is watched for a sign of life. Default 20 s. */
  readonly watchMs?: number;
}

/**
 * Takes the one writer's place in a run folder, which must exist. A lock left by `kill -9`, a power cut or a restarted
 * container is taken over.
 * Errors with `run/locked` when another run has it, and with `checkpoint/*` when the disk refuses.
 * @example const lock = await lockRun(folder); try { await train(); } finally { await lock.release(); }
 */
export async function lockRun(runFolder: string, options: LockOptions = {}): Promise<RunLock> {
  const path = join(runFolder, lockName);
  const owner: LockOwner = {
    ...currentProcess(),
    nonce: randomBytes(8).toString("hex"),
    since: new Date().toISOString(),
  };
  return await onDisk("locking the run folder", path, async () => {
    const candidate = join(runFolder, `.${lockName}.${owner.nonce}`);
    try {
      await writeOwner(candidate, owner);
      await acquire(runFolder, candidate, options.watchMs ?? 20_000);
    } finally {
      await rm(candidate, { force: true }).catch(() => undefined);
    }
    await sweep(runFolder).catch(() => undefined);
    return new HeldLock(path, owner.nonce);
  });
}

/** Who has a run folder, and whether that process lives; `undefined` when nobody does. */
export async function readLock(runFolder: string): Promise<{ owner: LockOwner; liveness: Liveness } | undefined> {
  const owner = await readOwner(join(runFolder, lockName));
  return owner === undefined ? undefined : { owner, liveness: liveness(owner) };
}

class HeldLock implements RunLock {
  readonly path: string;
  private readonly nonce: string;
  private readonly heartbeat: NodeJS.Timeout;
  private released = false;

  constructor(path: string, nonce: string) {
    this.path = path;
    this.nonce = nonce;
    // a changing time of change tells watchers who cannot see this process that it lives
    this.heartbeat = setInterval(() => {
      const now = new Date();
      utimes(path, now, now).catch(() => undefined);
    }, heartbeatMs).unref();
  }

  get held(): boolean {
    return !this.released;
  }

  async check(): Promise<void> {
    const owner = await readOwner(this.path);
    if (this.held && owner?.nonce === this.nonce) return;
    fail("run/lock-lost", "this run no longer has its folder", {
      where: this.path,
      expected: "the lock that this run took",
      got: owner === undefined ? "no lock" : describe(owner),
      fix: "do not delete run.lock of a running run; start one run at a time in a folder",
    });
  }

  async release(): Promise<void> {
    if (this.released) return;
    this.released = true;
    clearInterval(this.heartbeat);
    if ((await readOwner(this.path))?.nonce === this.nonce) await rm(this.path, { force: true });
  }
}

async function acquire(runFolder: string, candidate: string, watchMs: number): Promise<void> {
  const path = join(runFolder, lockName);
  for (;;) {
    if (await createAs(candidate, path)) return;
    const holder = await readHolder(path);
    if (holder === undefined) continue; // released this very moment
    await refuseIfAlive(path, holder, watchMs);
    const claims = await claim(runFolder, candidate, holder, watchMs);
    let replaced = false;
    try {
      // only the one with the last claim on this nonce comes here, and only it may replace the lock
      if ((await readHolder(path))?.nonce === holder.nonce) {
        await rename(candidate, path);
        replaced = true;
        return;
      }
    } finally {
      for (const one of replaced ? claims : claims.slice(-1)) await unlink(one);
    }
  }
}

/** Claims the lock of a dead holder, past claims of others who died while they held one. Gives the claims, own one last. */
async function claim(runFolder: string, candidate: string, holder: Holder, watchMs: number): Promise<string[]> {
  const claims: string[] = [];
  for (let dead = holder; ; ) {
    const path = join(runFolder, `.${lockName}.claim-${dead.nonce}`);
    if (await createAs(candidate, path)) return [...claims, path];
    const claimant = await readHolder(path);
    if (claimant === undefined) continue;
    await refuseIfAlive(path, claimant, watchMs);
    claims.push(path);
    dead = claimant;
  }
}

async function refuseIfAlive(path: string, { owner }: Holder, watchMs: number): Promise<void> {
  let state = owner === undefined ? "unknown" : liveness(owner);
  const unseen = state === "unknown";
  if (unseen) state = (await changes(path, watchMs)) ? "alive" : "dead";
  if (state === "dead") return;
  fail("run/locked", "another run is using this folder", {
    where: path,
    got: owner === undefined ? "an empty lock that changes" : describe(owner),
    fix:
      owner === undefined || unseen
        ? "stop that run first, on its own machine or in its own container"
        : `wait for it, stop it (kill ${owner.pid}), or choose another run folder`,
  });
}

/** Whether a file changes or goes away within the time. Compares what is seen, not clocks. */
async function changes(path: string, watchMs: number): Promise<boolean> {
  const look = async () => (await stat(path).catch(() => undefined))?.mtimeMs;
  const first = await look();
  for (const end = performance.now() + watchMs; performance.now() < end; ) {
    await sleep(Math.min(250, watchMs));
    if ((await look()) !== first) return true;
  }
  return false;
}

function describe({ pid, host, since }: LockOwner): string {
  return `process ${pid} on ${host.split("/")[0]}, since ${since}`;
}

/** Puts the candidate's content under `path` if that is free: complete or not at all, which `link` gives and `open` does not. */
async function createAs(candidate: string, path: string): Promise<boolean> {
  try {
    await link(candidate, path);
    return true;
  } catch (error) {
    const code = systemCode(error);
    if (code === "EEXIST") return false;
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(code ?? "")) throw error;
  }
  try {
    await writeText(path, await readFile(candidate, "utf8")); // a file system without links
    return true;
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
    throw error;
  }
}

async function writeOwner(path: string, owner: LockOwner): Promise<void> {
  await writeText(path, `${JSON.stringify(owner)}\n`);
}

async function writeText(path: string, text: string): Promise<void> {
  const handle = await open(path, "wx");
  try {
    await writeAll(handle, Buffer.from(text), 0);
    await handle.sync(); // before it has its name: a power cut shall not leave the name without the words
  } finally {
    await handle.close();
  }
}

/** Whose a lock or claim is. Without an owner: nothing, or zeros, which is what a power cut may leave of a file. */
interface Holder {
  /** The owner's, or the file's own number: as good a name for this one lock as long as it stands. */
  readonly nonce: string;
  readonly owner?: LockOwner;
}

/**
 * As `readOwner`, but an empty lock counts as one whose owner cannot be seen from here, and is watched like that before it is
 * taken over. That is safe: a living owner's is empty only while it is being written, on file systems without links, and
 * from then on the heartbeat touches it.
 */
async function readHolder(path: string): Promise<Holder | undefined> {
  const text = await readLockText(path);
  if (text === undefined) return undefined;
  if (/[^\0]/.test(text)) {
    const owner = decodeOwner(text, path);
    return { nonce: owner.nonce, owner };
  }
  const status = await stat(path).catch(() => undefined);
  return status && { nonce: status.ino.toString(16).padStart(16, "0") };
}

async function readOwner(path: string): Promise<LockOwner | undefined> {
  const text = await readLockText(path);
  return text === undefined ? undefined : decodeOwner(text, path);
}

async function readLockText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

function decodeOwner(text: string, path: string): LockOwner {
  const owner = ownerSchema.safeParse(parseJson(text));
  if (owner.success) return owner.data;
  return fail("run/locked", "the run folder has a lock that names no owner", {
    where: path,
    got: JSON.stringify(text.slice(0, 80)),
    fix: "delete this file if no run is using the folder",
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Removes candidates that dead processes left. Claims stay with the one who made them. */
async function sweep(runFolder: string): Promise<void> {
  for (const name of await readdir(runFolder)) {
    if (!/^\.run\.lock\.[0-9a-f]{16}$/.test(name)) continue;
    const path = join(runFolder, name);
    const owner = await readOwner(path).catch(() => undefined);
    if (owner !== undefined && liveness(owner) === "dead") await rm(path, { force: true });
  }
}
