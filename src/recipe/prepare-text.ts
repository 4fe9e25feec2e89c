// Text for a language model: read, split, tokenized, cut into windows.
import { fail } from "../base/index.ts";
import {
  BpeTokenizer,
  byteTokenizer,
  CharTokenizer,
  loadTokenizer,
  readText,
  type TextInput,
  type Tokenizer,
  trainBpe,
  WordCounter,
} from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { languageModelTask } from "../train/index.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";
import { allWindows, randomWindows } from "./windows.ts";

export async function prepareText(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { text, report } = await readText(textInput(recipe), { invalid: recipe.data.invalid });
  const cut = splitPoint(text, 1 - recipe.data.heldOut);
  const [training, heldOut] = [text.slice(0, cut), text.slice(cut)];
  const tokenizer = await makeTokenizer(recipe, text, training);
  const [name, config] = chosenModel(recipe);
  const built = modelFamily(name).build(config, { task: "language-model", vocab: tokenizer.vocabSize });
  const context =
    built.inputs.tokens?.shape[0] ?? fail("model/task", `${name} is no language model`, { where: "model" });
  const [trainingTokens, heldOutTokens] = [tokenizer.encode(training), tokenizer.encode(heldOut)];
  options.onNote?.(
    `${report.characters.toLocaleString("en")} characters in ${report.documents} documents, ${trainingTokens.length.toLocaleString("en")} training tokens of ${tokenizer.vocabSize} kinds`,
  );
  for (const [part, tokens] of [
    ["training", trainingTokens],
    ["held-out", heldOutTokens],
  ] as const) {
    if (tokens.length <= context) {
      fail("data/short-text", `the ${part} text is shorter than the context`, {
        where: recipe.data.path ?? "data.rows",
        expected: `more than ${context} tokens`,
        got: `${tokens.length} tokens`,
        fix: `set model.${name}.context below ${tokens.length}, or give more text`,
      });
    }
  }
  return {
    family: name,
    built,
    task: languageModelTask(context),
    source: randomWindows(trainingTokens, context, recipe.batch.size, recipe.seed),
    heldOut: () => allWindows(heldOutTokens, context, recipe.eval.batch ?? recipe.batch.size),
    dataHash: report.sha256,
    tokenizer,
    files: { "tokenizer.json": JSON.stringify(tokenizer) },
  };
}

function textInput({ data }: Recipe): TextInput {
  if (data.path !== undefined) return { path: data.path };
  return { texts: data.rows as Iterable<string> | AsyncIterable<string> };
}

export function chosenModel(recipe: Recipe): [name: string, config: unknown] {
  return Object.entries(recipe.model).find(([, config]) => config !== undefined)!;
}

/** A share of the text that does not cut a character in two. */
function splitPoint(text: string, share: number): number {
  const at = Math.floor(text.length * share);
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff ? at + 1 : at;
}

async function makeTokenizer(recipe: Recipe, whole: string, training: string): Promise<Tokenizer> {
  const { tokenizer = "char" } = recipe;
  // A character vocabulary takes all characters, so that the held-out part can be read; it learns nothing else of it.
  if (tokenizer === "char") return CharTokenizer.train(whole);
  if (tokenizer === "byte") return byteTokenizer();
  if (typeof tokenizer === "string") return await loadTokenizer(tokenizer);
  const counter = new WordCounter();
  counter.add(training);
  return new BpeTokenizer(await trainBpe(counter.counts, { vocabSize: tokenizer.bpe }));
}
