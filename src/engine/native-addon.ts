// Finds and loads the native addon, and says in types what native/addon.cc offers. Not the engine: native.ts is.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { DType } from "../base/index.ts";
import type { Part } from "./engine.ts";

/** A variable as the addon declares it. */
export interface AddonVariable {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export interface AddonInfo {
  readonly isa: "portable" | "avx2" | "avx512" | "avx512bf16";
  readonly threads: number;
  readonly cpuFeatures: readonly string[];
  /** Bytes of variables, constants, arenas, workspaces and staging: now, and at their highest. */
  readonly currentBytes: number;
  readonly peakBytes: number;
}

/** Values live in native memory. `read` and `write` throw `store/busy` while a run of this store is under way. */
export interface AddonStore {
  declare(variables: readonly AddonVariable[]): void;
  /** A new buffer, or `into`, which must be large enough, with the bytes of all or of a part's elements at its start. */
  read(name: string, into?: ArrayBuffer, part?: Part): ArrayBuffer;
  write(name: string, bytes: ArrayBufferView | ArrayBuffer): void;
  names(): string[];
  variables(): AddonVariable[];
}

export interface AddonProgram {
  readonly arenaBytes: number;
  readonly workspaceBytes: number;
  /** Feeds and outputs of one run. */
  readonly stagingBytes: number;
}

export interface AddonCall {
  readonly program: AddonProgram;
  /** In the plan's order; copied before `run` returns. */
  readonly feeds: readonly (ArrayBufferView | ArrayBuffer)[];
}

export interface AddonRun {
  readonly results: readonly { readonly committed: boolean; readonly outputs: readonly ArrayBuffer[] }[];
  /** Nanoseconds of each instruction of each program. */
  readonly profile?: readonly Float64Array[];
}

export interface AddonEngine {
  info(): AddonInfo;
  createStore(): AddonStore;
  load(
    plan: ArrayBuffer,
    kernelNames: readonly string[],
    variableNames: readonly string[],
    feedNames: readonly string[],
    store: AddonStore,
  ): AddonProgram;
  /** What `load` would need for kernels' scratch, without taking it. */
  workspaceBytes(plan: ArrayBuffer, kernelNames: readonly string[]): number;
  run(calls: readonly AddonCall[], options?: { readonly profile?: boolean }): Promise<AddonRun>;
}

export interface Addon {
  createEngine(options?: { readonly threads?: number; readonly isa?: string }): AddonEngine;
  kernelNames(): string[];
  tapeOpcodes(): string[];
}

/** What an error of the addon carries: TypeScript writes the sentence. */
export interface AddonError extends Error {
  readonly code: string;
  readonly kernel?: string;
  readonly instruction?: number;
  /** Graph node id. */
  readonly node?: number;
  /** Which program of the run's list. */
  readonly entry?: number;
  /** The value that was out of range. */
  readonly value?: number;
}

export function isAddonError(error: unknown): error is AddonError {
  return error instanceof Error && "code" in error && typeof error.code === "string";
}

export type LoadedAddon =
  | { readonly addon: Addon; readonly path: string }
  | { readonly addon: undefined; readonly reason: string };

let loaded: LoadedAddon | undefined;

/** The addon, loaded once; or why there is none: the platform and what was tried. */
export function loadAddon(): LoadedAddon {
  loaded ??= tryCandidates();
  return loaded;
}

function tryCandidates(): LoadedAddon {
  const require = createRequire(import.meta.url);
  const platform = `${process.platform}-${process.arch}`;
  const built = fileURLToPath(new URL("../../native/build/Release/athanor.node", import.meta.url));
  const tried: string[] = [];
  for (const path of [built, `@athanor/engine-${platform}`]) {
    if (path === built && !existsSync(built)) {
      tried.push(`${built}: no such file`);
      continue;
    }
    try {
      const found: unknown = require(path);
      if (isAddon(found)) return { addon: found, path };
      tried.push(`${path}: not an engine`);
    } catch (error) {
      const [line] = `${error instanceof Error ? error.message : error}`.split("\n");
      tried.push(`${path}: ${line}`);
    }
  }
  const reason = `no native engine for ${platform}, Node ${process.version}; tried\n  ${tried.join("\n  ")}`;
  return { addon: undefined, reason };
}

function isAddon(value: unknown): value is Addon {
  if (typeof value !== "object" || value === null) return false;
  const has = (name: string): boolean => typeof Reflect.get(value, name) === "function";
  return has("createEngine") && has("kernelNames") && has("tapeOpcodes");
}
