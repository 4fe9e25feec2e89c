export {
  type EvaluateOptions as EvaluateRunOptions,
  evaluateRun,
  heldOutRows,
  type Reproduction,
  type RunEvaluation,
  recipeOfRun,
  reproduceRun,
} from "./again.ts";
export { type ChosenEngine, chooseEngine } from "./engine.ts";
export { type GrpoInput, grpo } from "./grpo.ts";
export { writeStart } from "./initial-state.ts";
export type { LabelledTask } from "./labelled-task.ts";
export { measureMatmul, measurePeak } from "./machine.ts";
export {
  type ClassPrediction,
  type LoadOptions,
  load,
  type NumberPrediction,
  type PredictInput,
  type Prediction,
  type TaskOptions,
  TrainedModel,
  type VectorPrediction,
} from "./model.ts";
export { modelLayouts, requireSavePlace, type SaveOptions, savedDTypes } from "./model-files.ts";
export { type Inspection, inspectRecipe, planRecipe, type RunPlan } from "./plan.ts";
export { type PreviewPart, type PreviewRow, previewRecipe } from "./preview.ts";
export { type RunReport, renderReport, type Stage, type StageName } from "./report.ts";
export { recipeHash } from "./run-folder.ts";
export { findRun, runStatus } from "./run-path.ts";
export { heldOutTask, isOfColumns, taskOfFile } from "./run-tasks.ts";
export type { TextPrediction } from "./sequence-texts.ts";
export type { ChoicePrediction } from "./text-choices.ts";
export { type RecordRecipe, Training, train } from "./train.ts";
export { runTraining } from "./training.ts";
export type { TrainOptions, TrainOutcome } from "./training-run.ts";
export { version } from "./version.ts";
