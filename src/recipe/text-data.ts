// The text of a recipe as tokens: read and tokenized here or, where `data.path` is a folder of shards, made already.
import { fail } from "../base/index.ts";
import {
  loadTokenizer,
  openTokenFolder,
  parseTokenizer,
  prepareText,
  readTokenManifest,
  requireTokenizer,
  type TextData,
  type TextDataOptions,
  type TextInput,
  type TokenFolder,
  type TokenizerFile,
  type TokenizerSpec,
  tokenRange,
} from "../data/index.ts";
import type { PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";

/** The shards at a recipe's `data.path`, or `undefined` where other data lies there. Errors with `config/tokens`, `data/stale-tokens`. */
export async function tokenFolder(recipe: Recipe, options: PrepareOptions): Promise<TokenFolder | undefined> {
  const { data, tokenizer } = recipe;
  if (data.path === undefined || (await readTokenManifest(data.path)) === undefined) return undefined;
  const folder = await openTokenFolder(data.path);
  try {
    const spec =
      options.files?.has("tokenizer.json") || tokenizer !== undefined
        ? tokenizerSpec(tokenizer ?? "byte", options)
        : undefined;
    if (spec !== undefined) requireTokenizer(data.path, folder.manifest.tokenizer.sha256, await known(spec));
    return folder;
  } catch (error) {
    await folder.tokens.close();
    throw error;
  }
}

/** A tokenizer that is there, for its hash. */
async function known(spec: TokenizerSpec) {
  if (typeof spec === "object" && "file" in spec) return await loadTokenizer(spec.file);
  if (typeof spec === "object" && "content" in spec) return parseTokenizer(spec.content);
  return fail("config/tokens", "the tokens are made already", {
    where: "tokenizer",
    expected: "no tokenizer, or the tokenizer.json that made them",
    got: JSON.stringify(spec),
    fix: "leave tokenizer out: the folder has its own",
  });
}

/** A text in its two parts: shards cut where the held-out share of the tokens begins, or text that is read and tokenized here. */
export async function textData(recipe: Recipe, options: PrepareOptions): Promise<TextData> {
  const folder = await tokenFolder(recipe, options);
  if (folder === undefined) return await prepareText(textInput(recipe), textSettings(recipe, options));
  const { manifest, tokens, tokenizer } = folder;
  const { sources, skipped, replaced } = manifest;
  const cut = Math.floor(tokens.length * (1 - recipe.data.heldOut));
  const total = (key: "documents" | "characters" | "bytes") => sources.reduce((sum, source) => sum + source[key], 0);
  return {
    tokenizer,
    train: tokenRange(tokens, 0, cut),
    validation: tokenRange(tokens, cut, tokens.length),
    report: {
      documents: total("documents"),
      characters: total("characters"),
      bytes: total("bytes"),
      skipped,
      replaced,
      sha256: tokens.fingerprint,
      trainCharacters: Math.floor(total("characters") * (1 - recipe.data.heldOut)),
      cached: false,
    },
  };
}

/** How a recipe's text is read and tokenized. */
function textSettings({ tokenizer = "char", data }: Recipe, options: PrepareOptions): TextDataOptions {
  return {
    tokenizer: tokenizerSpec(tokenizer, options),
    validation: data.heldOut,
    invalid: data.invalid,
    ...(data.cache === undefined ? {} : { cacheFolder: data.cache }),
  };
}

function textInput({ data }: Recipe): TextInput {
  if (data.path !== undefined) return { path: data.path };
  return { texts: data.rows as Iterable<string> | AsyncIterable<string> };
}

/** The trained model's own tokenizer, or the recipe's word for one as the data folder's. */
export function tokenizerSpec(tokenizer: NonNullable<Recipe["tokenizer"]>, { files }: PrepareOptions): TokenizerSpec {
  const saved = files?.get("tokenizer.json");
  if (saved !== undefined) return { content: JSON.parse(saved) as TokenizerFile };
  if (tokenizer === "char" || tokenizer === "byte" || typeof tokenizer !== "string") return tokenizer;
  return { file: tokenizer };
}
