// The door of `track`: the run folder, its record and its log. Depends on base alone.
export { describeEnvironment, type Environment, findCommit } from "./environment.ts";
export {
  type CheckpointEvent,
  decodeEvent,
  type EndEvent,
  type ErrorEvent,
  type EvalEvent,
  encodeEvent,
  type Figures,
  type LoggedEvent,
  plainFigures,
  type RollbackEvent,
  type RunEvent,
  type SampleEvent,
  type StartEvent,
  type StepEvent,
  type WarningEvent,
} from "./events.ts";
export { type Line, readLines } from "./lines.ts";
export { MetricsLog, type MetricsLogOptions } from "./metrics-log.ts";
export { metricsName, type ReadMetricsOptions, readEvents, readMetrics } from "./metrics-reader.ts";
export {
  createRun,
  listRuns,
  makeFolders,
  type NewRun,
  type Run,
  type RunList,
  type RunPlace,
  type RunRecord,
  type RunStatus,
  readRun,
  recordName,
  requireFree,
  restartRun,
  runStatuses,
  updateRun,
} from "./run.ts";
export { runName } from "./run-name.ts";
