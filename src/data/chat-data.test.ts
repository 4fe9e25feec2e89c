// Rows of every published layout as conversations, what is held to the context, packing, and rows that are refused.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { prepareChat } from "./chat-data.ts";
import { type ChatRowOptions, readConversation } from "./chat-rows.ts";
import { chatTemplates } from "./chat-templates.ts";
import { PackedSequences, PaddedSequences, packRows, TokenSequences } from "./token-sequences.ts";

const folder = mkdtempSync(join(tmpdir(), "athanor-chat-"));
afterAll(() => rmSync(folder, { recursive: true }));

const asked = { role: "user", content: "q" };
const answered = { role: "assistant", content: "a" };
const told = { role: "system", content: "s" };

test.each<[string, object, object[], ChatRowOptions?]>([
  ["messages", { messages: [told, asked, answered] }, [told, asked, answered]],
  [
    "ShareGPT",
    {
      system: "s",
      conversations: [
        { from: "human", value: "q" },
        { from: "gpt", value: "a" },
      ],
    },
    [told, asked, answered],
  ],
  ["Alpaca", { instruction: "q", input: "", output: "a" }, [asked, answered]],
  [
    "Alpaca with an input and earlier turns",
    { instruction: "do", input: "this", output: "a", history: [["q", "a"]], system: "s" },
    [told, asked, answered, { role: "user", content: "do\n\nthis" }, answered],
  ],
  ["a prompt and its completion", { prompt: "q", completion: "a" }, [asked, answered]],
  ["the same as messages", { prompt: [told, asked], completion: [answered] }, [told, asked, answered]],
  ["other columns", { question: "q", answer: "a" }, [asked, answered], { prompt: "question", completion: "answer" }],
  ["a system message for all", { prompt: "q", completion: "a" }, [told, asked, answered], { system: "s" }],
  ["and one of its own", { messages: [told, asked, answered] }, [told, asked, answered], { system: "other" }],
])("%s", (_, row, wanted, options) => {
  expect(readConversation(row, "here", options)).toEqual(wanted);
});

test.each<[string, unknown, string, ChatRowOptions?]>([
  ["a text", "hello", "here"],
  ["columns of no layout", { text: "a" }, "here"],
  ["no messages", { messages: [] }, "here, messages"],
  ["a role that nobody has", { messages: [asked, { role: "constructor", content: "a" }] }, "here, messages[1]"],
  ["a message without a text", { messages: [asked, { role: "assistant", content: null }] }, "here, messages[1]"],
  ["nothing of the assistant", { messages: [asked] }, "here"],
  ["a column that is not there", { question: "q" }, "here, answer", { prompt: "question", completion: "answer" }],
])("%s is refused", (_, row, where, options) => {
  expect(() => readConversation(row, "here", options)).toThrow(
    expect.objectContaining({ code: "data/chat-row", where, expected: expect.any(String), fix: expect.any(String) }),
  );
});

test("a row of preferences is pointed to where they are learnt", () => {
  const row = { prompt: "q", chosen: "a", rejected: "b" };
  const fix = expect.stringContaining("loss: dpo");
  expect(() => readConversation(row, "here")).toThrow(expect.objectContaining({ code: "data/chat-row", fix }));
  expect(readConversation(row, "here", { completion: "chosen" }).at(-1)!.content).toBe("a");
});

const rows = Array.from({ length: 10 }, (_, at) => ({ prompt: "q".repeat(at + 1), completion: "a".repeat(2) }));
const byte = { tokenizer: "byte", template: chatTemplates.chatml, context: 60, validation: 0.2, seed: 1 } as const;

test("JSON Lines, an array, gzip and records in memory are the same data", async () => {
  const files = {
    "rows.jsonl": `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`,
    "rows.json": JSON.stringify(rows, undefined, 2),
  };
  const inputs = Object.entries(files).flatMap(([name, text]) => {
    writeFileSync(join(folder, name), text);
    writeFileSync(join(folder, `${name}.gz`), gzipSync(text));
    return [{ path: join(folder, name) }, { path: join(folder, `${name}.gz`) }];
  });
  const all = await Promise.all([...inputs, { records: rows }].map((input) => prepareChat(input, byte)));
  for (const { sha256, train } of all) {
    expect(sha256).toBe(all[0]!.sha256);
    expect(train.fingerprint).toBe(all[0]!.train.fingerprint);
  }
  expect(all[0]).toMatchObject({ cut: 0, dropped: 0, train: { length: 8 }, validation: { length: 2 } });
});

test("a line that is no JSON is named", async () => {
  writeFileSync(join(folder, "broken.jsonl"), `${JSON.stringify(rows[0])}\n{"prompt": \n`);
  const path = join(folder, "broken.jsonl");
  await expect(prepareChat({ path }, byte)).rejects.toMatchObject({ code: "data/json", where: `${path}, row 2` });
});

