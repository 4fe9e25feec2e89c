export * from "./engine.ts";
export { type Evaluated, type EvaluateOptions, evaluate, type FeedValue, toHostArray } from "./evaluate.ts";
export { ReferenceEngine } from "./reference.ts";
