// From a validated recipe to what training needs: data read and encoded, model built, task, optimizer, batches. The names in
// the recipe are resolved here and nowhere else.
import { freezeCopies } from "../align/index.ts";
import { AthanorError, type Clock, fail, parseBytes } from "../base/index.ts";
import type { ChatFormat, ChoiceRow, TargetUnit, TextNumber, TextPair, Tokenizer } from "../data/index.ts";
import { type BuiltModel, type ModelFamily, modelFamilies, modelFamily, type TaskName } from "../models/index.ts";
import {
  type BatchSizes,
  clockOf,
  couplings,
  type EvaluatedLoss,
  type Optimizer,
  parseOptimizer,
  validateSchedule,
} from "../optim/index.ts";
import type { Batch, BatchSource, StepDescription, StepPrograms } from "../train/index.ts";
import { adapt, adapterWarnings, freezeBeside } from "./adapter.ts";
import { type Batches, evaluationRows } from "./batches.ts";
import { chosenModel } from "./chosen-model.ts";
import { distilled } from "./distillation.ts";
import { keepsReference, learnsFromPairs } from "./loss.ts";
import { type MixableRows, prepareMixture } from "./mixture.ts";
import { tellSlots } from "./notes.ts";
import { prepareConversations, prepareSeparateTexts } from "./prepare-chat.ts";
import { prepareChoices } from "./prepare-choices.ts";
import { prepareImageRows, readsImages } from "./prepare-images.ts";
import { prepareLabelledWords } from "./prepare-labelled-words.ts";
import { prepareMaskedText } from "./prepare-masked-text.ts";
import { preparePairs } from "./prepare-preferences.ts";
import { prepareQuestions } from "./prepare-questions.ts";
import { prepareRelatedTexts } from "./prepare-related-texts.ts";
import { prepareRewardModel } from "./prepare-reward-model.ts";
import { prepareRewarded } from "./prepare-rewards.ts";
import { prepareSequenceWindows } from "./prepare-sequence-windows.ts";
import { prepareTableData } from "./prepare-table.ts";
import { prepareLanguageModel } from "./prepare-text.ts";
import { prepareTextClasses } from "./prepare-text-classes.ts";
import { prepareTextsWithNumbers } from "./prepare-text-numbers.ts";
import { prepareSequences } from "./prepare-text-pairs.ts";
import { dataSchema, type Recipe } from "./schema.ts";
import { applyStarts, widen } from "./starts.ts";
import { scheduleWarnings } from "./suspicions.ts";
import { type Watching, watchingOf } from "./watching.ts";

/** Rows that a model is scored on, with what is right. */
export type HeldOutRows =
  | { readonly kind: "numbers"; readonly rows: readonly TextNumber[] }
  | { readonly kind: "choices"; readonly rows: readonly ChoiceRow[] };

/** Data and model of a run. */
export interface PreparedData {
  /** The family's name, the module, and its complete configuration. */
  readonly family: string;
  readonly built: BuiltModel;
  /** Class names by id, for classifiers. */
  readonly classes?: readonly string[];
  /** The column that a text classifier reads. */
  readonly textColumn?: string;
  /** Of numbers that are read off texts: what turns outputs into them. */
  readonly unit?: TargetUnit;
  readonly task: StepDescription["task"];
  readonly source: BatchSource;
  readonly batches: Batches;
  /** The rows themselves, where they can be mixed with those of other sources. */
  readonly rows?: MixableRows;
  /** Held-out batches of `evalBatchSize` rows, anew at each call. */
  readonly heldOut: () => AsyncIterable<Batch>;
  /** Of models that make texts from texts, or vectors: what is held out, as texts. */
  readonly heldOutPairs?: readonly TextPair[];
  /** Of models that read numbers off texts, or choose among them: what is held out, as rows. */
  readonly heldOutRows?: HeldOutRows;
  readonly dataHash: string;
  /** Mean loss, as it is told, of the best answer that is the same for every row; left out where the loss has no simple one. */
  readonly baseline?: number | undefined;
  /** False where training lowers another loss than evaluations tell. */
  readonly isSameLoss?: boolean | undefined;
  /** What looks wrong with the data. */
  readonly warnings: readonly AthanorError[];
  /** For models of text. */
  readonly tokenizer?: Tokenizer;
  /** How a model of conversations writes them. */
  readonly chat?: ChatFormat;
  /** Small files that a checkpoint carries: `tokenizer.json`, `table.json`. */
  readonly files: { readonly [name: string]: string };
  /**
   * What is computed with the weights that training begins with, or taken from the files of a checkpoint; files for every checkpoint. Before
   * the first batch.
   */
  readonly begin?: (
    programs: StepPrograms,
    files?: ReadonlyMap<string, string>,
  ) => Promise<{ readonly [name: string]: string }>;
  /** Closes the token files, where the data lies in some. */
  readonly close?: () => Promise<void>;
}

