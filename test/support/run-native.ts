// Runs graphs on the native engine, when there is one.
import { AthanorError, type HostArray } from "../../src/base/index.ts";
import { type CompileOptions, compile } from "../../src/compiler/index.ts";
import type { Graph } from "../../src/core/index.ts";
import { loadNativeEngine, type NativeEngine } from "../../src/engine/index.ts";

type Arrays = { readonly [name: string]: HostArray };

const engines = new Map<string, NativeEngine | undefined>();

/** One engine for each number of threads and path; undefined where none was built, or the processor lacks the path. */
export function nativeEngine(threads = 2, isa?: string): NativeEngine | undefined {
  const key = `${threads} ${isa}`;
  if (!engines.has(key)) engines.set(key, start(threads, isa));
  return engines.get(key);
}

function start(threads: number, isa: string | undefined): NativeEngine | undefined {
  try {
    return loadNativeEngine({ threads, ...(isa === undefined ? {} : { isa }) }).engine;
  } catch (error) {
    if (error instanceof AthanorError && error.code === "engine/isa") return undefined;
    throw error;
  }
}

export async function runNative(
  graph: Graph,
  feeds: Arrays,
  options: CompileOptions = {},
  engine: NativeEngine | undefined = nativeEngine(),
): Promise<Arrays> {
  if (engine === undefined) throw new Error("no native engine");
  const program = engine.load(compile(graph, engine.target, { verify: true, ...options }), engine.createStore());
  const [result] = await engine.run([{ program, feeds }]);
  return result!.outputs;
}
