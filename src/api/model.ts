// A trained model inside a program: predict(), generate(), save(). Loaded from a run, a checkpoint, or a saved folder.
import { join } from "node:path";
import {
  type FloatDType,
  fail,
  formatType,
  fromNumbers,
  type HostArray,
  isFloat,
  sameShape,
  sizeOf,
  toNumbers,
} from "../base/index.ts";
import type { QuantizedFormat } from "../core/index.ts";
import {
  ChatFormat,
  type Conversation,
  frameTokens,
  type ImageEncoder,
  parseTokenizer,
  readImageEncoder,
  type SpecialIds,
  specialIds,
  TableEncoder,
  type TableRecord,
  type Tokenizer,
  templateFileName,
  templateOf,
  tokenizerConfigName,
} from "../data/index.ts";
import type { Engine, Store } from "../engine/index.ts";
import {
  type ExactMatchOptions,
  type LanguageModel,
  type SlidingOptions,
  scoreChoices,
  scoreExactMatch,
  scoreRetrieval,
  scoreTexts,
  scoreWrittenTexts,
  type TaskRows,
  TokenScorer,
  type WrittenTextOptions,
} from "../eval/index.ts";
import {
  type BeamOptions,
  createGenerator,
  DraftModel,
  type FoundText,
  type GeneratedText,
  isCachedLanguageModel,
  isSequenceModel,
  type Prompt,
  type TextGenerationOptions,
  type TextGenerator,
  type TextSearchOptions,
} from "../generate/index.ts";
import { type BuiltModel, type DataFacts, modelFamily } from "../models/index.ts";
import { type Parameter, quantizeLayers, quantizeVocabulary, storedParts } from "../nn/index.ts";
import { adapt } from "../recipe/index.ts";
import { Predictor, softmaxOf } from "../train/index.ts";
import { chooseEngine } from "./engine.ts";
import { asLabelledTask, type LabelledTask, scoreLabelledTask } from "./labelled-task.ts";
import { applyProjection, mergeLora } from "./merge-adapter.ts";
import {
  type ModelDescription,
  type ModelFiles,
  readModelFiles,
  type SaveOptions,
  writeModelFiles,
} from "./model-files.ts";
import { type AnswerPrediction, answerQuestions } from "./question-answers.ts";
import { SequenceTexts, type TextPrediction } from "./sequence-texts.ts";
import { ownUnit } from "./target-unit.ts";
import { type ChoicePrediction, chooseTexts } from "./text-choices.ts";
import type { WeightsChoice } from "./used-weights.ts";
import { type LabelPrediction, labelWords } from "./word-labels.ts";

/** A classifier's answer. */
export interface ClassPrediction<Label extends string = string> {
  readonly label: Label;
  readonly probability: number;
  readonly probabilities: { readonly [label in Label]: number };
}

/** A regression model's answer, in the target's own units. */
export interface NumberPrediction {
  readonly value: number;
}

/** What an encoder makes of a text: texts that belong together have vectors of nearly one direction. */
export interface VectorPrediction {
  readonly vector: readonly number[];
}

export type Prediction<Label extends string = string> =
  | ClassPrediction<Label>
  | NumberPrediction
  | TextPrediction
  | AnswerPrediction
  | ChoicePrediction
  | LabelPrediction
  | VectorPrediction;

export interface LoadOptions {
  /** By default the native engine where it is built, else the reference engine. */
  readonly engine?: Engine;
  /** Of a run whose optimizer keeps averages: those, as its evaluations take (default), or the weights trained on. */
  readonly weights?: WeightsChoice;
  /** The folder of an adapter in PEFT's layout, beside the model in the Hugging Face folder that is loaded. */
  readonly adapter?: string | undefined;
  /**
   * Keeps the weights of the linear layers inside in 8 bits or 4, a language model's head and table of tokens in 8: less memory to read
   * for every token. The model cannot be saved then.
   */
  readonly quantize?: QuantizedFormat;
  /** Remarks for people: that the slow engine runs. */
  readonly onNote?: (text: string) => void;
}

/** How a text is written; a smaller model of the same tokenizer as `draft` makes it quicker, and changes nothing of its distribution. */
export type WritingOptions = Omit<TextGenerationOptions, "draft"> & { readonly draft?: TrainedModel | undefined };

const anyEngine = { precision: "f32", engine: { name: "auto", threads: "auto", isa: "auto" } } as const;

