// What every model that makes a text from a text is told: how long both may be, and which tokens begin and end what it writes.
import { z } from "zod";
import { fail } from "../base/index.ts";
import type { BuiltModel, DataFacts, SequenceConfig } from "./family.ts";

const size = z.number().int().positive();
const id = z.number().int().nonnegative();

/** Settings that their families share. */
export const sequenceSettings = {
  context: size.optional().describe("tokens that are read of a source, its end included"),
  targetContext: size.optional().describe("tokens that are written at most; left out, context"),
  vocab: size.optional().describe("rows of the token table; left out, two more than the tokenizer has: start and end"),
  start: id.optional().describe("token that a target begins with; left out, the one after the tokenizer's"),
  end: id.optional().describe("token that ends both; left out, the one after start"),
};

/** Settings of how deep the two halves of a transformer are. */
export const halvesSettings = {
  layers: size.optional().describe("of each half"),
  encoderLayers: size.optional().describe("of the half that reads; left out, layers"),
  decoderLayers: size.optional().describe("of the half that writes; left out, layers"),
};

/** What a model's `forward` takes, one row of it. */
export const sequenceInputs = ({ context, targetContext }: SequenceConfig): BuiltModel["inputs"] => ({
  source: { dtype: "i32", shape: [context] },
  tokens: { dtype: "i32", shape: [targetContext] },
});

/** Vocabulary, start and end: as given, else beside the tokenizer's tokens. Errors with `model/vocab`. */
export function settleSequence(
  where: string,
  given: Partial<Pick<SequenceConfig, "vocab" | "start" | "end">>,
  facts: DataFacts,
): Pick<SequenceConfig, "vocab" | "start" | "end"> {
  const known = facts.vocab ?? (given.vocab === undefined ? undefined : given.vocab - 2);
  if (known === undefined)
    return fail("model/vocab", "the size of the vocabulary is not known", { where, fix: "give vocab, or a tokenizer" });
  const { start = known, end = Math.max(known, start) + 1 } = given;
  const needed = Math.max(known, start + 1, end + 1);
  const { vocab = needed } = given;
  if (vocab < needed || start === end)
    fail("model/vocab", "the vocabulary has no place for all tokens", {
      where,
      expected: `vocab of at least ${needed}: the tokenizer's ${known}, and start and end, which differ`,
      got: `vocab ${vocab}, start ${start}, end ${end}`,
      fix: "leave vocab, start and end out",
    });
  return { vocab, start, end };
}
