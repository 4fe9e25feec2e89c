// Text of tiny models that Transformers wrote, token for token as its `generate` writes it: greedy and by beams, one prompt and many.
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { ReferenceEngine } from "../../src/engine/index.ts";
import { type CachedLanguageModel, type GenerationOptions, TokenGenerator } from "../../src/generate/index.ts";
import { assertClose } from "../support/close.ts";
import { loadGolden } from "../support/hub-golden.ts";
import { nativeEngine } from "../support/run-native.ts";

interface Text {
  readonly tokens: readonly number[];
}

const read = (name: string) => JSON.parse(readFileSync(`test/golden/${name}.json`, "utf8"));
const { cases, prompts, maxTokens } = read("generation") as {
  readonly cases: {
    readonly [name: string]: {
      readonly end: number;
      readonly greedy: { readonly [setting: string]: readonly Text[] };
      readonly beams: {
        readonly [setting: string]: readonly { readonly texts: readonly Text[]; readonly scores: number[] }[];
      };
    };
  };
  readonly prompts: readonly Text[];
  readonly maxTokens: number;
};
const engines = { reference: new ReferenceEngine(), native: nativeEngine(2) };
const settings = {
  one: {},
  short: { lengthPenalty: 0 },
  long: { lengthPenalty: 2.5 },
  early: { earlyStopping: true },
};

for (const [engineName, engine] of Object.entries(engines)) {
  describe.skipIf(engine === undefined).each(Object.entries(cases))(
    `%s on the ${engineName} engine`,
    (name, golden) => {
      let generator: TokenGenerator;

      beforeAll(async () => {
        const { model, store } = await loadGolden(name, engine!);
        generator = new TokenGenerator({ engine: engine!, store, model: model as CachedLanguageModel, chunk: 4 });
      });

      const greedy: { [setting: string]: GenerationOptions } = {
        plain: {},
        ends: { stopTokens: [golden.end] },
        "repetition penalty": { repetitionPenalty: 1.4 },
      };
      test.each(Object.entries(golden.greedy))("greedy: %s", async (setting, wanted) => {
        const options = { ...greedy[setting]!, temperature: 0, maxTokens };
        const inputs = prompts.map(({ tokens }) => tokens);
        const together = await generator.generateAll(inputs, options);
        expect(together.map(({ tokens }) => tokens)).toEqual(wanted.map(({ tokens }) => tokens));
        const [alone] = await generator.generateAll(inputs.slice(1, 2), options);
        expect(alone!.tokens).toEqual(wanted[1]!.tokens);
      });

      test.each(Object.entries(golden.beams))("beams: %s", async (setting, wanted) => {
        for (const [at, { tokens }] of prompts.entries()) {
          const options = { ...settings[setting as keyof typeof settings], beams: 3, maxTokens };
          const found = await generator.search(tokens, options, [golden.end]);
          expect(found.map((one) => ({ tokens: one.tokens }))).toEqual(wanted[at]!.texts);
          const scores = found.map(({ score }) => score);
          assertClose(scores, wanted[at]!.scores, { absolute: 1e-4, what: "scores" });
        }
      });
    },
  );
}
