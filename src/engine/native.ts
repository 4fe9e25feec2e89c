// The native engine: C++ kernels on its own threads, behind the interface of every engine. Values never leave native memory
// but by name. No arithmetic happens here.
import { AthanorError, byteSize, fail, type HostArray, sizeOf, viewOf } from "../base/index.ts";
import { encodePlan, nativeTarget, type Plan, type PlanType, type Target } from "../compiler/index.ts";
import {
  checkArray,
  checkPart,
  type Engine,
  orderFeeds,
  type Part,
  type Program,
  type ProgramCall,
  type RunResult,
  type Store,
} from "./engine.ts";
import {
  type Addon,
  type AddonEngine,
  type AddonInfo,
  type AddonProgram,
  type AddonStore,
  isAddonError,
  loadAddon,
} from "./native-addon.ts";

class NativeStore implements Store {
  readonly handle: AddonStore;
  writes = 0;
  private readonly types = new Map<string, PlanType>();

  constructor(handle: AddonStore) {
    this.handle = handle;
  }

  declare(types: readonly PlanType[]): void {
    const fresh = types.filter((type) => {
      const known = this.types.get(type.name);
      if (known !== undefined && !sameType(known, type)) {
        fail("store/type", `variable "${type.name}" is already declared with another type`, {
          expected: `${known.dtype}[${known.shape}]`,
          got: `${type.dtype}[${type.shape}]`,
        });
      }
      return known === undefined;
    });
    if (fresh.length === 0) return;
    withSentences(undefined, () => this.handle.declare(fresh));
    for (const { name, dtype, shape } of fresh) this.types.set(name, { name, dtype, shape });
  }

  names(): string[] {
    return [...this.types.keys()];
  }

  typeOf(name: string): PlanType {
    return (
      this.types.get(name) ??
      fail("store/unknown", `the store has no variable "${name}"`, { expected: this.names().slice(0, 8).join(", ") })
    );
  }

  read(name: string, into?: ArrayBuffer, part?: Part): HostArray {
    const type = this.typeOf(name);
    if (part !== undefined) checkPart(type, part);
    const shape = part === undefined ? type.shape : [part.count];
    const buffer = withSentences(undefined, () => this.handle.read(name, into, part));
    return { dtype: type.dtype, shape, data: viewOf(type.dtype, buffer, 0, sizeOf(shape)) };
  }

  write(name: string, value: HostArray): void {
    checkArray(this.typeOf(name), value, "store/type", "variable");
    this.writes++; // before: a write that fails may have begun
    withSentences(undefined, () => this.handle.write(name, value.data));
  }

  get bytes(): number {
    let total = 0;
    for (const { dtype, shape } of this.types.values()) total += byteSize(dtype) * sizeOf(shape);
    return total;
  }
}

function sameType(a: PlanType, b: PlanType): boolean {
  return a.dtype === b.dtype && a.shape.length === b.shape.length && a.shape.every((dim, at) => dim === b.shape[at]);
}

class NativeProgram implements Program {
  readonly plan: Plan;
  readonly store: NativeStore;
  readonly handle: AddonProgram;

  constructor(plan: Plan, store: NativeStore, handle: AddonProgram) {
    this.plan = plan;
    this.store = store;
    this.handle = handle;
  }

  get workspaceBytes(): number {
    return this.handle.workspaceBytes;
  }
}

export interface NativeOptions {
  /** Default: one per processor. */
  readonly threads?: number;
  /** `avx512bf16`, `avx512`, `avx2` or `portable`; default: the best that the processor has. */
  readonly isa?: string;
}

export class NativeEngine implements Engine {
  readonly name = "native";
  readonly isa: string;
  readonly threads: number;
  readonly target: Target;
  private readonly handle: AddonEngine;

  constructor(addon: Addon, options: NativeOptions = {}) {
    this.handle = withSentences(undefined, () => addon.createEngine(options));
    const { isa, threads } = this.handle.info();
    this.isa = isa;
    this.threads = threads;
    this.target = nativeTarget(addon.kernelNames(), addon.tapeOpcodes());
  }

  /** Path, threads, processor features and memory. */
  info(): AddonInfo {
    return this.handle.info();
  }

  createStore(): Store {
    return new NativeStore(this.handle.createStore());
  }

  /** Bytes of scratch that the plan's kernels need, without loading it. */
  workspaceBytes(plan: Plan): number {
    const { bytes, kernelNames } = encodePlan(plan);
    return withSentences(plan, () => this.handle.workspaceBytes(bytes, kernelNames));
  }

