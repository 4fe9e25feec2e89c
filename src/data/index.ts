// The door of `data`: sources, tables, tokenizers, token stores, samplers and the Loader.

export type { Batch, Dataset } from "./batch.ts";
export { sliceBatch } from "./batch.ts";
export { BpeTokenizer, byteTokenizer } from "./bpe-tokenizer.ts";
export type { BpeTrainingOptions, BpeVocabulary } from "./bpe-trainer.ts";
export { trainBpe, WordCounter } from "./bpe-trainer.ts";
export { CharacterSet, CharTokenizer } from "./char-tokenizer.ts";
export type { Separator } from "./csv.ts";
export type { ByteLimits } from "./files.ts";
export { listFiles } from "./files.ts";
export { ForeignTokenizer } from "./foreign-tokenizer.ts";
export { loadTokenizer, parseTokenizer } from "./load-tokenizer.ts";
export { Permutation } from "./permutation.ts";
export type { Split, SplitOptions } from "./split.ts";
export { splitRows } from "./split.ts";
export type { Cell, Table, TableInput, TableReadOptions, TableRecord } from "./table.ts";
export { readTable } from "./table.ts";
export type { ColumnOptions, ColumnType, TypedColumn } from "./table-columns.ts";
export { findColumn, typeColumns } from "./table-columns.ts";
export type { TableBatch, TableData, TableOptions, TableReport } from "./table-dataset.ts";
export { prepareTable, TableDataset } from "./table-dataset.ts";
export type { ClassName, EncodedRows, TableEncoderData, Target } from "./table-encoder.ts";
export { TableEncoder } from "./table-encoder.ts";
export type { Feature, FeaturePolicy } from "./table-features.ts";
export type { TextInput, TextOptions, TextReport, TextSource, TextTally } from "./text-source.ts";
export { countCharacters, openText, readText, scanText } from "./text-source.ts";
export type { DecodeStream, Tokenizer, TokenizerFile } from "./tokenizer.ts";
