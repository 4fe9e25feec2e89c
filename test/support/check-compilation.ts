// Compiles a program in every way and wants the same bits as the graph means: the reference engine and a strided target, with
// and without optimization.
import type { HostArray } from "../../src/base/index.ts";
import { type CompileOptions, compile } from "../../src/compiler/index.ts";
import type { Graph } from "../../src/core/index.ts";
import { ReferenceEngine } from "../../src/engine/index.ts";
import { assertClose } from "./close.ts";
import { type Meaning, meaningOf } from "./graph-interpreter.ts";
import { compileStrided, interpret } from "./strided-interpreter.ts";

/** A graph, and what to run it on. */
export interface TracedProgram {
  readonly graph: Graph;
  readonly feeds: Readonly<Record<string, HostArray>>;
  readonly variables: Readonly<Record<string, HostArray>>;
}

/** Throws where any compilation of the program, with these options, differs from its meaning; returns that. */
export function checkCompilation(program: TracedProgram, options: CompileOptions = {}): Meaning {
  const meaning = meaningOf(program.graph, program.feeds, program.variables);
  expectSame(onReference(program, { ...options, optimize: false }), meaning, "plain");
  expectSame(onReference(program, { ...options, optimize: true }), meaning, "optimized");
  expectSame(onStrides(program, { ...options, optimize: false }), meaning, "strided");
  expectSame(onStrides(program, { ...options, optimize: true }), meaning, "strided and fused");
  return meaning;
}

function onReference({ graph, feeds, variables }: TracedProgram, options: CompileOptions): Meaning {
  const engine = new ReferenceEngine();
  const store = engine.createStore();
  const program = engine.load(compile(graph, engine.target, { verify: true, ...options }), store);
  for (const name of store.names()) store.write(name, variables[name]!);
  const { committed, outputs } = engine.runNow({ program, feeds });
  return { committed, outputs, variables: Object.fromEntries(store.names().map((name) => [name, store.read(name)])) };
}

function onStrides({ graph, feeds, variables }: TracedProgram, options: CompileOptions): Meaning {
  const own = Object.fromEntries(
    Object.entries(variables).map(([name, array]) => [name, { ...array, data: array.data.slice() }]),
  );
  const plan = compileStrided(graph, options);
  const { committed, outputs } = interpret(plan, feeds, own);
  return { committed, outputs, variables: Object.fromEntries(plan.variables.map(({ name }) => [name, own[name]!])) };
}

function expectSame(actual: Meaning, expected: Meaning, what: string): void {
  if (actual.committed !== expected.committed) throw new Error(`${what}: committed is ${actual.committed}`);
  for (const name of Object.keys(expected.outputs))
    assertClose(actual.outputs[name]!, expected.outputs[name]!, { what: `${what}: output ${name}` });
  for (const [name, value] of Object.entries(actual.variables))
    assertClose(value, expected.variables[name]!, { what: `${what}: variable ${name}` });
}
