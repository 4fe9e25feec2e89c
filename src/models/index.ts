export * from "./bert.ts";
export * from "./family.ts";
export * from "./gpt.ts";
export * from "./gpt-config.ts";
export * from "./mlp.ts";
export * from "./registry.ts";
export * from "./text-classifier.ts";