export interface Prepared
  extends Omit<PreparedData, "rows" | "built" | "task" | "family" | "classes" | "textColumn" | "unit" | "batches"> {
  readonly recipe: Recipe;
  /** How the run is watched. */
  readonly watching: Watching;
  /** For the run's name: `gpt`, `mlp`. */
  readonly label: string;
  readonly description: StepDescription;
  /** Of a batch of so many rows; left out, of the first step's. */
  readonly learningRate: (clock: Clock, evaluations?: readonly EvaluatedLoss[], rows?: number) => number;
  readonly batchSizes: BatchSizes;
  /** A learning rate as a batch of so many rows has it. */
  readonly coupled: (rate: number, rows: number) => number;
  /** Before a step; of a run whose batches adapt, as long as they do not. */
  readonly clockAt: (step: number) => Clock;
}

export interface PrepareOptions {
  /** Encoders of a trained model, `tokenizer.json` or `table.json`: used as they are, nothing is fitted to this data. */
  readonly files?: ReadonlyMap<string, string>;
  readonly onNote?: (text: string) => void;
  /** The run begins with random weights. */
  readonly isFresh?: boolean;
  /** Runs the work of a part that is to be timed by itself. */
  readonly time?: <T>(part: "optimizer", work: () => T) => T;
}

type Reader = keyof typeof readers;

/** What a model that writes text may learn in place of it. */
const readTasks: readonly string[] = ["classification", "regression", "multiple-choice"];

/** The reader that fits a model's inputs and tasks. */
function readerOf(recipe: Recipe, family: string): Reader {
  const { tasks, reads } = modelFamily(family);
  const rows = readsImages(recipe) ? "images" : "table";
  const { task, chat, packing, objective } = recipe.data;
  const plain = objective === "prefix" ? "prefixes" : "text";
  const apart = packing ? "separateTexts" : plain;
  const judged = learnsFromPairs(recipe) ? "pairs" : chat === undefined ? apart : "conversations";
  const scored = recipe.loss?.bradleyTerry === undefined ? judged : "scored";
  const written = recipe.loss?.grpo === undefined ? scored : "rewarded";
  const windows = objective === undefined ? "textPairs" : objective === "prefix" ? "sourcePrefixes" : "hiddenSpans";
  const records = tasks.includes("sequence-to-sequence") ? windows : "labelledTexts";
  const read = readersOfTasks[task ?? ""] ?? records;
  const writes = tasks.includes("language-model") && !readTasks.includes(task ?? "");
  return writes ? written : reads === "texts" ? read : rows;
}

async function readData(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const [name] = chosenModel(recipe);
  const { tasks } = modelFamily(name);
  const { task } = recipe.data;
  const reader = readerOf(recipe, name);
  if (task !== undefined && !tasks.includes(task))
    fail("config/task", "this model does not learn that", {
      where: "data.task",
      expected: tasks.join(", "),
      got: task,
      fix: "name one of these, or choose another model",
    });
  refuseUnread(recipe, name);
  // With a trained model's encoders no batch is trained on: the data may well be smaller than one.
  const { files } = options;
  const settled = files === undefined ? recipe : { ...recipe, data: { ...recipe.data, onShort: "wrap" as const } };
  const { mix } = settled.data;
  const chosen = readers[reader];
  const made = mix === undefined ? chosen(settled, options) : prepareMixture(settled, mix, chosen, options);
  return await made.catch((error) => tellSource(error, recipe));
}

