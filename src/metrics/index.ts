export * from "./classification.ts";
export * from "./confusion.ts";
export * from "./log-loss.ts";
export * from "./mean-loss.ts";
export type { Metric } from "./metric.ts";
export * from "./regression.ts";
