// Runs graphs on the reference engine, once or many times with other feeds.
import type { HostArray } from "../../src/base/index.ts";
import { type CompileOptions, compile } from "../../src/compiler/index.ts";
import type { Graph } from "../../src/core/index.ts";
import { ReferenceEngine } from "../../src/engine/index.ts";

type Arrays = { readonly [name: string]: HostArray };

const engine = new ReferenceEngine();

/** Compiles once; the function returned runs the program on the feeds given. */
export function prepare(graph: Graph, options: CompileOptions = {}): (feeds: Arrays) => Arrays {
  const program = engine.load(compile(graph, engine.target, { verify: true, ...options }), engine.createStore());
  return (feeds) => engine.runNow({ program, feeds }).outputs;
}

export function runReference(graph: Graph, feeds: Arrays, options?: CompileOptions): Arrays {
  return prepare(graph, options)(feeds);
}