/** The error again; where data is missing, with the recipe's own word on where to get it. */
function tellSource(error: unknown, { data: { path, source } }: Recipe): never {
  if (!(error instanceof AthanorError) || error.code !== "data/no-file" || source === undefined) throw error;
  const { what, where, got = "no file", fix = "check data.path" } = error;
  return fail(error.code, what, {
    where: path ?? where ?? "data.path",
    got,
    fix: `${fix}\ndata.source says: ${source}`,
    cause: error,
  });
}

const readers = {
  text: prepareLanguageModel,
  prefixes: prepareLanguageModel,
  separateTexts: prepareSeparateTexts,
  conversations: prepareConversations,
  pairs: preparePairs,
  rewarded: prepareRewarded,
  scored: prepareRewardModel,
  maskedText: prepareMaskedText,
  labelledWords: prepareLabelledWords,
  questions: prepareQuestions,
  relatedTexts: prepareRelatedTexts,
  labelledTexts: prepareTextClasses,
  numberedTexts: prepareTextsWithNumbers,
  choices: prepareChoices,
  textPairs: prepareSequences,
  hiddenSpans: prepareSequenceWindows,
  sourcePrefixes: prepareSequenceWindows,
  table: prepareTableData,
  images: prepareImageRows,
};

/** Those that a task of texts has to itself. */
const readersOfTasks: { readonly [task: string]: Reader } = {
  "masked-language-model": "maskedText",
  "token-classification": "labelledWords",
  "question-answering": "questions",
  embedding: "relatedTexts",
  regression: "numberedTexts",
  "multiple-choice": "choices",
};

const columnsOfTexts: readonly Reader[] = ["labelledTexts", "numberedTexts", "textPairs", "relatedTexts"];
const columns: readonly Reader[] = [...columnsOfTexts, "table"];
const conversed: readonly Reader[] = ["pairs", "scored", "separateTexts", "conversations"];
const asked: readonly Reader[] = ["labelledWords", "questions", "choices"];
const streams: readonly Reader[] = ["text", "prefixes", "maskedText", "hiddenSpans", "sourcePrefixes"];

/** Settings that only some readers look at. */
const readBy: { readonly [key: string]: readonly Reader[] } = {
  "data.cache": streams,
  "data.context": ["text"],
  "data.format": columns,
  "data.heldOutPath": [...columns, ...asked, "images"],
  "data.target": columns,
  "data.text": ["separateTexts", ...columnsOfTexts],
  "data.header": columns,
  "data.separator": columns,
  "data.quote": columns,
  "data.missingMarkers": columns,
  "data.columns": ["table"],
  "data.task": ["table", "labelledTexts", "numberedTexts", "maskedText", "relatedTexts", ...asked],
  "data.masking": ["maskedText"],
  "data.objective": ["prefixes", "hiddenSpans", "sourcePrefixes"],
  "data.spans": ["hiddenSpans"],
  "data.bins": ["table"],
  "data.missing": ["table"],
  "data.missingTarget": ["table"],
  "data.notFinite": ["table"],
  "data.chat": ["pairs", "conversations"],
  "data.packing": ["separateTexts", "conversations"],
  "data.mix": ["text", "maskedText", "separateTexts", "conversations"],
  "data.onShort": [...columns, ...asked, ...conversed, "images"],
  loss: [...columns, "pairs", "rewarded", "scored", "images"],
  tokenizer: [...streams, ...columnsOfTexts, ...asked, ...conversed, "rewarded"],
  samples: ["text", "prefixes", "separateTexts", "pairs", "rewarded", "conversations"],
};

