// Tokenizers that others made, on the `tokenizers` library in a process of its own.
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { collectGarbage } from "../../test/support/collect-garbage.ts";
import { ForeignTokenizer } from "./foreign-tokenizer.ts";
import { parseTokenizer } from "./load-tokenizer.ts";
import type { TokenizerFile } from "./tokenizer.ts";

const added = (id: number, content: string, special = true) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special,
});

/** As BERT's: words in lower case, split at spaces and punctuation, then into pieces. */
const wordPiece: TokenizerFile = {
  version: "1.0",
  truncation: { direction: "Right", max_length: 4, strategy: "LongestFirst", stride: 0 },
  padding: null,
  added_tokens: [added(0, "[PAD]"), added(1, "[UNK]"), added(2, "[CLS]"), added(7, "<extra>", false)],
  normalizer: { type: "Lowercase" },
  pre_tokenizer: { type: "Whitespace" },
  post_processor: null,
  decoder: { type: "WordPiece", prefix: "##", cleanup: true },
  model: {
    type: "WordPiece",
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: { "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, read: 3, "##ing": 4, "[": 5, "]": 6 },
  },
};

/** As T5's: pieces with scores; its special tokens stand in the vocabulary itself. */
const unigram: TokenizerFile = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [added(0, "</s>"), added(1, "<unk>")],
  normalizer: null,
  pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
  post_processor: null,
  decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
  model: {
    type: "Unigram",
    unk_id: 1,
    vocab: [
      ["</s>", 0],
      ["<unk>", 0],
      ["▁", -3],
      ["▁hello", -1],
      ["<", -5],
      ["/", -5],
      ["s", -4],
      [">", -5],
    ],
  },
};

/** A pattern of exponential time: beyond its retry limit the library aborts its process. */
const runaway: TokenizerFile = {
  ...unigram,
  added_tokens: [],
  pre_tokenizer: { type: "Split", pattern: { Regex: "(a+)+$" }, behavior: "Isolated", invert: false },
  decoder: { type: "Fuse" },
  model: { type: "WordLevel", vocab: { a: 0, "<unk>": 1 }, unk_token: "<unk>" },
};

describe("ForeignTokenizer", () => {
  it("encodes and decodes without truncating", () => {
    const tokenizer = parseTokenizer(wordPiece);
    expect(tokenizer).toBeInstanceOf(ForeignTokenizer);
    expect([...tokenizer.encode("Reading reading READ zzz read <extra>")]).toEqual([3, 4, 3, 4, 3, 1, 3, 7]);
    expect(tokenizer.decode([3, 4, 3])).toBe("reading read");
    expect(tokenizer.vocabSize).toBe(8);
    expect(tokenizer.specialTokens.get("[CLS]")).toBe(2);
    expect([...tokenizer.encode("")]).toEqual([]);
    expect(() => tokenizer.decode([8])).toThrow("[tokenizer/id]");
    const stream = tokenizer.decodeStream();
    expect([3, 4, 3].map((id) => stream.push(id)).join("") + stream.end()).toBe("reading read");
  });

  it("special tokens in text are text", () => {
    expect([...parseTokenizer(wordPiece).encode("[CLS] read")]).toEqual([5, 1, 6, 3]);
    expect([...parseTokenizer(unigram).encode("hello</s>")]).toEqual([3, 4, 5, 6, 7]);
    expect(parseTokenizer(unigram).decode([3, 0])).toBe("hello</s>");
  });

  it("tokens behind special ones that the vocabulary lacks keep the ids of the file, as Qwen's <tool_call>", () => {
    const added_tokens = [added(7, "<|im_start|>"), added(8, "<|im_end|>"), added(9, "<tool_call>", false)];
    const tokenizer = parseTokenizer({
      ...wordPiece,
      added_tokens: [...wordPiece.added_tokens!.slice(0, 3), ...added_tokens],
    });
    expect([...tokenizer.encode("read <tool_call> read")]).toEqual([3, 9, 3]);
    expect(tokenizer.encode("<|im_start|>")).not.toContain(7);
    expect([tokenizer.decode([3, 9]), tokenizer.decode([3, 7])]).toEqual(["read <tool_call>", "read <|im_start|>"]);
  });

  it("bytes that are called special stand for characters without a token", () => {
    const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
    const tokenizer = parseTokenizer({
      ...{ ...unigram, pre_tokenizer: null, decoder: { type: "ByteFallback" } },
      added_tokens: bytes.map((byte, id) => added(id + 1, byte)),
      model: {
        ...{ type: "BPE", byte_fallback: true, unk_token: "<unk>", merges: [] },
        vocab: Object.fromEntries(["<unk>", ...bytes, "a"].map((token, id) => [token, id])),
      },
    });
    expect([...tokenizer.encode("a\u00f1")]).toEqual([257, 0xc3 + 1, 0xb1 + 1]);
    expect(tokenizer.decode([257, 0xc4, 0xb2])).toBe("a\u00f1");
  });

  it("survives a pattern that kills the library", () => {
    const tokenizer = parseTokenizer(runaway);
    expect([...tokenizer.encode("a")]).toEqual([0]);
    expect(() => tokenizer.encode(`${"a".repeat(40)}b`)).toThrow(/crashed|took too long/);
    expect([...tokenizer.encode("a")]).toEqual([0]);
  });

  it("kills what takes too long", () => {
    const slow = {
      ...runaway,
      pre_tokenizer: { ...(runaway.pre_tokenizer as object), pattern: { Regex: "(x+x+)+$" } },
    };
    const tokenizer = new ForeignTokenizer(slow, { timeoutMs: 4000 });
    const start = performance.now();
    expect(() => tokenizer.encode(`${"x".repeat(2 ** 20)}b`)).toThrow(/crashed|took too long/);
    expect(performance.now() - start).toBeLessThan(60_000);
    expect([...tokenizer.encode("a")]).toEqual([0]);
  });

  it.runIf(process.platform === "linux")(
    "has one process for one content, which ends when the last tokenizer of it is gone",
    async () => {
      const before = childProcesses();
      const own = () => childProcesses().filter((pid) => !before.includes(pid));
      const file = { ...unigram, added_tokens: [] }; // this test's alone
      // in a function of its own: this one's frame would hold the last of them
      (() => {
        const tokenizers = [1, 2, 3].map(() => new ForeignTokenizer(structuredClone(file)));
        for (const tokenizer of tokenizers) expect(tokenizer.decode(tokenizer.encode("hello"))).toBe("hello");
        expect(own()).toHaveLength(1);
      })();
      expect(() => new ForeignTokenizer({ ...file, model: { type: "Unigram", vocab: [] } })).toThrow("[tokenizer/");
      for (let waited = 0; waited < 20_000 && own().length > 0; waited += 50) {
        collectGarbage();
        await sleep(50);
      }
      expect(own()).toEqual([]);
    },
  );
});

/** Process ids of this process's children, zombies left out. */
function childProcesses(): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(parent) === process.pid && state !== "Z";
    } catch {
      return false; // gone meanwhile
    }
  });
}
