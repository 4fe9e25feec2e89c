// What virtual tokens begin as: the rows of a text's tokens, of which alone the table is read.
import { expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import type { Part, Store } from "../engine/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { parseRecipe, prepare } from "../recipe/index.ts";
import { StepPrograms } from "../train/index.ts";
import { startAdapters } from "./start-adapters.ts";

test.each(["gpt", "llama"])("of %s: over and over, and no more of the table is read", async (family) => {
  const prepared = await prepare(
    parseRecipe({
      data: { rows: ["the cat sat on the mat. ".repeat(20)] },
      tokenizer: "byte",
      model: { [family]: { layers: 1, heads: 1, width: 8, context: 16 } } as { gpt: object },
      adapter: { prompt: { tokens: 5, text: "abc" } },
    } as never),
  );
  const programs = new StepPrograms(prepared.description, new ReferenceEngine());
  programs.initialize();
  const { store } = programs;
  const table = family === "gpt" ? "wte.weight" : "model.embed_tokens.weight";
  const values = Array.from(toNumbers(store.read(table)));
  let numbers = 0;
  const counting: Store = Object.assign(Object.create(store), {
    read: (name: string, into?: ArrayBuffer, part?: Part) => {
      const value = store.read(name, into, part);
      if (name === table) numbers += value.data.length;
      return value;
    },
  });
  startAdapters(Object.assign(Object.create(programs), { store: counting }), prepared);
  const rows = Array.from(prepared.tokenizer!.encode("abcab")); // each a byte
  expect(Array.from(toNumbers(store.read("prompt.weight")))).toEqual(
    rows.flatMap((id) => values.slice(8 * id, 8 * id + 8)),
  );
  expect(numbers).toBe(3 * 8);
});
