// Scores of texts against sacrebleu's, and ROUGE against its definition written out (test/golden/text_metrics.py); what is refused.
import { describe, expect, test } from "vitest";
import golden from "../../test/golden/text-metrics.json" with { type: "json" };
import {
  type BleuTokenization,
  bleu,
  bleuTokenizationOf,
  bleuTokens,
  chrf,
  rouge,
  rougeKinds,
  rougeScore,
  sentenceBleu,
  type TextMetric,
} from "./index.ts";

type Row = { readonly text: string; readonly references: readonly string[] };

function scored(metric: TextMetric, rows: readonly Row[], references: number): number {
  for (const { text, references: all } of rows) metric.add(text, references === 1 ? all[0]! : all);
  expect(metric.count).toBe(rows.length);
  return metric.value();
}

describe.each(["english", "chinese"] as const)("%s", (name) => {
  const { rows, ...wanted } = golden[name];

  test.each(Object.entries(wanted.bleu))("words and BLEU as sacrebleu has them: %s", (tokenization, figures) => {
    const options = { tokenization: tokenization as BleuTokenization };
    rows.forEach(({ text, references }, at) => {
      expect(bleuTokens(text, options.tokenization)).toEqual(figures.tokens[at]);
      expect(sentenceBleu(text, references, options), text).toBeCloseTo(figures.sentences[at]!, 9);
    });
    expect(scored(bleu(options), rows, 1)).toBeCloseTo(figures.one, 9);
    expect(scored(bleu(options), rows, 2)).toBeCloseTo(figures.two, 9);
    expect(scored(bleu({ ...options, lowercase: true }), rows, 2)).toBeCloseTo(figures.lowercase, 9);
  });

  test("chrF and chrF++ as sacrebleu has them", () => {
    for (const [metric, words] of [
      ["chrf", 0],
      ["chrf++", 2],
    ] as const) {
      expect(scored(chrf({ words }), rows, 1)).toBeCloseTo(wanted[metric].one, 9);
      expect(scored(chrf({ words }), rows, 2)).toBeCloseTo(wanted[metric].two, 9);
    }
  });
});

test("orders of which nothing is right are smoothed, and texts too short for all orders have no BLEU", () => {
  expect(scored(bleu(), golden.smoothed.rows, 1)).toBeCloseTo(golden.smoothed.bleu, 9);
  expect(scored(bleu(), [{ text: "a b", references: ["a b"] }], 1)).toBe(golden.smoothed.short);
});

test("what is Chinese for the most part is split as Chinese", () => {
  expect(bleuTokenizationOf(["他说 ok，对吗？", "GPT 是什么意思呢"])).toBe("zh");
  expect(bleuTokenizationOf(["the word 好 means good", "1 + 1"])).toBe("13a");
});

test("ROUGE is its definition, and the published example's", () => {
  for (const kind of rougeKinds) {
    for (const row of golden.rouge) {
      const { precision, recall, f1 } = rougeScore(kind, row.text, row.reference);
      for (const [at, value] of [precision, recall, f1].entries()) expect(value).toBeCloseTo(row[kind][at]!, 12);
    }
    const metric = rouge(kind);
    for (const { text, reference } of golden.rouge) metric.add(text, reference);
    const mean = golden.rouge.reduce((sum, row) => sum + row[kind][2]!, 0) / golden.rouge.length;
    expect(metric.value()).toBeCloseTo(100 * mean, 10);
  }
});

test("of several references the best counts for ROUGE, and Chinese is compared by characters", () => {
  const metric = rouge("rouge1");
  metric.add("今天下雨", ["nothing", "今天晴"]);
  expect(metric.value()).toBeCloseTo(100 * ((2 * (2 / 4) * (2 / 3)) / (2 / 4 + 2 / 3)), 12);
  expect(rougeScore("rougeL", "GPT4在北京", "gpt4 北京").f1).toBeCloseTo((2 * (3 / 4)) / (3 / 4 + 1), 12);
});

test("the same texts in any order give the same BLEU; nothing to compare is refused", () => {
  const rows = golden.english.rows;
  expect(scored(bleu(), [...rows].reverse(), 2)).toBeCloseTo(scored(bleu(), rows, 2), 12);
  for (const metric of [bleu(), chrf(), rouge("rougeL")]) {
    expect(() => metric.value()).toThrow(expect.objectContaining({ code: "metric/empty" }));
    expect(() => metric.add("a", [])).toThrow(expect.objectContaining({ code: "metric/references" }));
  }
});
