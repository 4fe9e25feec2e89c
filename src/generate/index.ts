export * from "./beam-search.ts";
export * from "./cached-decoder.ts";
export * from "./draft-model.ts";
export * from "./sampling.ts";
export * from "./sequence.ts";
export * from "./sequence-generator.ts";
export * from "./text-generator.ts";
export * from "./token-generator.ts";