/** Settings of a recipe that a model of another family may read, and this one does not. */
function unreadBy(recipe: Recipe, family: string): string[] {
  const defaults = dataSchema.parse({});
  const reader = readerOf(recipe, family);
  return Object.entries(readBy).flatMap(([key, by]) => {
    const [first, second] = key.split(".") as ["data", keyof Recipe["data"]] | [keyof Recipe];
    const value = second === undefined ? recipe[first] : recipe.data[second];
    const usual = second === undefined ? undefined : defaults[second];
    const isTaught = key === "loss" && recipe.loss?.distillation !== undefined; // any task of classes or tokens
    return isTaught || by.includes(reader) || JSON.stringify(value) === JSON.stringify(usual) ? [] : [key];
  });
}

/** A setting that nothing reads is a mistake, not a decoration. Errors with `config/unread`. */
function refuseUnread(recipe: Recipe, family: string): void {
  const unread = unreadBy(recipe, family);
  if (unread.length === 0) return;
  const { task } = recipe.data;
  const learns = ({ tasks }: ModelFamily) => task === undefined || tasks.includes(task);
  const others = [...modelFamilies.values()]
    .filter((other) => learns(other) && unreadBy(recipe, other.name).length === 0)
    .map(({ name }) => name);
  const out = `take ${unread.length === 1 ? "it" : "them"} out`;
  fail("config/unread", `${unread.length === 1 ? "a setting has" : "settings have"} no meaning for this model`, {
    where: unread.join(", "),
    expected: `settings that model.${family} reads`,
    got: unread.join(", "),
    fix: others.length === 0 ? out : `${out}, or choose another model: ${others.join(", ")}`,
  });
}

/** Reads the data and builds the model of a recipe. Errors with `config/*`, `data/*`, `tokenizer/*`, `optim/*`. */
export async function prepare(recipe: Recipe, options: PrepareOptions = {}): Promise<Prepared> {
  const { time = (_, work) => work() } = options;
  const settingsWith = (heads: readonly string[]) => {
    const beside = freezeBeside(recipe.adapter, recipe.optimizer, heads);
    const held = keepsReference(recipe) ? freezeCopies(beside, "reference") : beside;
    return recipe.loss?.distillation === undefined ? held : freezeCopies(held, "teacher");
  };
  const { steps, mup } = recipe;
  const asWritten = time("optimizer", () => parseOptimizer(settingsWith([]), { steps }));
  const named = (["path", "rows", "mix"] as const).filter((key) => recipe.data[key] !== undefined);
  if (named.length !== 1) {
    fail("config/data", "a recipe names its data once", {
      where: "data",
      expected: "one of data.path, data.rows and data.mix",
      got: named.map((key) => `data.${key}`).join(" and ") || "none of them",
      fix: "give data.path: a file, folder or glob",
    });
  }
  requireEvaluations(recipe, asWritten);
  const plain = await readData(recipe, options);
  const heads = adapt(plain.built.module, recipe.adapter, plain.family, plain.task.name);
  const data = await distilled(recipe, plain); // a teacher gets no adapter
  const { built, family, classes, textColumn, unit, task, source, files, batches, ...rest } = data;
  applyStarts(built.module, recipe.init);
  const settings = settingsWith(heads);
  const factors = mup && widen({ ...built, family, task: task.name as TaskName }, mup, settings);
  const optimizer =
    heads.length === 0 && factors === undefined
      ? asWritten
      : parseOptimizer(settings, { steps, ...(factors && { factors }) });
  const { sizes, microbatch, shapes, note } = batches;
  if (recipe.batch.tokens !== undefined && shapes === undefined) await refuseTokens(data);
  if (note !== undefined) options.onNote?.(note);
  const { itemsPerRow } = task;
  const onClock = batches.clockAt ?? clockOf(sizes, { itemsPerRow, samplesPerEpoch: source.samplesPerEpoch });
  const first = sizes.at(onClock(0));
  const coupled = (rate: number, rows: number) => rate * couplings[recipe.batch.coupling](rows, first);
  time("optimizer", () => validateSchedule(optimizer.learningRate, recipe.steps, onClock));
  if (sizes.sizes.length > 1 && shapes === undefined) refuseSteps(optimizer, recipe.steps, onClock);
  const warnings = [
    ...data.warnings,
    ...scheduleWarnings(optimizer.learningRate, recipe.steps, onClock),
    ...(options.isFresh === true ? adapterWarnings(recipe.adapter) : []),
  ];
  if (recipe.watch.onWarning === "stop" && warnings.length > 0) {
    await data.close?.();
    throw warnings[0];
  }
  tellSlots(optimizer, built.module, options.onNote);
  return {
    ...rest,
    warnings,
    watching: watchingOf(recipe, data),
    source,
    recipe,
    label: family,
    files: {
      ...files,
      "model.json": JSON.stringify({
        format: "athanor-model",
        family,
        config: built.config,
        ...(recipe.adapter === undefined ? {} : { adapter: recipe.adapter }),
        task: task.name,
        seed: recipe.seed,
        ...(classes === undefined ? {} : { classes }),
        ...(textColumn === undefined ? {} : { textColumn }),
        ...(unit === undefined ? {} : { unit }),
      }),
    },
    description: {
      model: built.module,
      task,
      optimizer,
      batchSize: shapes?.[0]?.rows ?? first,
      batchSizes: sizes.sizes,
      shapes,
      lanes: recipe.batch.lanes,
      microbatch,
      measureNoise: sizes.measure !== undefined,
      evalBatchSize: evaluationRows(recipe),
      dtype: recipe.precision === "f64" ? "f64" : "f32",
      weights: recipe.weights === "bf16" ? "bf16" : undefined,
      storage: recipe.precision === "bf16" ? "bf16" : undefined,
      seed: recipe.seed,
      memoryBytes: recipe.memory === undefined ? undefined : parseBytes(recipe.memory),
      recompute: recipe.recompute,
      limited: recipe.watch.onSpike !== "tell",
    },
    learningRate: (clock, evaluations, rows = first) => coupled(optimizer.learningRate.at(clock, evaluations), rows),
    coupled,
    batchSizes: sizes,
    clockAt: onClock,
  };
}

