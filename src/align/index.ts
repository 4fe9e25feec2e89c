export { type Completion, completionLogProbs, completionRows, tokenLogProbs } from "./completions.ts";
export {
  PairDataset,
  type PreferenceData,
  type PreferenceOptions,
  type PreferencePair,
  preparePreferences,
} from "./preference-data.ts";
export {
  type PreferenceChoice,
  type PreferenceMethod,
  type PreferenceName,
  preferenceMethod,
  preferenceSchemas,
} from "./preference-methods.ts";
export { preferenceTask, sidesOf } from "./preference-task.ts";
export { referenceFile, writeReference } from "./reference.ts";
