// Scores of tiny models against Transformers' own: sliding perplexity, log-likelihoods; on both engines, whatever the batch.
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { ReferenceEngine } from "../../src/engine/index.ts";
import { type LanguageModel, type ScoredRow, scoreTexts, type TokenScore, TokenScorer } from "../../src/eval/index.ts";
import { assertClose } from "../support/close.ts";
import { loadGolden } from "../support/hub-golden.ts";
import { nativeEngine } from "../support/run-native.ts";

const { text, cases } = JSON.parse(readFileSync("test/golden/evaluation.json", "utf8")) as {
  readonly text: readonly number[];
  readonly cases: {
    readonly [name: string]: {
      readonly sliding: readonly { readonly stride: number; readonly loss: number; readonly numTokens: number }[];
      readonly rows: readonly (ScoredRow & TokenScore)[];
    };
  };
};

for (const engine of [new ReferenceEngine(), nativeEngine(2)]) {
  describe.skipIf(engine === undefined).each(Object.entries(cases))(`%s, ${engine?.name} engine`, (name, golden) => {
    const absolute = engine?.name === "native" ? 1e-4 : 1e-5; // Transformers turns positions in f32
    let scorers: TokenScorer[];
    beforeAll(async () => {
      const { model, store } = await loadGolden(name, engine!);
      scorers = [1, 3, 8].map(
        (batch) => new TokenScorer({ engine: engine!, store, model: model as LanguageModel, batch }),
      );
    });

    test.each(golden.sliding)("windows $stride apart", async ({ stride, loss, numTokens }) => {
      const found = await scoreTexts(scorers[2]!, { tokens: [text], numBytes: 400 }, { stride });
      expect(found.numTokens).toBe(numTokens);
      assertClose([found.loss], [loss], { absolute, what: "loss" });
      assertClose([found.bitsPerByte], [(loss * numTokens) / Math.LN2 / 400], { absolute, what: "bits per byte" });
      expect(found.perplexity).toBe(Math.exp(found.loss));
    });

    test("log-likelihoods, and what the model would write itself, in batches of any size", async () => {
      for (const scorer of scorers) {
        const found = await scorer.score(golden.rows);
        const [actual, wanted] = [found, golden.rows].map((rows) => rows.map((row) => row.logProbability));
        assertClose(actual!, wanted!, { absolute, what: "log-likelihoods" });
        expect(found.map(({ isGreedy }) => isGreedy)).toEqual(golden.rows.map(({ isGreedy }) => isGreedy));
      }
    });

    test("rows that cannot be scored are refused", async () => {
      await expect(scorers[0]!.score([{ tokens: [1], from: 1 }])).rejects.toThrow("cannot be scored");
      await expect(scorers[0]!.score([{ tokens: [1, 2], from: 0 }])).rejects.toThrow("cannot be scored");
      await expect(scoreTexts(scorers[0]!, { tokens: [text], numBytes: 9 }, { stride: 0 })).rejects.toThrow("overlap");
      await expect(scoreTexts(scorers[0]!, { tokens: [[3]], numBytes: 9 })).rejects.toThrow("no token to score");
    });
  });
}
