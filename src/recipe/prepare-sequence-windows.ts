// Raw text for a model that writes one text from another: of its windows either spans are hidden, which are to be written, or a beginning is
// read and the rest written.
import { fail } from "../base/index.ts";
import {
  hiddenSpans,
  randomPrefix,
  SequenceWindows,
  sentinelIds,
  spanCounts,
  spanWindow,
  type Tokenizer,
  type WindowCut,
} from "../data/index.ts";
import { type BuiltModel, modelFamily, type SequenceConfig } from "../models/index.ts";
import { sequenceTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import { chosenModel } from "./chosen-model.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import { tellText, textFacts } from "./prepare-text.ts";
import type { Recipe } from "./schema.ts";
import { textData } from "./text-data.ts";

/** A model and how windows of a text are laid out for it. */
interface Plan {
  readonly built: BuiltModel;
  readonly cut: WindowCut;
  /** Tokens of a window, and of what is read and written at most, the end counted. */
  readonly width: number;
  readonly source: number;
  readonly target: number;
  /** Of what is written on average: tokens of the text, and marks, each of which is known from its place. */
  readonly tokens: number;
  readonly marks: number;
}

export async function prepareSequenceWindows(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const text = await textData(recipe, options);
  const { train, validation, tokenizer, report } = text;
  const [family] = chosenModel(recipe);
  const close = async () => void (await Promise.all([train.close(), validation.close()]));
  try {
    const { built, cut, width, source, target, tokens, marks } = planOf(recipe, tokenizer);
    const layout = { ...(built.config as SequenceConfig), context: source, targetContext: target };
    tellText(report, train, options);
    const shared = { ...cut, width, layout, seed: recipe.seed };
    const windows = new SequenceWindows(train, {
      ...shared,
      order: recipe.batch.size === "all" ? "sequential" : "random",
    });
    const heldOut = new SequenceWindows(validation, { ...shared, order: "sequential" });
    const facts = await textFacts(text, recipe, options);
    const inputs = {
      source: { dtype: "i32", shape: [source] },
      tokens: { dtype: "i32", shape: [target] },
    } as const;
    return {
      ...facts,
      family,
      built,
      task: sequenceTask(inputs),
      ...trainingSource(windows, recipe, { order: "random", samplesPerEpoch: train.length / width }),
      heldOut: () => heldOutBatches(heldOut, evaluationRows(recipe)),
      baseline: facts.baseline && withMarks(facts.baseline, tokens, marks),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function planOf(recipe: Recipe, tokenizer: Tokenizer): Plan {
  const [family, config] = chosenModel(recipe);
  const build = (vocab: number) => modelFamily(family).build(config, { task: "sequence-to-sequence", vocab });
  const built = build(tokenizer.vocabSize);
  const { context, targetContext } = built.config as SequenceConfig;
  const { objective, spans } = recipe.data;
  if (objective === "prefix") {
    const width = Math.min(context, targetContext);
    return { built, cut: randomPrefix, width, source: width, target: width, tokens: width / 2, marks: 1 };
  }
  const width = spanWindow(context, spans);
  const counts = spanCounts(Math.max(2, width), spans);
  if (targetContext < counts.target)
    fail("config/target-context", "the model writes less than is hidden", {
      where: `model.${family}.targetContext`,
      expected: `at least ${counts.target}: ${counts.hidden} hidden tokens of ${width}, ${counts.spans} sentinels and an end`,
      got: String(targetContext),
      fix: `set model.${family}.targetContext: ${counts.target}, or hide less (data.spans.noise)`,
    });
  const { ids, size } = sentinelIds(tokenizer, counts.spans);
  const { source, target, hidden: tokens } = counts;
  return { built: build(size), cut: hiddenSpans(spans, ids), width, source, target, tokens, marks: counts.spans + 1 };
}

/** Entropy of a target drawn from one written text: some of its tokens have that of the text, the others are marks, each there once. */
function withMarks(entropy: number, tokens: number, marks: number): number {
  const all = tokens + marks;
  return (tokens / all) * (entropy + Math.log(all / tokens)) + (marks / all) * Math.log(all);
}
