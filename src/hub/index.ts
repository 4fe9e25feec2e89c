// The door of `hub`: models in the layout of Hugging Face's, in and out.
export { hubModelTypes } from "./config.ts";
export { peftFiles } from "./peft.ts";
export { type HubModel, isHubFolder, readHubModel } from "./read.ts";
export { type HubFiles, hubFiles } from "./write.ts";
