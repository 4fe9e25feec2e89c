// Runs graphs on the native engine, when there is one.
import type { HostArray } from "../../src/base/index.ts";
import { type CompileOptions, compile } from "../../src/compiler/index.ts";
import type { Graph } from "../../src/core/index.ts";
import { loadNativeEngine, type NativeEngine } from "../../src/engine/index.ts";

type Arrays = { readonly [name: string]: HostArray };

const engines = new Map<number, NativeEngine | undefined>();

/** One engine for each number of threads; undefined where none was built. */
export function nativeEngine(threads = 2): NativeEngine | undefined {
  if (!engines.has(threads)) engines.set(threads, loadNativeEngine({ threads }).engine);
  return engines.get(threads);
}

export async function runNative(graph: Graph, feeds: Arrays, options: CompileOptions = {}): Promise<Arrays> {
  const engine = nativeEngine();
  if (engine === undefined) throw new Error("no native engine");
  const program = engine.load(compile(graph, engine.target, { verify: true, ...options }), engine.createStore());
  const [result] = await engine.run([{ program, feeds }]);
  return result!.outputs;
}
