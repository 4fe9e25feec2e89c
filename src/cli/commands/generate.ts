// athanor generate: text from a trained language model, as it is made.
import type { Command } from "commander";
import { load, type TrainedModel } from "../../api/index.ts";
import { fail, parseConfig, shellWord } from "../../base/index.ts";
import { type QuantizedFormat, quantizedFormats } from "../../core/index.ts";
import { generationSchema } from "../../generate/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { adapterHelp, choiceOption, numberOption, pathOption, rawHelp, refuseUnused, wholeOption } from "../options.ts";
import { exitCodes } from "../output.ts";

interface GenerateFlags {
  readonly prompt: string;
  readonly tokens: number;
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly stop?: readonly string[];
  readonly samples: number;
  readonly quantize?: QuantizedFormat;
  readonly beams?: number;
  readonly lengthPenalty: number;
  readonly draft?: string;
  readonly draftTokens: number;
  readonly seed: number;
  readonly greedy?: boolean;
  readonly chat?: boolean;
  readonly system?: string;
  readonly raw?: boolean;
  readonly adapter?: string;
}

export const defineGenerate: DefineCommand = (program, run) => {
  program
    .command("generate")
    .description("write text with a trained language model")
    .argument("<run>", "a run, checkpoint, or saved model")
    .option("--prompt <text>", "text to go on from", "\n")
    .option("--chat", "the prompt is a user's message, which the model answers by its chat template")
    .option("--system <text>", "with --chat: what the model is told before it")
    .option("--tokens <n>", "tokens to write", wholeOption("--tokens"), 200)
    .option("--temperature <t>", "1 as trained, lower is safer", numberOption("--temperature"), 0.8)
    .option("--top-k <k>", "draw from the k likeliest tokens", wholeOption("--top-k"))
    .option("--top-p <p>", "draw from the likeliest tokens that together have probability p", numberOption("--top-p"))
    .option(
      "--min-p <p>",
      "draw from tokens at least so probable as this share of the likeliest",
      numberOption("--min-p"),
    )
    .option("--repetition-penalty <x>", "make tokens less likely that were there", numberOption("--repetition-penalty"))
    .option("--stop <text...>", "end before this text comes")
    .option("--samples <n>", "texts to write, all at once", wholeOption("--samples"), 1)
    .option("--beams <n>", "search for the likeliest text, with so many beams", wholeOption("--beams"))
    .option("--length-penalty <x>", "of a search: above 0 for longer texts", numberOption("--length-penalty"), 1)
    .option("--draft <run>", "a smaller model of the same tokenizer, which proposes tokens", pathOption("--draft"))
    .option("--draft-tokens <n>", "tokens that it proposes at once", wholeOption("--draft-tokens"), 4)
    .option("--greedy", "always the likeliest token")
    .option("--seed <n>", "same seed, same text", numberOption("--seed"), 0)
    .option("--quantize <format>", "weights in few bits: int8 or nf4", choiceOption("--quantize", quantizedFormats))
    .option("--adapter <folder>", adapterHelp, pathOption("--adapter"))
    .option("--raw", rawHelp)
    .action(run(generate));
};

/** Of drawing tokens: a search takes the likeliest texts. */
const drawing = [
  "temperature",
  "topK",
  "topP",
  "minP",
  "repetitionPenalty",
  "stop",
  "greedy",
  "seed",
  "draft",
] as const;

function refuseUnusedFlags(command: Command, { beams, draft, greedy, samples }: GenerateFlags): void {
  if (beams === undefined) refuseUnused(command, ["lengthPenalty"], "it is of a search; there is no --beams");
  else refuseUnused(command, drawing, "a search with --beams takes the likeliest texts");
  if (draft === undefined) refuseUnused(command, ["draftTokens"], "there is no --draft");
  if (greedy === true) refuseUnused(command, ["temperature"], "--greedy takes the likeliest token");
  if (beams !== undefined && samples > beams)
    fail("cli/argument", "a search finds as many texts as it has beams", {
      where: "--samples",
      expected: `at most --beams: ${beams}`,
      got: `${samples}`,
      fix: `--beams ${samples}`,
    });
}

