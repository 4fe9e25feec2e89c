export { availableMemory } from "./available-memory.ts";
export * from "./clock.ts";
export { diagnose } from "./diagnose.ts";
export { type EvaluationResult, evaluateAll } from "./evaluate.ts";
export * from "./fit.ts";
export { type RecomputeMode, type RecomputeOption, recomputeModes } from "./fit-memory.ts";
export { type Forecast, forecast, type MemoryForecast, requireMemory } from "./forecast.ts";
export { levelAfter, levelsHeld, levelsUsed, microbatchesPerLane, rowsPerLane } from "./lanes.ts";
export { type LbfgsOptions, type LbfgsResult, lbfgs } from "./lbfgs.ts";
export { Predictor, type RowInputs, softmaxOf } from "./predictor.ts";
export {
  type StepDescription,
  StepGraphs,
  type StepInputs,
  type StepPlans,
  type StepProgram,
  StepPrograms,
  type StepResult,
} from "./programs.ts";
export { rowsOf } from "./step-feeds.ts";
export * from "./task.ts";
export * from "./trainer.ts";
export { requireAllUsed } from "./unused-weights.ts";
export { Watch, type WatchOptions, type WatchState } from "./watch.ts";
