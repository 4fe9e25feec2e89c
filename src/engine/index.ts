export * from "./engine.ts";
export { type Evaluated, type EvaluateOptions, evaluate, type FeedValue, toHostArray } from "./evaluate.ts";
export { loadNativeEngine, NativeEngine, type NativeOptions } from "./native.ts";
export { type AddonInfo, loadAddon } from "./native-addon.ts";
export { ReferenceEngine } from "./reference.ts";
