// The door of `study`: proofs and benchmarks, programs over everything below.
export { type Advice, type Advised, type AdviseOptions, adviseRun } from "./advise.ts";
export { type BenchRun, benchMatmul, benchStep, type MatmulFigures, type StepFigures } from "./bench.ts";
export {
  type BatchComparison,
  type BatchComparisonOptions,
  compareBatchSizes,
  comparedAfter,
} from "./compare-batches.ts";
export { comparisonPage, figuresOf, formatInterval } from "./compare-page.ts";
export {
  type ComparedRun,
  type Comparison,
  type CurvePoint,
  type Curves,
  compareRuns,
  type RunGroup,
} from "./compare-runs.ts";
export { type CoordinateOptions, coordinateCheck, type LayerChange } from "./coordinate-check.ts";
export { type ColumnImportance, type Importance, type ImportanceOptions, permutationImportance } from "./importance.ts";
export { type NoiseScale, noiseScale } from "./noise-scale.ts";
export { formatFigure } from "./page.ts";
export { profileRecipe, type StepProfile } from "./profile.ts";
export type { Figure, Proof, ProofContext } from "./proof.ts";
export { type ProofResult, type ProveOptions, proofs, runProof, selectProofs } from "./prove.ts";
export { type RangePoint, type RangeTest, type RangeTestOptions, rangeTest, type Trial } from "./range-test.ts";
export { requireRoom } from "./room.ts";
export { readPlan, type SearchPlan, type SearchPlanInput } from "./search/plan.ts";
export { resumeSearch, runSearch, type SearchOptions, type SearchOutcome, trialFolder } from "./search/search.ts";
export { changesOf, parseOver } from "./search/space.ts";
export { rankTrials, type Trial as SearchTrial, type TrialEvent } from "./search/trials.ts";
export { StepBench, type StepBenchOptions, type StepShape, stepShapes, stepSizes } from "./step-bench.ts";
export { type MeanInterval, meanInterval } from "./student.ts";
export { type TrainedRecipes, type TrainRecipesOptions, trainRecipes } from "./train-recipes.ts";
export {
  type BatchTuneOptions,
  type TunedBatch,
  type TunedRate,
  type TuneOptions,
  tuneBatchSize,
  tuneLearningRate,
} from "./tune.ts";
export {
  namedOptimizers,
  type OptimizerRanking,
  type OptimizerTuneOptions,
  type RankedOptimizer,
  type TriedRate,
  tuneOptimizer,
} from "./tune-optimizer.ts";
export { benchUpdates, UpdateBench, type UpdateFigures, type UpdateShape } from "./update-bench.ts";