/** How a task is run: rows scored at once, which changes no score; steps of windows over texts; lengths and ends of answers; words of BLEU. */
export interface TaskOptions extends SlidingOptions, ExactMatchOptions, WrittenTextOptions {
  /** How texts are made from texts. */
  readonly writing?: BeamOptions;
  readonly batch?: number;
}

const answering: readonly string[] = ["question-answering", "token-classification", "multiple-choice"];

/** A row to predict: a record of a table, a text for a text classifier, the pixels of an image. */
export type PredictInput = object | string;

export class TrainedModel<Label extends string = string, Row extends PredictInput = PredictInput> {
  readonly folder: string;
  readonly description: ModelDescription;
  private readonly quantize: QuantizedFormat | undefined;
  /** Of models of tables: how their columns become numbers. */
  readonly encoder: TableEncoder | undefined;
  private readonly texts: ModelFiles["files"];
  private readonly built: BuiltModel;
  private readonly engine: Engine;
  private readonly store: Store;
  private readonly tokenizer: Tokenizer | undefined;
  /** What frames a text, where the model's texts are framed. */
  private readonly special: SpecialIds | undefined;
  private readonly images: ImageEncoder | undefined;
  private readonly predictor: Predictor;
  private textGenerator: TextGenerator | undefined;
  private asDraft: DraftModel | undefined;
  private sequences: SequenceTexts | undefined;
  private chatFormat: Promise<ChatFormat> | undefined;

  private constructor(
    files: ModelFiles,
    engine: Engine,
    tokenizer: Tokenizer | undefined,
    quantize: QuantizedFormat | undefined,
  ) {
    this.folder = files.folder;
    this.texts = files.files;
    this.description = files.description;
    this.engine = engine;
    this.tokenizer = tokenizer;
    const table = files.files.get("table.json");
    this.encoder = table === undefined ? undefined : TableEncoder.parse(table);
    const images = files.files.get("images.json");
    this.images = images === undefined ? undefined : readImageEncoder(images);
    const { family, config } = files.description;
    this.special = modelFamily(family).isFramed && tokenizer !== undefined ? specialIds(tokenizer) : undefined;
    this.built = modelFamily(family).build(config, this.facts());
    adapt(this.built.module, files.description.adapter, family, files.description.task);
    this.quantize = quantize;
    const parameters = [...this.built.module.parameters()];
    if (quantize !== undefined) {
      const { module } = this.built;
      quantizeLayers(module, quantize);
      if (isCachedLanguageModel(module)) quantizeVocabulary(module.vocabulary);
    }
    this.store = engine.createStore();
    const dtype = this.fillStore(files.tensors, parameters);
    const { module, inputs } = this.built;
    this.predictor = new Predictor({ module, inputs, engine, store: this.store, dtype });
  }

  /** Errors with `path/missing`, `model/files`, `checkpoint/*`. */
  static async load<Label extends string = string, Row extends PredictInput = PredictInput>(
    folder: string,
    options: LoadOptions = {},
  ): Promise<TrainedModel<Label, Row>> {
    const files = await readModelFiles(folder, { weights: options.weights, adapter: options.adapter });
    const tokenizer = files.files.get("tokenizer.json");
    const { engine, note } =
      options.engine === undefined ? chooseEngine(anyEngine) : { engine: options.engine, note: undefined };
    if (note !== undefined) options.onNote?.(note);
    const place = join(files.place, "tokenizer.json");
    const parsed = tokenizer === undefined ? undefined : parseTokenizer(tokenizer, place);
    return new TrainedModel<Label, Row>(files, engine, parsed, options.quantize);
  }

  private facts(): DataFacts {
    const { tokenizer, special, encoder, images } = this;
    const { task, classes } = this.description;
    return {
      task,
      ...(tokenizer === undefined ? {} : { vocab: special?.size ?? tokenizer.vocabSize }),
      ...(encoder === undefined ? {} : { features: encoder.numFeatures }),
      ...(images === undefined ? {} : { features: sizeOf(images.shape) }),
      ...(classes === undefined ? {} : { outputs: classes.length }),
    };
  }