describe("conversations longer than the context", () => {
  // <|im_start|> user\n q…q <|im_end|> \n <|im_start|> assistant\n aa <|im_end|> \n: 23 + n tokens in all, 19 + n before the answer
  const tokens = (at: number) => 23 + at + 1;
  const answer = (at: number) => 19 + at + 1; // tokens before the first of the answer
  test("are refused with their lengths", async () => {
    await expect(prepareChat({ records: rows }, { ...byte, context: 30 })).rejects.toMatchObject({
      code: "data/chat-long",
      where: "records in memory, row 9",
      expected: "at most 31 tokens",
      got: `${tokens(8)} tokens, the first answer from token ${answer(8) + 1} on`,
    });
  });
  test.each([
    ["truncate", 26, 3, 3],
    ["drop", 26, 0, 6],
  ] as const)("%s", async (onLong, context, cut, dropped) => {
    const most = context + 1;
    const long = rows.filter((_, at) => tokens(at) > most).length;
    const lost = rows.filter((_, at) => answer(at) >= most).length;
    const wanted = onLong === "drop" ? { cut: 0, dropped: long } : { cut: long - lost, dropped: lost };
    expect(wanted).toEqual({ cut, dropped });
    const data = await prepareChat({ records: rows }, { ...byte, context, onLong, validation: 0 });
    expect(data).toMatchObject({ ...wanted, train: { length: rows.length - dropped } });
  });
  test("of which none is left are refused", async () => {
    const all = prepareChat({ records: rows }, { ...byte, context: 5, onLong: "truncate" });
    await expect(all).rejects.toMatchObject({ code: "data/chat-target", fix: "raise the model's context" });
  });
});

test("a tokenizer of characters is refused", async () => {
  await expect(prepareChat({ records: rows }, { ...byte, tokenizer: "char" })).rejects.toMatchObject({
    code: "data/chat-tokens",
    where: "tokenizer",
  });
});

test("BPE learns from the training part, and has the template's tokens", async () => {
  const { tokenizer } = await prepareChat(
    { records: rows },
    { ...byte, tokenizer: { bpe: 262, specialTokens: ["<x>"] } },
  );
  expect([...tokenizer.specialTokens.keys()]).toEqual(["<|im_start|>", "<|im_end|>", "<x>"]);
  expect(tokenizer.vocabSize).toBe(262);
});

const sequence = (ids: number[], trained: number[]) => ({
  ids: Int32Array.from(ids),
  trained: Uint8Array.from(trained),
});
const some = new TokenSequences([
  sequence([5, 6, 7], [0, 1, 1]),
  sequence([0, 9], [0, 1]),
  sequence([1, 2, 3, 4], [0, 0, 0, 1]),
]);

test("padded rows", async () => {
  const { tokens, targets } = await new PaddedSequences(some, 4).collate([2, 1]);
  expect([...tokens.data]).toEqual([1, 2, 3, 0, 0, 0, 0, 0]);
  expect([...targets.data]).toEqual([-1, -1, 4, -1, 9, -1, -1, -1]);
});

test("packed rows: documents are told apart, positions begin anew, and the padding is nobody's", async () => {
  const packed = new PackedSequences(some, 4);
  expect(packed).toMatchObject({ length: 2, fill: 6 / 8 });
  const { tokens, targets, documents, positions } = await packed.collate([0, 1]);
  expect([...tokens.data]).toEqual([1, 2, 3, 0, 5, 6, 0, 0]);
  expect([...targets.data]).toEqual([-1, -1, 4, 9, 6, 7, -1, -1]);
  expect([...documents.data]).toEqual([0, 0, 0, 1, 0, 0, -1, -1]);
  expect([...positions.data]).toEqual([0, 1, 2, 0, 0, 1, 0, 0]);
});

test("sequences that a row does not hold are refused", () => {
  for (const Rows of [PaddedSequences, PackedSequences]) expect(() => new Rows(some, 2)).toThrow("data/context");
});

test("packing keeps every length once, overfills no row, and takes at most 11/9 of the least rows and one more", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 80 }),
      fc.integer({ min: 50, max: 90 }),
      (lengths, room) => {
        const packed = packRows(lengths, room);
        expect(packed.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, at) => at));
        const used = packed.map((row) => row.reduce((sum, at) => sum + lengths[at]!, 0));
        expect(Math.max(0, ...used)).toBeLessThanOrEqual(room);
        // no two rows could be one
        const [least, next] = used.toSorted((a, b) => a - b);
        if (next !== undefined) expect(least! + next).toBeGreaterThan(room);
      },
    ),
  );
});
