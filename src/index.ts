// What a program imports from "athanor".
export * from "./base/index.ts";
export * from "./core/index.ts";
export * from "./engine/index.ts";
export * from "./models/index.ts";
export * from "./nn/index.ts";
// core has ops of the same names (one tensor's update, one row's loss); a program wants the optimizers and the loss.
export { crossEntropy } from "./nn/index.ts";
export * from "./optim/index.ts";
export { adamw, sgd } from "./optim/index.ts";
