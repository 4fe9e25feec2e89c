// What a program imports from "athanor".
export * from "./api/index.ts";
export * from "./base/index.ts";
export * from "./core/index.ts";
export * from "./engine/index.ts";
export * from "./generate/index.ts";
export * from "./models/index.ts";
export * from "./nn/index.ts";
// Names that two folders share: the losses of nn and the optimizers are what programs mean by them.
export { crossEntropy } from "./nn/index.ts";
export * from "./optim/index.ts";
export { adamw, sgd } from "./optim/index.ts";
