// Settings that may change over a run, inside a trace: a course becomes a scalar feed, whose name is the course itself, so that whoever
// runs the graph knows what to fill it with and nothing is compiled again. Evaluates no course: that is base/course.ts.
import { type Course, courseSchema, type DType, type Varying } from "../base/index.ts";
import type { Graph } from "./graph.ts";
import type { Operand, Tensor } from "./tensor.ts";
import { currentTrace, feed, outside } from "./trace.ts";

const prefix = "course ";
/** The feeds of a trace, one for each course. */
const feedsOf = new WeakMap<Graph, Map<string, Tensor>>();

/** The setting as an operand: a number as it is, a course as a scalar of this dtype. */
export function varying(value: Course, dtype?: DType): Tensor;
export function varying(value: Varying, dtype?: DType): Operand;
export function varying(value: Varying, dtype?: DType): Operand {
  if (typeof value === "number") return value;
  const { floatDType } = currentTrace();
  const given = outside(() => {
    const { graph } = currentTrace();
    const feeds = feedsOf.get(graph) ?? new Map<string, Tensor>();
    feedsOf.set(graph, feeds);
    const name = prefix + JSON.stringify(value);
    const tensor = feeds.get(name) ?? feed(name, { dtype: floatDType, shape: [] });
    feeds.set(name, tensor);
    return tensor;
  });
  return given.cast(dtype ?? floatDType);
}

/** 1 − x. */
export const complement = (x: Operand): Operand => (typeof x === "number" ? 1 - x : x.neg().add(1));

/** The course that a feed of this name stands for; `undefined` of other feeds. */
export function courseOfFeed(name: string): Course | undefined {
  return name.startsWith(prefix) ? courseSchema.parse(JSON.parse(name.slice(prefix.length))) : undefined;
}
