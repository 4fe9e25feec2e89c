// Text of tiny models that Transformers wrote, token for token as its `generate` writes it: greedy and by beams, one prompt and many.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromNumbers, toNumbers } from "../../src/base/index.ts";
import { ReferenceEngine } from "../../src/engine/index.ts";
import { type CachedLanguageModel, type GenerationOptions, TokenGenerator } from "../../src/generate/index.ts";
import { readHubModel } from "../../src/hub/index.ts";
import { modelFamily } from "../../src/models/index.ts";
import { assertClose } from "../support/close.ts";
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
const scratch = mkdtempSync(join(tmpdir(), "athanor-generation-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

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
        const folder = join(scratch, `${engineName}-${name}`);
        mkdirSync(folder);
        for (const [file, text] of Object.entries(read("hub").cases[name].files as { [name: string]: string }))
          writeFileSync(join(folder, file), Buffer.from(text, "base64"));
        const { family, config, tensors } = await readHubModel(folder);
        const model = modelFamily(family).build(config, { task: "language-model" }).module as CachedLanguageModel;
        const store = engine!.createStore();
        const dtype = engineName === "native" ? "f32" : "f64";
        for (const [name, array] of tensors) {
          store.declare([{ name, dtype, shape: array.shape }]);
          store.write(name, fromNumbers(dtype, array.shape, toNumbers(array)));
        }
        generator = new TokenGenerator({ engine: engine!, store, model, chunk: 4 });
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
