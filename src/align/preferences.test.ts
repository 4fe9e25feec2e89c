// Learning from pairs: every method's loss and gradient through a whole language model as PyTorch has them, and what is fed of a pair.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromNumbers } from "../base/index.ts";
import { gradients, type Tensor, take } from "../core/index.ts";
import { chatTemplates } from "../data/index.ts";
import { evaluate } from "../engine/index.ts";
import { functionalCall, Module, Parameter } from "../nn/index.ts";
import {
  PairDataset,
  type PreferenceName,
  preferenceMethod,
  preferenceSchemas,
  preferenceTask,
  preparePreferences,
  sidesOf,
} from "./index.ts";
import { fitPair, readPair } from "./preference-data.ts";

interface Golden {
  readonly vocab: number;
  readonly table: readonly number[];
  readonly reference: readonly number[];
  readonly pairs: readonly { readonly [part in "prompt" | "chosen" | "rejected"]: readonly number[] }[];
  readonly cases: {
    readonly [name: string]: {
      readonly settings: object;
      readonly loss: number;
      readonly gradient: readonly number[];
      readonly correct: number;
      readonly margin: number;
    };
  };
}
const golden = JSON.parse(
  readFileSync(new URL("../../test/golden/preferences.json", import.meta.url), "utf8"),
) as Golden;
const { vocab, cases } = golden;

/** Scores of the next token by the last one alone: tokens (B, T) → (B, T, V). */
class TableModel extends Module {
  readonly table = new Parameter([vocab, vocab], { init: "zeros" });
  forward(tokens: Tensor): Tensor {
    return take(this.table.tensor, tokens);
  }
}

const tokenPairs = golden.pairs.map(({ prompt, chosen, rejected }) => ({
  chosen: { prompt, completion: chosen },
  rejected: { prompt, completion: rejected },
}));
const width = Math.max(
  ...golden.pairs.map(({ prompt, chosen, rejected }) => prompt.length + Math.max(chosen.length, rejected.length) - 1),
);

/** The log-probability of a completion by a table, on the host. */
function logProb(table: readonly number[], ids: readonly number[], from: number, perToken: boolean): number {
  let sum = 0;
  for (let at = from; at < ids.length; at++) {
    const row = table.slice(ids[at - 1]! * vocab, (ids[at - 1]! + 1) * vocab);
    sum += row[ids[at]!]! - Math.log(row.reduce((total, x) => total + Math.exp(x), 0));
  }
  return perToken ? sum / (ids.length - from) : sum;
}

describe.each(Object.keys(preferenceSchemas) as PreferenceName[])("%s", (name) => {
  const { settings, ...wanted } = cases[name]!;
  const method = preferenceMethod({ [name]: preferenceSchemas[name].parse(settings) })!;

  test("has PyTorch's loss, gradient, accuracy and margin", () => {
    const sides = sidesOf(method);
    const data = new PairDataset(tokenPairs, width, sides);
    const { ...batch } = data.collate([0, 1, 2, 3]);
    for (const side of sides) {
      const { tokens, targets } = data.rowsOf(side, [0, 1, 2, 3]);
      const of = (row: number) => {
        const ends = (targets.data as Int32Array).subarray(row * width, (row + 1) * width);
        const count = ends.findLastIndex((id) => id >= 0) + 1;
        const ids = [...(tokens.data as Int32Array).subarray(row * width, row * width + count), ends[count - 1]!];
        return logProb(golden.reference, ids, ends.findIndex((id) => id >= 0) + 1, method.perToken);
      };
      if (method.hasReference) batch[`${side}.reference`] = fromNumbers("f64", [4], [0, 1, 2, 3].map(of));
    }
    const names = Object.keys(batch);
    const task = preferenceTask(method, width, "f64");
    const model = new TableModel();
    const result = evaluate(
      (...given) => {
        const feeds = Object.fromEntries(names.map((key, at) => [key, given[at]!]));
        const table = given.at(-1)!;
        const sums = functionalCall(model, new Map([["table", table]]), () => task.loss(model, feeds));
        const loss = sums.sum.div(sums.count);
        return { loss, gradient: gradients([loss], [table])[0]!, ...sums.extra };
      },
      { ...batch, table: fromNumbers("f64", [vocab, vocab], golden.table) },
    ) as { [key: string]: { data: ArrayLike<number> } };
    for (const key of ["loss", "correct", "margin"] as const)
      expect(result[key]!.data[0], key).toBeCloseTo(wanted[key], 12);
    wanted.gradient.forEach((value, at) => {
      expect(result.gradient!.data[at], `gradient ${at}`).toBeCloseTo(value, 12);
    });
  });
});

