// The door of `data`: sources, tables, tokenizers, token stores, samplers and the Loader.

export type { Batch, Dataset } from "./batch.ts";
export { sliceBatch } from "./batch.ts";
export { BpeTokenizer, byteTokenizer } from "./bpe-tokenizer.ts";
export type { BpeTrainingOptions, BpeVocabulary } from "./bpe-trainer.ts";
export { trainBpe, WordCounter } from "./bpe-trainer.ts";
export { CharacterSet, CharTokenizer } from "./char-tokenizer.ts";
export type { ChatData, ChatDataOptions, LongPolicy } from "./chat-data.ts";
export { chatTokenizer, longPolicies, prepareChat } from "./chat-data.ts";
export type { ChatLoss, TokenSequence } from "./chat-format.ts";
export { ChatFormat, chatLosses } from "./chat-format.ts";
export type { ChatLayout, ChatMessage, ChatRowOptions, Conversation } from "./chat-rows.ts";
export { chatLayouts, chatRoles, readConversation } from "./chat-rows.ts";
export type { ChatTemplate, ChatTemplateName } from "./chat-templates.ts";
export {
  chatTemplateNames,
  chatTemplates,
  readChatTemplate,
  templateFileName,
  templateOf,
  tokenizerConfig,
  tokenizerConfigName,
} from "./chat-templates.ts";
export type { ChoiceBatch, ChoiceEncoding, ChoiceRow } from "./choice-rows.ts";
export { ChoiceDataset, encodeChoice, readChoiceFile, readChoiceRow } from "./choice-rows.ts";
export type { Separator } from "./csv.ts";
export type { DocumentData, DocumentOptions } from "./documents.ts";
export { prepareDocuments } from "./documents.ts";
export type { ByteLimits } from "./files.ts";
export { listFiles } from "./files.ts";
export { ForeignTokenizer } from "./foreign-tokenizer.ts";
export type { IdxArray, IdxOptions } from "./idx.ts";
export { readIdx } from "./idx.ts";
export type { ImageData, ImageEncoder, ImageOptions } from "./image-dataset.ts";
export { prepareImages, readImageEncoder } from "./image-dataset.ts";
export type { JsonInput, JsonRecords } from "./json-records.ts";
export { readJsonRecords } from "./json-records.ts";
export type { LabelledSentence, LabelledSentences, LabelledWordBatch } from "./labelled-words.ts";
export { encodeSentence, LabelledWordDataset, readLabelledWords } from "./labelled-words.ts";
export type { BatchShape, DatasetOfLengths, LengthBatchOptions, PlannedBatch } from "./length-batches.ts";
export { LengthBatches } from "./length-batches.ts";
export { loadTokenizer, parseTokenizer } from "./load-tokenizer.ts";
export type { EvaluationBatch, LoadedBatch, LoaderOptions, LoaderState } from "./loader.ts";
export { evaluationBatches, ignoreIndex, Loader, rowsOfBatch } from "./loader.ts";
export type { MaskedBatch, MaskedWindowOptions, Masking } from "./masked-windows.ts";
export { MaskedWindows } from "./masked-windows.ts";
export { concatenated, type MixedSource, Mixture } from "./mixture.ts";
export { NumpyRandom } from "./numpy-random.ts";
export type { Lengths } from "./padded-lengths.ts";
export { choosePaddedLengths } from "./padded-lengths.ts";
export { Permutation } from "./permutation.ts";
export type { TextData, TextDataOptions } from "./prepare-text.ts";
export { prepareText } from "./prepare-text.ts";
export type { Question, QuestionBatch, QuestionWindow } from "./question-spans.ts";
export { QuestionDataset, QuestionEncoder, readQuestionFile, readQuestions } from "./question-spans.ts";
export type { RelatedTextBatch } from "./related-texts.ts";
export { relatedTexts } from "./related-texts.ts";
export type { SampleOrder, Sampler } from "./sampler.ts";
export { makeSampler, sampleOrders } from "./sampler.ts";
export type { SequenceWindowOptions, WindowCut } from "./sequence-windows.ts";
export { hiddenSpans, PrefixWindows, randomPrefix, SequenceWindows } from "./sequence-windows.ts";
export type { SpanCounts, SpanShares } from "./span-corruption.ts";
export { drawSpans, hideSpans, sentinelIds, spanCounts, spanWindow } from "./span-corruption.ts";
export type { SpecialIds } from "./special-tokens.ts";
export { frameTokens, specialIds } from "./special-tokens.ts";
export type { Split, SplitOptions } from "./split.ts";
export { splitRows } from "./split.ts";
export type { Word } from "./split-words.ts";
export { splitWords } from "./split-words.ts";
export { StoredSequences } from "./stored-sequences.ts";
export type { Cell, Table, TableInput, TableReadOptions, TableRecord } from "./table.ts";
export { readTable } from "./table.ts";
export type { ColumnOptions, ColumnType, TypedColumn } from "./table-columns.ts";
export { findColumn, typeColumns } from "./table-columns.ts";
export type { TableBatch, TableData, TableOptions, TableReport } from "./table-dataset.ts";
export { prepareTable, TableDataset } from "./table-dataset.ts";
export type { ClassName, EncodedRows, TableEncoderData, Target } from "./table-encoder.ts";
export { TableEncoder } from "./table-encoder.ts";
export type { Feature, FeaturePolicy } from "./table-features.ts";
export { featureWidth } from "./table-features.ts";
export type { TextClassBatch, TextClassData, TextClassOptions, TextParts } from "./text-classification.ts";
export { makeTokenizer, padTokens, prepareTextClassification, TextClassDataset } from "./text-classification.ts";
export type { TargetUnit, TextNumber, TextNumberOptions } from "./text-numbers.ts";
export { prepareTextNumbers, readTextNumbers } from "./text-numbers.ts";
export type {
  PairLayout,
  TextPair,
  TextPairBatch,
  TextPairColumns,
  TextPairData,
  TextPairOptions,
} from "./text-pairs.ts";
export { prepareTextPairs, readTextPairs, TextPairDataset } from "./text-pairs.ts";
export type { TextInput, TextOptions, TextReport, TextSource, TextTally } from "./text-source.ts";
export { countCharacters, openText, readText, scanText } from "./text-source.ts";
export type { TextBatch } from "./text-windows.ts";
export { SequentialWindows, TextWindows } from "./text-windows.ts";
export type { TokenFolder, TokenManifest } from "./token-folder.ts";
export { openTokenFolder, readTokenManifest, requireTokenizer, tokenRange } from "./token-folder.ts";
export type { PackedBatch, SequenceRows } from "./token-sequences.ts";
export { PackedSequences, PaddedSequences, packRows, TokenSequences } from "./token-sequences.ts";
export type { TokenArray, TokenFileInfo, TokenStore } from "./token-store.ts";
export { FileTokens, MemoryTokens, openTokens, TokenWriter } from "./token-store.ts";
export type { TokenizeOptions, TokenizeProgress } from "./tokenize-documents.ts";
export { tokenizeDocuments } from "./tokenize-documents.ts";
export type { TokenizerSpec } from "./tokenize-text.ts";
export type { DecodeStream, Tokenizer, TokenizerFile } from "./tokenizer.ts";
export type { TokenizerTrainer } from "./train-tokenizer.ts";
export { openTrainer } from "./train-tokenizer.ts";
export type {
  NormalizerName,
  SplitName,
  TokenizerFamily,
  TokenizerSettings,
  TrainedTokenizerSpec,
} from "./training-settings.ts";
export { familyNames, normalizers, tokenizerFamilies } from "./training-settings.ts";
export { trainUnigram } from "./unigram-trainer.ts";
export type { WordParts } from "./word-parts.ts";
export { wordParts } from "./word-parts.ts";
export { trainWordPiece } from "./wordpiece-trainer.ts";
