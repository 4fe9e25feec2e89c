// Which process wrote something, told so that another one can judge later whether it still runs. Not a lock (lock.ts).
// A process id alone is reused within minutes and means nothing after a reboot, so the boot id and the start time go with it.
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

export interface ProcessIdentity {
  readonly pid: number;
  /** Host name and machine id. */
  readonly host: string;
  /** The kernel's id of this boot; empty where the system tells none. */
  readonly boot: string;
  /** The process-id namespace: containers number their processes each from 1. Empty where unknown. */
  readonly pidSpace: string;
  /** Clock ticks from boot to the process's start; empty where unknown. */
  readonly started: string;
}

/** `unknown` when the process belongs to another machine or container, whose processes cannot be seen from here. */
export type Liveness = "alive" | "dead" | "unknown";

let current: ProcessIdentity | undefined;

/** This process. */
export function currentProcess(): ProcessIdentity {
  current ??= {
    pid: process.pid,
    host: `${hostname()}/${readText("/etc/machine-id")}`,
    boot: readText("/proc/sys/kernel/random/boot_id"),
    pidSpace: readPidSpace(),
    started: readStart(process.pid) ?? "",
  };
  return current;
}

/** Whether the process that `identity` names still runs. */
export function liveness(identity: ProcessIdentity): Liveness {
  const here = currentProcess();
  if (identity.boot !== here.boot) return identity.host === here.host ? "dead" : "unknown"; // the machine was started again
  if (identity.pidSpace !== here.pidSpace) return "unknown";
  if (here.boot === "") return identity.host === here.host ? signalLiveness(identity.pid) : "unknown";
  return readStart(identity.pid) === identity.started ? "alive" : "dead";
}

/** Eight characters that are equal when process ids mean the same thing: host, boot and namespace. */
export function processSpace(): string {
  const { host, boot, pidSpace } = currentProcess();
  return createHash("sha256").update(`${host}\n${boot}\n${pidSpace}`).digest("hex").slice(0, 8);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

function readPidSpace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

/** Field 22 of /proc/pid/stat; `undefined` when there is no such process or it is a zombie. */
function readStart(pid: number): string | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name before ')' may hold anything
  return fields.length < 20 || fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

function signalLiveness(pid: number): Liveness {
  try {
    process.kill(pid, 0);
    return "alive";
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH" ? "dead" : "alive";
  }
}