  /** Writes the parameters, in the dtype that the engine has for them; an optimizer's slots are left behind. */
  private fillStore(tensors: ModelFiles["tensors"], parameters: readonly (readonly [string, Parameter])[]): FloatDType {
    let dtype: FloatDType = "f32";
    for (const [name, { shape }] of parameters) {
      const saved = tensors.get(name);
      if (saved === undefined || !sameShape(saved.shape, shape)) {
        return fail(
          "model/tensor",
          `the model's file ${saved === undefined ? "has no" : "has another"} tensor ${name}`,
          {
            where: this.folder,
            expected: `${name} [${shape}]`,
            got: saved === undefined ? "nothing of this name" : formatType(saved.dtype, saved.shape),
            fix: "restore the folder from a copy, or train the model again",
          },
        );
      }
      const computed = asComputed(saved, this.engine);
      const isWhole = this.quantize === undefined || !isFloat(computed.dtype); // codes were made in training
      const value = isWhole ? computed : fromNumbers("f32", shape, toNumbers(computed));
      if (value.dtype === "f64") dtype = "f64";
      for (const [part, array] of storedParts(this.built.module, [[name, value]])) {
        this.store.declare([{ name: part, dtype: array.dtype, shape: array.shape }]);
        this.store.write(part, array);
      }
    }
    return dtype;
  }

  /**
   * Predicts one row, or several. A classifier answers `{ label, probability, probabilities }`, a regression `{ value }`, a model that
   * makes texts from texts `{ text, score }`, as the beams of `options` find it, one that answers questions `{ answer, start, end, score }`,
   * one that labels words `{ words, labels, entities }`, one that chooses among texts `{ index, choice, probability, probabilities }`, one of
   * vectors `{ vector }`. Errors with `data/unknown-column`, `model/task`.
   */
  predict(inputs: readonly Row[], options?: BeamOptions): Promise<Prediction<Label>[]>;
  predict(input: Row, options?: BeamOptions): Promise<Prediction<Label>>;
  async predict(
    input: Row | readonly Row[],
    options: BeamOptions = {},
  ): Promise<Prediction<Label> | Prediction<Label>[]> {
    const many = Array.isArray(input);
    const rows = (many ? input : [input]) as readonly Row[];
    const predictions = (await this.writeTexts(rows, options)) ?? (await this.predictAll(rows));
    return many ? predictions : predictions[0]!;
  }

  private async predictAll(rows: readonly PredictInput[]): Promise<Prediction<Label>[]> {
    return (await this.answer(rows)) ?? (await this.predictRows(rows));
  }

  private async predictRows(rows: readonly PredictInput[]): Promise<Prediction<Label>[]> {
    const outputs = await this.predictor.run(this.encode(rows), rows.length);
    return outputs.map((output) => this.decode(output));
  }

  /** Answers to questions, choices, and labels of words; undefined for models of other tasks. */
  private async answer(
    rows: readonly PredictInput[],
  ): Promise<(AnswerPrediction | ChoicePrediction | LabelPrediction)[] | undefined> {
    const { predictor, special } = this;
    const { task, classes = [] } = this.description;
    if (!answering.includes(task)) return undefined;
    const [length, tokenizer] = [this.built.inputs.tokens!.shape.at(-1)!, this.requireTokenizer()];
    const isFramed = special !== undefined;
    if (task === "multiple-choice") return await chooseTexts(rows, { predictor, tokenizer, length, isFramed });
    if (task === "question-answering") return await answerQuestions(rows, { predictor, tokenizer, length });
    return await labelWords(rows, { predictor, tokenizer, length, classes });
  }

  /** The texts of an encoder–decoder; undefined for other models. */
  private async writeTexts(rows: readonly Row[], options: BeamOptions): Promise<TextPrediction[] | undefined> {
    return await this.sequenceTexts()?.write(
      rows.map((row, at) => this.textOf(row, at)),
      options,
    );
  }

  private sequenceTexts(): SequenceTexts | undefined {
    const { engine, store } = this;
    const model = this.built.module;
    if (!isSequenceModel(model)) return undefined;
    this.sequences ??= new SequenceTexts({ engine, store, model, tokenizer: this.requireTokenizer() });
    return this.sequences;
  }

  /** Raw outputs of a table's encoded rows: logits, or one number as `encoder.decodeTarget` reads it. */
  async outputs(features: Float32Array): Promise<Float64Array[]> {
    return await this.predictor.run({ features }, features.length / (this.encoder?.numFeatures ?? 1));
  }

