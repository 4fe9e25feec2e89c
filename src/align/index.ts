export { type Completion, completionLogProbs, completionRows, tokenLogProbs } from "./completions.ts";
export { addTeacher, distillationSchema, distilledTask, fillTeacher, readTeacher } from "./distillation.ts";
export { addReference, fillReference, freezeCopies, isCopyName } from "./frozen-copy.ts";
export { GrpoSource, type GrpoSourceOptions, type Prompt } from "./grpo-source.ts";
export { type GrpoSettings, groupAdvantages, grpoSchema, grpoTask, type Reward } from "./grpo-task.ts";
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
export { preparePrompts } from "./prompts.ts";
export { referenceFile, writeReference } from "./reference.ts";
export { rewardSchemas, rewardTask, wholeTexts } from "./reward-task.ts";
