export * from "./beam-search.ts";
export * from "./sampling.ts";
export * from "./text-generator.ts";
export * from "./token-generator.ts";
