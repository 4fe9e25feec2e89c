// A tokenizer file of the largest size that is sensible: it must load in linear time.
import { expect, it } from "vitest";
import { byteTokenizer, parseTokenizer } from "../../src/data/index.ts";

it("a million merges load in linear time", () => {
  const file = byteTokenizer().toJSON();
  const model = file.model as { vocab: Record<string, number> };
  const characters = Object.keys(model.vocab);
  const vocab = { ...model.vocab };
  const merges: string[] = [];
  const learn = (left: string, right: string) => {
    if (merges.length === 1e6) return;
    vocab[left + right] = characters.length + merges.length;
    merges.push(`${left} ${right}`);
  };
  for (const a of characters) {
    for (const b of characters) {
      learn(a, b);
      for (const c of characters.slice(0, 15)) learn(a + b, c);
    }
  }
  const start = process.cpuUsage();
  const tokenizer = parseTokenizer({ ...file, model: { ...model, vocab, merges } });
  expect(process.cpuUsage(start).user / 1000).toBeLessThan(30_000);
  expect(tokenizer.vocabSize).toBe(1_000_256);
  expect(tokenizer.decode(tokenizer.encode("any text, 任何文字"))).toBe("any text, 任何文字");
});
