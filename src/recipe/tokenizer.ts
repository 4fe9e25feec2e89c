// What a recipe says of its tokenizer: one by name, one to train, or a file. What each family takes is in data.
import { z } from "zod";
import {
  familyNames,
  type NormalizerName,
  normalizers,
  type TokenizerFamily,
  tokenizerFamilies,
} from "../data/index.ts";

const size = z.number().int().min(1).max(1_000_000);
const normalizerNames = Object.keys(normalizers) as [NormalizerName, ...NormalizerName[]];

function settingsOf(family: TokenizerFamily) {
  const { normalizer, splits } = tokenizerFamilies[family];
  return z.union([
    size,
    z.strictObject({
      vocab: size.describe("greatest number of tokens, special tokens included"),
      normalizer: z
        .enum(normalizerNames)
        .default(normalizer)
        .describe("what is done to text before it is cut; bert: lower case without accents, each CJK character apart"),
      split: z.enum(splits).default(splits[0]).describe("where text is cut into the words that no token spans"),
      minFrequency: z.number().int().min(0).default(0).describe("bpe, wordpiece: pairs seen fewer times never merge"),
    }),
  ]);
}

const families = Object.fromEntries(familyNames.map((family) => [family, settingsOf(family).optional()])) as {
  readonly [F in TokenizerFamily]: z.ZodOptional<ReturnType<typeof settingsOf>>;
};

const trained = z
  .strictObject({
    ...families,
    specialTokens: z
      .array(z.string().min(1))
      .optional()
      .describe("further tokens that no text becomes, such as those of a chat template"),
  })
  .check(({ value, issues }) => {
    const given = familyNames.filter((family) => value[family] !== undefined);
    if (given.length !== 1)
      issues.push({ code: "custom", input: value, message: `expected exactly one of ${familyNames.join(", ")}` });
  });

export const tokenizerSchema = z
  .union([
    z.literal("char"),
    z.literal("byte"),
    trained,
    z
      .string()
      .regex(/\.json$/, "expected char, byte, one to train such as { bpe: 4096 }, or the path of a tokenizer.json"),
  ])
  .describe(
    '"char", "byte", one to train, such as { bpe: vocabulary size }, { wordpiece: … } or { unigram: … }, or the path of a tokenizer.json; left out, byte for conversations and text classifiers and char for other models of text',
  );
