// GRPO: advantages of a group and the gradient of its objective as PyTorch has them, through a whole language model; and the frozen copy.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { fromNumbers } from "../base/index.ts";
import { gradients, type Tensor, take } from "../core/index.ts";
import { evaluate } from "../engine/index.ts";
import { functionalCall, Module, Parameter } from "../nn/index.ts";
import type { OptimizerConfig } from "../optim/index.ts";
import { completionRows, freezeCopies, groupAdvantages, grpoTask, tokenLogProbs } from "./index.ts";

interface Golden {
  readonly vocab: number;
  readonly table: readonly number[];
  readonly reference: readonly number[];
  readonly old: readonly number[];
  readonly temperature: number;
  readonly clip: number;
  readonly beta: number;
  readonly group: readonly { readonly prompt: number[]; readonly completion: number[]; readonly reward: number }[];
  readonly grpo: {
    readonly [scale in "std" | "none"]: {
      readonly advantages: readonly number[];
      readonly gradient: readonly number[];
      readonly kl: number;
    };
  };
}
const golden = JSON.parse(
  readFileSync(new URL("../../test/golden/preferences.json", import.meta.url), "utf8"),
) as Golden;
const { vocab, group, temperature, clip, beta } = golden;
const shape = [vocab, vocab];
const rewards = group.map(({ reward }) => reward);
const width = 6;
const { tokens, targets } = completionRows([...group, { prompt: [], completion: [] }], width);

class TableModel extends Module {
  readonly table = new Parameter(shape, { init: "zeros" });
  forward(ids: Tensor): Tensor {
    return take(this.table.tensor, ids);
  }
}

/** What a table thinks of each token, (rows, width). */
const opinionOf = (table: readonly number[]) => {
  const model = new TableModel();
  const think = (own: Tensor, ids: Tensor, next: Tensor) =>
    functionalCall(model, new Map([["table", own]]), () => tokenLogProbs(model, ids, next, temperature));
  const { data } = evaluate((...[own, ids, next]) => think(own!, ids!, next!), {
    table: fromNumbers("f64", shape, table),
    tokens,
    targets,
  }) as { data: ArrayLike<number> };
  return fromNumbers("f64", [5, width], Array.from(data));
};

const feeds = (advantages: readonly number[]) => ({
  tokens,
  targets,
  old: opinionOf(golden.old),
  reference: opinionOf(golden.reference),
  rewards: fromNumbers("f64", [5], [...rewards, 7]),
  advantages: fromNumbers("f64", [5], [...advantages, 7]),
});
const task = grpoTask({ beta, clip, temperature, updates: 2 }, width, "f64");

test.each(["std", "none"] as const)(
  "advantages (%s) and gradient are PyTorch's; the loss is minus the reward",
  (scale) => {
    const wanted = golden.grpo[scale];
    const advantages = groupAdvantages(rewards, scale);
    wanted.advantages.forEach((value, at) => expect(advantages[at]).toBeCloseTo(value, 12));
    const model = new TableModel();
    const given = feeds(advantages);
    const result = evaluate(
      (...inputs) => {
        const named = Object.fromEntries(Object.keys(given).map((name, at) => [name, inputs[at]!]));
        const table = inputs.at(-1)!;
        const { sum, count } = functionalCall(model, new Map([["table", table]]), () => task.loss(model, named));
        return { loss: sum.div(count), gradient: gradients([sum.div(count)], [table])[0]! };
      },
      { ...given, table: fromNumbers("f64", shape, golden.table) },
      { mode: "train" },
    ) as { [name: string]: { data: ArrayLike<number> } };
    expect(result.loss!.data[0]).toBeCloseTo(-rewards.reduce((sum, one) => sum + one) / rewards.length, 12);
    wanted.gradient.forEach((value, at) => expect(result.gradient!.data[at], `gradient ${at}`).toBeCloseTo(value, 12));
  },
);

test("evaluation tells the reward, the length and the divergence from the reference, of real rows alone", () => {
  const given = feeds([0, 0, 0, 0]);
  const model = new TableModel();
  const outputs = evaluate(
    (...inputs) => {
      const named = Object.fromEntries(Object.keys(given).map((name, at) => [name, inputs[at]!]));
      const table = new Map([["table", inputs.at(-1)!]]);
      const { sum, count, extra } = functionalCall(model, table, () => task.loss(model, named));
      return { sum, count, ...extra };
    },
    { ...given, table: fromNumbers("f64", shape, golden.table) },
    { mode: "eval" },
  ) as { [name: string]: { data: ArrayLike<number> } };
  const value = (name: string) => outputs[name]!.data[0]!;
  expect([value("sum"), value("reward"), value("count"), value("length")]).toEqual([-2.25, 2.25, 4, 10]);
  expect(value("kl")).toBeCloseTo(golden.grpo.std.kl, 12);
});

test("a group that is all alike has no advantage", () => {
  expect(groupAdvantages([0.3, 0.3, 0.3], "std").map(Math.abs)).toEqual([0, 0, 0]);
});

test("the copy is frozen beside whatever else is", () => {
  const freezeOf = (freeze: "none" | string[]) =>
    (freezeCopies({ adamw: { lr: 1, freeze } } as OptimizerConfig, "reference").adamw as { readonly freeze?: unknown })
      .freeze;
  expect(freezeOf("none")).toEqual(["reference.*"]);
  expect(freezeOf(["wte.*"])).toEqual(["wte.*", "reference.*"]);
  expect(freezeOf(["!*.lora.*"])).toEqual(["!*.lora.*"]);
});
