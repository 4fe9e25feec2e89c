export { type Bandwidth, bandwidthFor, type MemorySpeed, measureMemory } from "./bandwidth.ts";
export * from "./engine.ts";
export { type Evaluated, type EvaluateOptions, evaluate, type FeedValue, toHostArray } from "./evaluate.ts";
export { loadNativeEngine, NativeEngine, type NativeOptions } from "./native.ts";
export { type AddonInfo, loadAddon } from "./native-addon.ts";
export { Profiler, type ProgramRun } from "./profiler.ts";
export { ReferenceEngine } from "./reference.ts";
export {
  addTimes,
  groupBy,
  type MachineLimits,
  median,
  type Timed,
  type TimedGroup,
  type TimedInstruction,
  timeInstructions,
} from "./timed-instructions.ts";
