// athanor doctor: what is there, what is missing, and the command that mends it.
import { accessSync, constants } from "node:fs";
import { cpus, freemem, totalmem } from "node:os";
import pc from "picocolors";
import { measureMatmul } from "../../api/index.ts";
import { formatBytes, formatCount } from "../../base/index.ts";
import { formatThreads, loadNativeEngine } from "../../engine/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { exitCodes } from "../output.ts";

interface Finding {
  readonly name: string;
  readonly ok: boolean;
  readonly value: string;
  readonly fix?: string;
}

export const defineDoctor: DefineCommand = (program, run) => {
  program.command("doctor").description("check engine, processor, memory and folder").action(run(doctor));
};

async function doctor({ output }: CommandContext): Promise<number> {
  const findings = [nodeVersion(), await nativeEngine(), processor(), memory(), folder()];
  output.record({ findings });
  for (const { name, ok, value, fix } of findings) {
    output.print(`${ok ? pc.green("ok     ") : pc.yellow("missing")} ${name.padEnd(14)} ${value}`);
    if (fix !== undefined) output.print(`        ${" ".repeat(14)} ${pc.bold(fix)}`);
  }
  return findings.every(({ ok }) => ok) ? exitCodes.done : exitCodes.failed;
}

function nodeVersion(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const ok = major > 20 || (major === 20 && minor >= 19);
  return { name: "node", ok, value: process.versions.node, ...(ok ? {} : { fix: "install Node 20.19 or newer" }) };
}

async function nativeEngine(): Promise<Finding> {
  const { engine, reason } = loadNativeEngine({});
  if (engine === undefined) return { name: "native engine", ok: false, value: reason, fix: "npx athanor engine build" };
  const rate = await measureMatmul(engine, 768);
  return {
    name: "native engine",
    ok: true,
    value: `${engine.isa}, ${formatThreads(engine.threads)}, ${formatCount(rate)}FLOP/s in matrix products`,
  };
}

function processor(): Finding {
  const list = cpus();
  return { name: "processor", ok: true, value: `${list.length} × ${list[0]?.model.trim() ?? "unknown"}` };
}

function memory(): Finding {
  return { name: "memory", ok: true, value: `${formatBytes(freemem())} free of ${formatBytes(totalmem())}` };
}

function folder(): Finding {
  try {
    accessSync(process.cwd(), constants.W_OK);
    return { name: "folder", ok: true, value: `${process.cwd()} can be written` };
  } catch {
    return {
      name: "folder",
      ok: false,
      value: `${process.cwd()} cannot be written`,
      fix: "go to a folder of your own, or give --run-dir",
    };
  }
}
