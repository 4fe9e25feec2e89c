// What a run ran on, for the record: enough to tell why two runs differ. Reads no environment variable.
import { readFile } from "node:fs/promises";
import { arch, cpus, platform, release, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";

export interface Environment {
  readonly athanor: string;
  readonly node: string;
  readonly os: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** The kernels' instruction-set path. */
  readonly isa: string;
  readonly threads: number;
  /** Commit of the repository that the run was started in, if it is one. */
  readonly gitCommit?: string;
}

/**
 * Describes this machine and process.
 * @param options what only the caller knows; `folder` is where a git repository is looked for, upwards
 */
export async function describeEnvironment(options: {
  readonly athanor: string;
  readonly isa: string;
  readonly threads: number;
  readonly folder?: string;
}): Promise<Environment> {
  const { athanor, isa, threads, folder } = options;
  const processors = cpus();
  const gitCommit = folder === undefined ? undefined : await findCommit(folder);
  return {
    athanor,
    node: process.versions.node,
    os: `${platform()} ${release()} ${arch()}`,
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryBytes: totalmem(),
    isa,
    threads,
    ...(gitCommit === undefined ? {} : { gitCommit }),
  };
}

/** The commit that HEAD names in the repository around `folder`, read from git's own files. */
export async function findCommit(folder: string): Promise<string | undefined> {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const git = await gitFolder(join(at, ".git"));
    if (git !== undefined) return await readHead(git);
    if (dirname(at) === at) return undefined;
  }
}

/** `.git` itself, or the folder that it points to in a linked work tree. */
async function gitFolder(path: string): Promise<string | undefined> {
  if ((await readText(join(path, "HEAD"))) !== undefined) return path;
  const pointer = /^gitdir: (.+)$/m.exec((await readText(path)) ?? "");
  return pointer === null ? undefined : resolve(dirname(path), pointer[1]!);
}

async function readHead(git: string): Promise<string | undefined> {
  const head = (await readText(join(git, "HEAD"))) ?? "";
  const reference = /^ref: (\S+)$/m.exec(head)?.[1];
  if (reference === undefined) return commitIn(head);
  const common = resolve(git, ((await readText(join(git, "commondir"))) ?? ".").trim());
  const loose = (await readText(join(git, reference))) ?? (await readText(join(common, reference)));
  if (loose !== undefined) return commitIn(loose);
  const packed = (await readText(join(common, "packed-refs"))) ?? "";
  return commitIn(packed.split("\n").find((line) => line.endsWith(` ${reference}`)) ?? "");
}

function commitIn(text: string): string | undefined {
  return /^([0-9a-f]{64}|[0-9a-f]{40})\b/.exec(text)?.[1];
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return undefined;
  }
}