  private encode(rows: readonly PredictInput[]): { [name: string]: HostArray["data"] } {
    const { encoder } = this;
    const { task } = this.description;
    if (task !== "classification" && task !== "regression" && task !== "embedding") {
      fail("model/task", "this model does not predict rows", {
        where: this.folder,
        expected: "a classifier or a regression",
        got: task,
        fix: task === "language-model" ? "call generate(prompt)" : "train it on for a task of yours: --init-from",
      });
    }
    if (encoder !== undefined) {
      rows.forEach((row, at) => {
        if (typeof row !== "object" || row === null)
          this.refuseRow(at, "records of a table", "an object with the table's columns", row);
      });
      return { features: encoder.encodeRows(rows as readonly TableRecord[]) };
    }
    if (this.images !== undefined) return { features: encodeImages(rows, this.images) };
    const length = this.built.inputs.tokens!.shape[0]!;
    const special = this.special;
    const tokenizer = this.requireTokenizer();
    const tokens = new Int32Array(rows.length * length).fill(-1);
    rows.forEach((row, at) => {
      const ids = tokenizer.encode(this.textOf(row, at));
      tokens.set(special === undefined ? ids.subarray(0, length) : frameTokens(ids, special, length), at * length);
    });
    return { tokens };
  }

  private textOf(row: PredictInput, at: number): string {
    const { textColumn = "text" } = this.description;
    const text = typeof row === "object" && row !== null ? (row as Record<string, unknown>)[textColumn] : row;
    return typeof text === "string"
      ? text
      : this.refuseRow(at, "texts", `a string, or an object with the column ${textColumn}`, text, row);
  }

  /** Says what was given in place of a text or of a record, which `row` may be. */
  private refuseRow(at: number, what: string, expected: string, given: unknown, row?: unknown): never {
    const kind = given === null ? "null" : given === undefined ? "nothing" : typeof given;
    const isInside = typeof row === "object" && row !== null;
    return fail("data/record", `this model predicts ${what}`, {
      where: `row ${at + 1}`,
      expected,
      got: isInside ? `${kind} there, in a row of ${Object.keys(row).join(", ") || "no columns"}` : kind,
      fix: "give one row, or a list of rows, as expected",
    });
  }

  private decode(output: Float64Array): Prediction<Label> {
    const { task, classes = [], unit: { mean, scale } = ownUnit } = this.description;
    if (task === "regression") return { value: this.encoder?.decodeTarget(output[0]!) ?? output[0]! * scale + mean };
    if (task === "embedding") return { vector: Array.from(output) };
    const chances = softmaxOf(output);
    const best = chances.indexOf(Math.max(...chances));
    return {
      label: (classes[best] ?? String(best)) as Label,
      probability: chances[best]!,
      probabilities: Object.fromEntries(chances.map((chance, id) => [classes[id] ?? String(id), chance])) as Record<
        Label,
        number
      >,
    };
  }

  /** The text that follows a prompt. Errors with `model/task` for other than language models, `model/draft`. */
  async generate(prompt: Prompt, options: WritingOptions = {}): Promise<GeneratedText> {
    return await this.generator().generate(prompt, this.drafting(options));
  }

  /** What follows each of many prompts, `samples` times each: first all of the first prompt. Several texts grow at once. */
  async generateAll(prompts: readonly Prompt[], options: WritingOptions = {}): Promise<GeneratedText[]> {
    return await this.generator().generateAll(prompts, this.drafting(options));
  }

  /** The same, piece by piece as it is made. */
  stream(prompt: Prompt, options: WritingOptions = {}): AsyncGenerator<string, GeneratedText> {
    return this.generator().stream(prompt, this.drafting(options));
  }

  /** The likeliest texts that a search with several beams finds, the best first. */
  async search(prompt: Prompt, options: TextSearchOptions = {}): Promise<FoundText[]> {
    return await this.generator().search(prompt, options);
  }

  /**
   * The assistant's answer to a conversation, written as the model's chat template says and ended by the token that ends a turn. One
   * that does not fit the context is refused, unless `atContextEnd` lets its beginning go. Errors with `model/chat`, `data/chat-template`.
   */
  async chat(messages: Conversation, options: WritingOptions = {}): Promise<GeneratedText> {
    const { prompt, ...settings } = await this.conversation(messages);
    return await this.generate(prompt, { ...settings, ...options });
  }

