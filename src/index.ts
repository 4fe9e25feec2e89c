// What a program imports from "athanor".
export * from "./api/index.ts";
export * from "./base/index.ts";
export { type Checkpoint, loadCheckpoint, loadLatest } from "./checkpoint/index.ts";
export { compile, type Plan } from "./compiler/index.ts";
export * from "./core/index.ts";
export * from "./data/index.ts";
export * from "./engine/index.ts";
export * from "./eval/index.ts";
export * from "./generate/index.ts";
export {
  type HubOptions,
  type Pulled,
  type PullOptions,
  type Pushed,
  type PushOptions,
  pullModel,
  pushModel,
  readStateDict,
} from "./hub/index.ts";
// Under a name of their own: a metric of finished predictions and a loss inside a trace are called alike.
export * as metrics from "./metrics/index.ts";
export * from "./models/index.ts";
export * from "./nn/index.ts";
// Names that two folders share: the losses of nn and the optimizers are what programs mean by them.
export { crossEntropy } from "./nn/index.ts";
export * from "./optim/index.ts";
export { adamw, lion, sgd } from "./optim/index.ts";
export {
  initProject,
  type ProjectOptions,
  parseRecipe,
  type Recipe,
  type RecipeInput,
  readRecipe,
} from "./recipe/index.ts";
export {
  type ColumnImportance,
  type CoordinateOptions,
  coordinateCheck,
  type Importance,
  type ImportanceOptions,
  type LayerChange,
  type MeanInterval,
  meanInterval,
  permutationImportance,
} from "./study/index.ts";
export type { RunEvent } from "./track/index.ts";
export {
  type Batch,
  type BatchSource,
  type Callback,
  classIds,
  classificationTask,
  type EpochReport,
  type FitData,
  type FitOptions,
  FittedModel,
  Fitting,
  fit,
  type LbfgsOptions,
  type LbfgsResult,
  type Loss,
  type LossSums,
  languageModelTask,
  lbfgs,
  regressionTask,
  StepPrograms,
  type StopReason,
  type Task,
  Trainer,
  Watch,
  type WatchOptions,
} from "./train/index.ts";
