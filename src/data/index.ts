// The door of `data`: sources, tables, tokenizers, token stores, samplers and the Loader.
export type { ByteLimits } from "./files.ts";
export { listFiles } from "./files.ts";
export type { TextInput, TextOptions, TextReport, TextSource, TextTally } from "./text-source.ts";
export { countCharacters, openText, readText, scanText } from "./text-source.ts";