  load(plan: Plan, store: Store): Program {
    if (!(store instanceof NativeStore)) return fail("engine/store", "the store belongs to another engine");
    store.declare(plan.variables);
    const { bytes, kernelNames, variableNames, feedNames } = encodePlan(plan);
    const handle = withSentences(plan, () =>
      this.handle.load(bytes, kernelNames, variableNames, feedNames, store.handle),
    );
    return new NativeProgram(plan, store, handle);
  }

  async run(calls: readonly ProgramCall[], times?: readonly Float64Array[]): Promise<RunResult[]> {
    const plans = calls.map(({ program }) => program.plan);
    const list = calls.map(({ program, feeds }) => {
      if (!(program instanceof NativeProgram)) return fail("engine/program", "the program belongs to another engine");
      return { program: program.handle, feeds: orderFeeds(program.plan, feeds).map(({ data }) => data) };
    });
    try {
      const run = await this.handle.run(list, { profile: times !== undefined });
      times?.forEach((into, at) => into.set(run.profile![at]!));
      return run.results.map((result, at) => toResult(plans[at]!, result));
    } catch (error) {
      const entry = isAddonError(error) ? (error.entry ?? 0) : 0;
      throw toAthanorError(plans[entry], error);
    }
  }
}

function toResult(plan: Plan, result: { committed: boolean; outputs: readonly ArrayBuffer[] }): RunResult {
  const outputs = plan.outputs.map(({ name, tensor }, at): [string, HostArray] => {
    const { dtype, shape } = plan.tensors[tensor]!;
    return [name, { dtype, shape, data: viewOf(dtype, result.outputs[at]!, 0, sizeOf(shape)) }];
  });
  return { committed: result.committed, outputs: Object.fromEntries(outputs) };
}

// ---- errors: the addon gives a code and facts, the sentence is written here ----

function withSentences<T>(plan: Plan | undefined, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw toAthanorError(plan, error);
  }
}

function toAthanorError(plan: Plan | undefined, error: unknown): unknown {
  if (!isAddonError(error) || error instanceof AthanorError) return error;
  const { code, message, kernel, node, value } = error;
  const at = node === undefined ? undefined : plan?.nodes[node];
  const place = at === undefined ? kernel : `${at.op}${at.scope === "" ? "" : ` in ${at.scope}`}`;
  const fields = { ...(place === undefined ? {} : { where: place }), cause: error };
  switch (code) {
    case "run/index-out-of-range":
      return new AthanorError(code, `an index is out of range`, {
        ...fields,
        got: `${value}`,
        fix: "check the ids that are fed: each must be below the size of the indexed dimension, and not negative",
      });
    case "store/busy":
      return new AthanorError(code, `variable "${message}" is in use by a run`, {
        ...fields,
        fix: "await the run before reading or writing the store",
      });
    case "store/unknown-variable":
      return new AthanorError("store/unknown", `the store has no variable "${message}"`, fields);
    case "engine/out-of-memory":
      return new AthanorError(code, `not enough memory: ${message}`, {
        ...fields,
        fix: "use a smaller batch or context, or a machine with more memory; `npx athanor plan` shows what needs it",
      });
    case "engine/isa":
      return new AthanorError(code, message, { ...fields, fix: "leave engine.isa out: the best path is chosen" });
    case "plan/unknown-kernel":
      return new AthanorError(code, `this binary has no kernel "${message}"`, {
        ...fields,
        fix: "build it from the same sources: npx athanor engine build",
      });
    case "plan/instruction":
      return new AthanorError("internal/plan", `kernel ${kernel ?? "?"} refuses its operands: ${message}`, fields);
    default:
      return new AthanorError(code.startsWith("plan/") ? "internal/plan" : code, message, fields);
  }
}

/** Engines by what was asked for, and by what that came to be. */
const engines = new Map<string, NativeEngine>();

function sharedEngine(addon: Addon, options: NativeOptions): NativeEngine {
  const asked = `${options.threads} ${options.isa}`;
  const known = engines.get(asked);
  if (known !== undefined) return known;
  const made = new NativeEngine(addon, options);
  const resolved = `${made.threads} ${made.isa}`;
  const engine = engines.get(resolved) ?? made;
  engines.set(asked, engine).set(resolved, engine);
  return engine;
}

/**
 * The native engine, or why it cannot be had. For equal threads and path always the same one: a process has one pool, however
 * many models it holds. Errors with `engine/isa` when a path is asked for that is not there.
 */
export function loadNativeEngine(
  options: NativeOptions = {},
):
  | { readonly engine: NativeEngine; readonly reason: undefined }
  | { readonly engine: undefined; readonly reason: string } {
  const found = loadAddon();
  if (found.addon === undefined) return { engine: undefined, reason: found.reason };
  return { engine: sharedEngine(found.addon, options), reason: undefined };
}
