export * from "./choices.ts";
export * from "./exact-match.ts";
export * from "./perplexity.ts";
export * from "./retrieval.ts";
export * from "./task-file.ts";
export * from "./token-scorer.ts";
export * from "./written-texts.ts";