/** What is seen in evaluations needs some. Errors with `config/invalid`. */
function requireEvaluations({ eval: { every, patience }, checkpoint }: Recipe, { learningRate }: Optimizer): void {
  if (learningRate.needsEvaluations && every === 0) {
    fail("config/invalid", "a plateau is seen in evaluations, and none are made", {
      where: "eval.every",
      expected: "steps between evaluations, for the learning rate's plateau",
      got: "0",
      fix: "set eval.every: 250, or another schedule",
    });
  }
  const kept = { "eval.every": every, "checkpoint.best": checkpoint.best };
  const [missing] = Object.entries(kept).find(([, value]) => patience > 0 && value === 0) ?? [];
  if (missing !== undefined) {
    fail("config/invalid", "early stopping ends with the state of the best evaluation, and there will be none", {
      where: missing,
      expected: "at least 1, for eval.patience",
      got: "0",
      fix: "set eval.every: 250 and checkpoint.best: 1, or eval.patience: 0",
    });
  }
}

/** Batches of tokens need rows that differ in length. Errors with `config/unread`. */
async function refuseTokens({ family, close }: PreparedData): Promise<never> {
  await close?.();
  return fail("config/unread", "these rows are all of one length", {
    where: "batch.tokens",
    expected: "classes of texts, pairs of texts, or conversations that are not packed",
    got: `other data for model.${family}`,
    fix: "set batch.size",
  });
}

/** A rate that counts steps would be bent by batches that change. Errors with `config/invalid`. */
function refuseSteps({ learningRate }: Optimizer, steps: number, onClock: (step: number) => Clock): void {
  if (learningRate.unit !== "steps") return;
  const rates = (step: number) => learningRate.at(onClock(step));
  const changed = Array.from({ length: steps }, (_, step) => step).find((step) => rates(step) !== rates(0));
  if (changed === undefined) return;
  fail("config/invalid", "a learning rate that counts steps is bent by batches that change", {
    where: `lr (${learningRate.describe()})`,
    expected: "a schedule in samples, tokens or epochs, beside a batch.size that is a schedule",
    got: `unit: steps, and another rate from step ${changed} on`,
    fix: `give the schedule the unit samples: this run sees ${onClock(steps).samples} of them`,
  });
}