test("a pair that is too long loses the beginning of its prompt, then the ends of its completions", () => {
  const ids = (count: number, from = 0) => Array.from({ length: count }, (_, at) => from + at);
  const pair = (prompt: number, chosen: number, rejected: number) => ({
    chosen: { prompt: ids(prompt), completion: ids(chosen, 100) },
    rejected: { prompt: ids(prompt), completion: ids(rejected, 200) },
  });
  const short = pair(6, 3, 2);
  expect(fitPair(short, 8)).toBe(short);
  expect(fitPair(pair(9, 3, 2), 8)).toEqual({
    chosen: { prompt: ids(6, 3), completion: ids(3, 100) },
    rejected: { prompt: ids(6, 3), completion: ids(2, 200) },
  });
  expect(fitPair(pair(6, 20, 1), 8)).toEqual({
    chosen: { prompt: [4, 5], completion: ids(7, 100) },
    rejected: { prompt: [4, 5], completion: [200] },
  });
  expect(fitPair(pair(1, 20, 9), 8)).toEqual({
    chosen: { prompt: [0], completion: ids(8, 100) },
    rejected: { prompt: [0], completion: ids(8, 200) },
  });
});

test.each([
  [{ prompt: "a", chosen: "b" }, "rejected: nothing"],
  [{ prompt: "a", chosen: "", rejected: "c" }, "chosen: empty"],
  [["a", "b"], "prompt: nothing"],
  [{ messages: [] }, "messages: object"],
])("a row that is no pair is refused: %j", (row, got) => {
  expect(() => readPair(row, "pairs.jsonl, row 3")).toThrow(
    expect.objectContaining({
      code: "data/preference-row",
      where: "pairs.jsonl, row 3",
      got: expect.stringContaining(got),
    }),
  );
});

describe("conversations whose last answers are compared", () => {
  const ask = { role: "user", content: "Hi?" };
  const read = async (row: object) => {
    const options = { tokenizer: "byte", context: 64, sides: ["chosen", "rejected"], validation: 0 } as const;
    return await preparePreferences({ records: [row] }, { ...options, chat: { template: chatTemplates.chatml } });
  };
  test.each<[string, object]>([
    ["prompt as messages", { prompt: [ask], chosen: [{ role: "assistant", content: "Yes" }], rejected: "No" }],
    ["texts", { prompt: "Hi?", chosen: "Yes", rejected: "No" }],
    ["messages", { messages: [ask], chosen: { role: "assistant", content: "Yes" }, rejected: "No" }],
    [
      "ShareGPT",
      {
        conversations: [{ from: "human", value: "Hi?" }],
        chosen: { from: "gpt", value: "Yes" },
        rejected: { from: "gpt", value: "No" },
      },
    ],
  ])("%s", async (_, row) => {
    const { train, tokenizer } = await read(row);
    const text = (side: string, part: "tokens" | "targets") => {
      const ids = train.rowsOf(side, [0])[part].data as Int32Array;
      return tokenizer.decode(part === "targets" ? ids.filter((id) => id >= 0) : ids.subarray(0, ids.indexOf(0)));
    };
    expect(text("chosen", "targets")).toBe("Yes<|im_end|>");
    expect(text("rejected", "targets")).toBe("No<|im_end|>");
    expect(text("rejected", "tokens")).toBe("<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\nNo");
  });

  test("one without an answer is refused", async () => {
    await expect(read({ messages: [ask] })).rejects.toThrow("[data/chat-row]");
  });
});
