// Numbers read off texts, and choices among them, by the heads that recipes train: logits, loss and gradients as Transformers' heads have them.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { type StatedStart, startOf } from "../../test/support/tiny-gpt.ts";
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { gradients, type Tensor, trace } from "../core/index.ts";
import { modelFamily, type TaskName } from "../models/index.ts";
import { functionalCall } from "../nn/index.ts";
import { classificationTask, regressionTask } from "./index.ts";

interface Case extends StatedStart {
  readonly family: string;
  readonly task: TaskName;
  readonly config: object;
  readonly logits: number[];
  readonly loss: number;
  readonly gradNorms: number[];
}
const golden = JSON.parse(readFileSync("test/golden/text-heads.json", "utf8")) as {
  readonly numbers: { readonly texts: number[][]; readonly targets: number[] };
  readonly choices: { readonly texts: number[][][]; readonly seconds: number[][]; readonly targets: number[] };
  readonly cases: readonly Case[];
};
const length = golden.numbers.texts[0]!.length;
const most = 4; // one more than a row has

/** What the data give: rows of numbers, or rows with places for `most` choices. A row more fills up the batch. */
function feedsOf(task: TaskName): { readonly [name: string]: HostArray } {
  const { numbers, choices } = golden;
  if (task === "regression") {
    const texts = [...numbers.texts, numbers.texts[0]!];
    return {
      tokens: fromNumbers("i32", [4, length], texts.flat()),
      targets: fromNumbers("f64", [4], [...numbers.targets, Number.NaN]),
    };
  }
  const places = (fill: number, of: (text: number[], second: number) => number[]) =>
    [0, 1, 0].flatMap((row) =>
      Array.from({ length: most }, (_, at) => {
        const text = choices.texts[row]![at];
        const values = text === undefined ? [] : of(text, choices.seconds[row]![at]!);
        return Array.from({ length }, (_, place) => values[place] ?? fill);
      }).flat(),
    );
  return {
    tokens: fromNumbers(
      "i32",
      [3, most, length],
      places(-1, (text) => text),
    ),
    tokenTypes: fromNumbers(
      "i32",
      [3, most, length],
      places(0, (text, second) => text.map((_, at) => Number(at >= second))),
    ),
    targets: fromNumbers("i32", [3], [...choices.targets, -1]),
  };
}

test.each(golden.cases.map((one) => [`${one.family}, ${one.task}`, one] as const))("%s", (_, wanted) => {
  const { family, task: name, config } = wanted;
  const { module, inputs } = modelFamily(family).build(config, { task: name, outputs: most });
  expect(inputs.tokens!.shape).toEqual(name === "regression" ? [length] : [most, length]);
  const task = name === "regression" ? regressionTask(inputs, { dtype: "f64" }) : classificationTask(inputs);
  const parameters = startOf(wanted, "f64");
  const names = [...parameters.keys()];
  expect([...module.parameters().keys()].sort()).toEqual([...names].sort());
  const rows = feedsOf(name);
  const graph = trace(
    { ...Object.fromEntries(parameters), ...rows },
    (given: { readonly [name: string]: Tensor }) =>
      functionalCall(module, new Map(names.map((one) => [one, given[one]!])), () => {
        const { sum, count } = task.loss(module, given);
        const loss = sum.div(count);
        const logits = module.forward(...Object.keys(inputs).map((input) => given[input]!)) as Tensor;
        const grads = gradients(
          [loss],
          names.map((one) => given[one]!),
        );
        const norms = names.map((one, at) => [`norm ${one}`, grads[at]!.square().sum().sqrt()] as const);
        return { loss, logits, ...Object.fromEntries(norms) };
      }),
    { floatDType: "f64" },
  );
  const outputs = runReference(graph, { ...Object.fromEntries(parameters), ...rows });
  const absolute = family === "llama" ? 1e-6 : 1e-11; // Transformers' angles are f32
  const given = Array.from(toNumbers(outputs.logits!));
  const [first, second] = [given.slice(0, most), given.slice(most, 2 * most)];
  const logits = name === "regression" ? given.slice(0, -1) : [...first.slice(0, 3), ...second.slice(0, 2)];
  assertClose(logits, wanted.logits, { absolute, what: "logits" });
  assertClose(outputs.loss!, [wanted.loss], { absolute, what: "loss" });
  const norms = names.map((one) => toNumbers(outputs[`norm ${one}`]!)[0]!);
  assertClose(norms, wanted.gradNorms, { absolute, what: "gradient norms" });
  if (name !== "regression") expect([...first.slice(3), ...second.slice(2)]).toEqual([-1e9, -1e9, -1e9]);
});
