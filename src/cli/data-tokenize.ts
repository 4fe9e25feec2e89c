// athanor data tokenize: documents into a folder of token shards, by several threads. Stopped or killed, the same command goes on.
import { relative } from "node:path";
import type { Command } from "commander";
import pc from "picocolors";
import { fail, formatBytes, formatCount, formatDuration, shellWord } from "../base/index.ts";
import { lockRun } from "../checkpoint/index.ts";
import { type TokenizeProgress, type TokenizerSpec, tokenizeDocuments } from "../data/index.ts";
import { readRecipe } from "../recipe/index.ts";
import { makeFolders } from "../track/index.ts";
import type { CommandContext, DefineCommand } from "./command.ts";
import { bytesOption, choiceOption, pathOption, wholeOption } from "./options.ts";
import { stoppedCode } from "./output.ts";

interface TokenizeFlags {
  readonly output: string;
  readonly tokenizer?: string;
  readonly vocab?: number;
  readonly workers?: number;
  readonly shardSize: number;
  readonly text?: string;
  readonly invalid?: "error" | "skip" | "replace";
}

export function defineTokenize(data: Command, run: Parameters<DefineCommand>[1]): void {
  data
    .command("tokenize")
    .description("documents into shards of tokens, which data.path of a recipe takes; what was begun is gone on with")
    .argument("<documents...>", "files (.txt, .jsonl, .json, also .gz), folders, globs; or a recipe, for its data")
    .requiredOption("--output <folder>", "where to put the shards", pathOption("--output"))
    .option(
      "--tokenizer <file>",
      "a tokenizer.json, or byte (default: byte, or the recipe's)",
      pathOption("--tokenizer"),
    )
    .option("--vocab <n>", "train a byte-pair tokenizer of so many tokens on the documents", wholeOption("--vocab"))
    .option("--workers <n>", "threads that encode (default: one for each core)", wholeOption("--workers", 1024))
    .option("--shard-size <bytes>", "most bytes of a shard", bytesOption("--shard-size"), 2 ** 26)
    .option("--text <column>", "column of rows that holds the text (default: text)")
    .option(
      "--invalid <policy>",
      "what is no valid text: error, skip, replace (default: error)",
      choiceOption("--invalid", ["error", "skip", "replace"]),
    )
    .action(run(tokenize));
}

async function tokenize(
  context: CommandContext,
  documents: string[],
  flags: TokenizeFlags,
): Promise<number | undefined> {
  const { output } = context;
  const { output: folder, shardSize, workers, vocab, tokenizer } = flags;
  if (vocab !== undefined && tokenizer !== undefined)
    fail("cli/argument", "a tokenizer is either there or trained", {
      where: "--vocab",
      expected: "one of --tokenizer and --vocab",
      got: "both",
      fix: "leave one out",
    });
  const chosen: TokenizerSpec | undefined =
    vocab !== undefined
      ? { bpe: vocab }
      : tokenizer === undefined || tokenizer === "byte"
        ? tokenizer
        : { file: tokenizer };
  const of = await documentsOf(documents);
  await makeFolders(folder);
  const lock = await lockRun(folder);
  const started = performance.now();
  const line = progressLine();
  try {
    const { shards, sources } = await tokenizeDocuments(of.paths, {
      tokenizer: chosen ?? of.tokenizer ?? "byte",
      output: folder,
      shardBytes: shardSize,
      workers,
      text: flags.text ?? of.text,
      invalid: flags.invalid ?? of.invalid ?? "error",
      signal: context.signal,
      onProgress: line.show,
    });
    const total = (key: "tokens" | "documents" | "bytes") => shards.reduce((sum, shard) => sum + shard[key], 0);
    const told = {
      shards: shards.length,
      tokens: total("tokens"),
      documents: total("documents"),
      bytes: total("bytes"),
    };
    line.end();
    output.record({ folder, ...told });
    output.print(
      `${pc.green("done")} in ${formatDuration((performance.now() - started) / 1000)}: ${folder}, ${told.tokens.toLocaleString("en")} tokens of ${told.documents.toLocaleString("en")} documents in ${sources.length.toLocaleString("en")} files, ${formatBytes(told.bytes)} in ${told.shards} shards`,
    );
    if (!output.json) output.note(`train on it: npx athanor train <recipe> --set data.path=${shellWord(folder)}`);
    return undefined;
  } catch (error) {
    line.end();
    if (!context.signal.aborted) throw error;
    output.note(pc.yellow("stopped; finished shards are kept. The same command goes on with the next one."));
    return stoppedCode(context.stoppedBy());
  } finally {
    await lock.release();
  }
}

/** The paths of a command, and what the recipe says of them where one is named. */
async function documentsOf(paths: string[]) {
  const [first = ""] = paths;
  if (paths.length > 1 || !/\.ya?ml$/.test(first)) return { paths };
  const { data, tokenizer } = await readRecipe(first, { set: [] });
  const path =
    data.path ??
    fail("config/data", "the recipe names no path of documents", {
      where: `${first}, data.path`,
      expected: "data.path: files, a folder or a glob",
      got: data.mix === undefined ? "none" : "data.mix",
      fix: "name the documents on the command line",
    });
  const spec: TokenizerSpec | undefined =
    typeof tokenizer === "string" && tokenizer !== "byte" && tokenizer !== "char" ? { file: tokenizer } : tokenizer;
  return { paths: [relative(".", path)], tokenizer: spec, text: data.text, invalid: data.invalid };
}

/** One line that is rewritten on a terminal; on a pipe, a line now and then. */
function progressLine() {
  const { stderr } = process;
  const every = stderr.isTTY ? 100 : 5000;
  let [told, stage, from, visible] = [performance.now() - (stderr.isTTY ? every : 0), "", 0, false];
  let began = performance.now();
  return {
    show({ stage: now, characters, total, tokens, shards }: TokenizeProgress) {
      if (now !== stage) [stage, began, from] = [now, performance.now(), tokens];
      if (performance.now() - told < every) return;
      told = performance.now();
      const speed = formatCount(Math.round((1000 * (tokens - from)) / (told - began + 1)));
      const text =
        total === undefined
          ? `reading the documents: ${formatCount(characters)} characters`
          : `${((100 * characters) / total).toFixed(1)} %  ${formatCount(tokens)} tokens in ${shards} shards and one begun  ${speed}/s`;
      stderr.write(stderr.isTTY ? `\r\u001b[2K${text}` : `${text}\n`);
      visible = stderr.isTTY;
    },
    end() {
      if (visible) stderr.write("\n");
      visible = false;
    },
  };
}