  /** A conversation as `generate`, `generateAll` and `stream` take it: its tokens up to where an answer begins, and what ends the answer. */
  async conversation(
    messages: Conversation,
  ): Promise<{ prompt: Int32Array; stopTokens: number[]; atContextEnd: "stop" }> {
    this.chatFormat ??= this.makeChatFormat();
    const format = await this.chatFormat;
    const { eos_token_id: ends = [] } = JSON.parse(this.texts.get("generation_config.json") ?? "{}") as {
      readonly eos_token_id?: number | readonly number[];
    };
    const stopTokens = [...new Set([...format.endTokens, ...[ends].flat()])];
    return { prompt: format.prompt(messages), stopTokens, atContextEnd: "stop" };
  }

  private async makeChatFormat(): Promise<ChatFormat> {
    const { texts, tokenizer, folder } = this;
    const template = templateOf(texts.get(tokenizerConfigName), texts.get(templateFileName), folder);
    if (template === undefined || tokenizer === undefined)
      return fail("model/chat", "this model has no chat template: it was not trained on conversations", {
        where: folder,
        expected: `a chat_template in ${tokenizerConfigName}, or ${templateFileName}`,
        got: "neither",
        fix: "call generate(prompt); or train it with data.chat",
      });
    return await ChatFormat.create(template, tokenizer);
  }

  /**
   * What a task says of a language model: `accuracy` and `normalizedAccuracy` of choices, `exactMatch` of answers, `loss`,
   * `perplexity` and `bitsPerByte` of texts; of a model that makes texts from texts: `bleu`, `chrf`, `rouge1`, `rouge2`, `rougeL` of pairs.
   * Each with what it was counted over; of a model that answers questions, labels words, reads numbers off texts or chooses among them, see
   * `scoreLabelledTask`; of one of vectors, of pairs, see `scoreRetrieval`. Errors with `model/task`, `eval/*`.
   */
  async evaluateOn(
    given: TaskRows | LabelledTask,
    options: TaskOptions = {},
  ): Promise<{ readonly [figure: string]: number }> {
    const { task: own } = this.description;
    const labelled = asLabelledTask(given, own);
    if (labelled !== undefined) return await scoreLabelledTask(labelled, own, (rows) => this.predictAll(rows));
    const task = given as TaskRows;
    const { batch = 8, writing = {}, ...more } = options;
    if (task.kind === "pairs" && own === "embedding") {
      const vectorsOf = async (texts: readonly string[]) =>
        (await this.predictAll(texts)).map((one) => (one as VectorPrediction).vector);
      return { ...(await scoreRetrieval(vectorsOf, task.rows)) };
    }
    if (task.kind === "pairs") {
      const sequences = this.sequenceTexts() ?? this.refuseTask("a model that makes texts from texts");
      const write = async (sources: readonly string[]) =>
        (await sequences.write(sources, writing)).map(({ text }) => text);
      return { ...(await scoreWrittenTexts(write, task.rows, more)) };
    }
    const generator = this.generator();
    const { engine, store } = this;
    const tokenizer = this.requireTokenizer();
    const encode = (text: string) => tokenizer.encode(text);
    if (task.kind === "exact match") return { ...(await scoreExactMatch(generator, task.rows, more)) };
    const scorer = new TokenScorer({ engine, store, model: this.built.module as LanguageModel, batch });
    if (task.kind === "choices") return { ...(await scoreChoices(scorer, encode, task.rows)) };
    const numBytes = task.rows.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
    const tokens = task.rows.map(({ text }) => Array.from(encode(text)));
    return { ...(await scoreTexts(scorer, { tokens, numBytes }, more)) };
  }

  private generator(): TextGenerator {
    this.textGenerator ??= createGenerator(this.writer());
    return this.textGenerator;
  }

  /** Settings as the generator takes them: the draft ready to propose. Errors with `model/draft`, `model/task`. */
  private drafting({ draft, ...options }: WritingOptions): TextGenerationOptions {
    if (draft === undefined) return options;
    const { tokenizer: theirs } = draft.writer();
    const { tokenizer } = this.writer();
    if (theirs.hash !== tokenizer.hash)
      fail("model/draft", "the draft model was not trained with the tokenizer of this model", {
        where: draft.folder,
        expected: `the tokenizer of ${this.folder}: ${tokenizer.vocabSize} tokens, hash ${tokenizer.hash.slice(0, 8)}`,
        got: `${theirs.vocabSize} tokens, hash ${theirs.hash.slice(0, 8)}`,
        fix: "train a smaller model with this model's tokenizer.json, and draft with that",
      });
    draft.asDraft ??= new DraftModel(draft.writer());
    return { ...options, draft: draft.asDraft };
  }