async function generate(
  { output, signal }: CommandContext,
  folder: string,
  flags: GenerateFlags,
  command: Command,
): Promise<number> {
  refuseUnusedFlags(command, flags);
  if (flags.chat === true && command.getOptionValueSource("prompt") !== "cli")
    fail("cli/argument", "there is no message to answer", {
      where: "--chat",
      expected: "--prompt beside it: what the user says",
      got: "no --prompt",
      fix: '--chat --prompt "Hello"',
    });
  const { greedy = false, topK, topP, minP, repetitionPenalty, stop = [], samples } = flags;
  const settings = parseConfig(
    generationSchema,
    {
      maxTokens: flags.tokens,
      seed: flags.seed,
      temperature: greedy ? 0 : flags.temperature,
      ...(topK === undefined ? {} : { topK }),
      ...(topP === undefined ? {} : { topP }),
      ...(minP === undefined ? {} : { minP }),
      ...(repetitionPenalty === undefined ? {} : { repetitionPenalty }),
      samples,
      draftTokens: flags.draftTokens,
    },
    "generate",
  );
  const model = await load(folder, {
    ...(flags.quantize === undefined ? {} : { quantize: flags.quantize }),
    adapter: flags.adapter,
    weights: flags.raw ? "raw" : "averaged",
    onNote: output.note,
  });
  const { task } = model.description;
  if (task !== "language-model")
    fail("model/task", "this model does not write text", {
      where: folder,
      expected: "a language model",
      got: `a model for ${task}`,
      fix: `npx athanor predict ${shellWord(folder)} FILE, where FILE holds rows to predict`,
    });
  const draft = flags.draft === undefined ? undefined : await load(flags.draft);
  const { prompt, shown, ...ends } = await begun(model, flags);
  const started = performance.now();
  if (flags.beams !== undefined) {
    const { beams, lengthPenalty, tokens: maxTokens } = flags;
    const found = await model.search(prompt, { beams, lengthPenalty, maxTokens, stopTokens: ends.stopTokens });
    for (const { text, score, tokens } of found.slice(0, samples)) {
      output.record({ prompt: flags.prompt, text, tokens: tokens.length, score });
      output.print(`${shown}${text}\n`);
    }
    return exitCodes.done;
  }
  if (samples > 1) {
    const texts = await model.generateAll([prompt], { ...settings, ...ends, stop, signal, draft });
    for (const { text, tokens, ending, draft } of texts) {
      output.record({ prompt: flags.prompt, text, tokens: tokens.length, ending, draft });
      output.print(`${shown}${text}\n`);
    }
    return texts.some(({ ending }) => ending === "aborted") ? exitCodes.interrupted : exitCodes.done;
  }
  const stream = model.stream(prompt, { ...settings, ...ends, stop, signal, draft });
  let next = await stream.next(); // a prompt that cannot be encoded is refused before anything is printed
  if (!output.json) process.stdout.write(shown);
  while (!next.done) {
    if (!output.json) process.stdout.write(next.value);
    next = await stream.next();
  }
  const { text, tokens, ending, draft: drafted } = next.value;
  const seconds = (performance.now() - started) / 1000;
  output.record({ prompt: flags.prompt, text, tokens: tokens.length, ending, draft: drafted, seconds });
  output.print("");
  const share =
    drafted === undefined
      ? ""
      : `, ${drafted.accepted} of ${drafted.proposed} draft tokens accepted (${Math.round((100 * drafted.accepted) / drafted.proposed)} %)`;
  output.note(`${tokens.length} tokens, ${(tokens.length / seconds).toFixed(0)} per second${share}`);
  return ending === "aborted" ? exitCodes.interrupted : exitCodes.done;
}

/** What the model goes on from, what of it is shown before the text, and what ends the text. */
async function begun(model: TrainedModel, { prompt, chat = false, system }: GenerateFlags) {
  if (!chat) {
    if (system !== undefined)
      fail("cli/argument", "a system message is part of a conversation", {
        where: "--system",
        expected: "--chat beside it",
        got: "no --chat",
        fix: "add --chat, or leave --system out",
      });
    return { prompt, shown: prompt, stopTokens: [], atContextEnd: "slide" as const };
  }
  const told = system === undefined ? [] : [{ role: "system", content: system } as const];
  return { ...(await model.conversation([...told, { role: "user", content: prompt }])), shown: "" };
}
