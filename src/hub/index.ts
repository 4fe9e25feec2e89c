// The door of `hub`: other people's formats, in and out: models in the layout of Hugging Face's, and PyTorch's state_dict.
export { hubModelTypes } from "./config.ts";
export { peftFiles } from "./peft.ts";
export { type PromptedHubModel, peftPromptFiles, readPeftFolder } from "./peft-prompt.ts";
export { type AdaptedHubModel, isPeftFolder, readPeftModel } from "./peft-read.ts";
export { type Pulled, type PullOptions, pullModel } from "./pull.ts";
export { type Pushed, type PushOptions, pushModel } from "./push.ts";
export { type HubModel, isHubFolder, type KeepTensor, readHubConfig, readHubModel } from "./read.ts";
export type { HubOptions } from "./remote.ts";
export { type Shards, shardsOf } from "./shards.ts";
export { readStateDict } from "./state-dict.ts";
export { carriedTexts } from "./texts.ts";
export { type HubFiles, hubFiles, type StoredTensor } from "./write.ts";