  /** What a language model writes with. Errors with `model/task` for others. */
  private writer() {
    const { engine, store } = this;
    const model = this.built.module;
    const writes = this.description.task === "language-model";
    if (!writes || !isCachedLanguageModel(model)) return this.refuseTask("a language model");
    return { engine, store, model, tokenizer: this.requireTokenizer() };
  }

  /** Errors with `model/tokenizer` for a folder without one, such as a Hugging Face folder may be. */
  private requireTokenizer(): Tokenizer {
    if (this.tokenizer !== undefined) return this.tokenizer;
    return fail("model/tokenizer", "there is no tokenizer beside this model", {
      where: this.folder,
      expected: "tokenizer.json",
      got: "none",
      fix: "put the one that it was trained with there: its repository has it, or AutoTokenizer's save_pretrained writes it",
    });
  }

  private refuseTask(expected: string): never {
    return fail("model/task", "this model does not write text", {
      where: this.folder,
      expected,
      got: this.description.task,
      fix: this.description.task === "language-model" ? "call generate(prompt)" : "call predict()",
    });
  }

  /**
   * Writes the model into a new folder, without the optimizer's state: what a service needs to load. With `replace` it may take
   * the place of one saved before. Errors with `path/exists`, `run/disk`, `checkpoint/no-space` and the others of the disk.
   */
  async save(folder: string, options: SaveOptions = {}): Promise<void> {
    const { description, texts: files, store } = this;
    if (this.quantize !== undefined)
      fail("model/quantized", "the weights are no longer those that were trained", {
        where: this.folder,
        expected: "a model loaded as it is",
        got: `one loaded in ${this.quantize}`,
        fix: "load it without quantize, and save that",
      });
    const names = [...this.built.module.parameters().keys()];
    const { lora, prefix } = description.adapter ?? {};
    const values = () => new Map(names.map((name) => [name, store.read(name)]));
    const tensors =
      lora !== undefined && options.layout === "huggingface"
        ? await mergeLora(values(), lora, this.engine)
        : prefix?.projection !== undefined && options.layout === "peft"
          ? await applyProjection(values(), this.built.module, this.engine)
          : new Map(names.map((name) => [name, { ...store.typeOf(name), data: () => store.read(name).data }]));
    await writeModelFiles(folder, { description, tensors, files }, options);
  }
}

/** Loads a trained model from a run folder, a checkpoint, or a folder that `save` wrote. */
export async function load<Label extends string = string, Row extends PredictInput = PredictInput>(
  folder: string,
  options: LoadOptions = {},
): Promise<TrainedModel<Label, Row>> {
  return await TrainedModel.load<Label, Row>(folder, options);
}

/** Pixels as the training saw them. Errors with `data/record`. */
function encodeImages(rows: readonly PredictInput[], { shape, mean, scale }: ImageEncoder): Float32Array {
  const width = sizeOf(shape);
  const features = new Float32Array(rows.length * width);
  rows.forEach((row, at) => {
    const pixels = row as ArrayLike<number>;
    if (typeof row !== "object" || pixels?.length !== width)
      fail("data/record", "this model predicts images", {
        where: `row ${at + 1}`,
        expected: `an array of ${width} pixels from 0 to 255, row after row`,
        got: typeof row === "object" && pixels?.length !== undefined ? `${pixels.length} values` : typeof row,
        fix: "give one image, or a list of images, as expected",
      });
    for (let pixel = 0; pixel < width; pixel++) {
      const value = pixels[pixel]!;
      if (!(value >= 0 && value <= 255))
        fail("data/record", "this model predicts images", {
          where: `row ${at + 1}, pixel ${pixel + 1}`,
          expected: "a number from 0 to 255",
          got: String(value),
          fix: "give the bytes of the image as they are",
        });
      features[at * width + pixel] = (value - mean) / scale;
    }
  });
  return features;
}

/** A saved parameter as an engine takes it: f16 is for keeping alone, and the native engine has no f64. */
function asComputed(saved: HostArray, engine: Engine): HostArray {
  const { dtype, shape } = saved;
  const isForeign = dtype === "f16" || (dtype === "f64" && engine.name === "native");
  return isForeign ? fromNumbers("f32", shape, toNumbers(saved)) : saved;
}
