// Recurrent layers against PyTorch's nn.RNN, nn.LSTM and nn.GRU (test/golden/recurrent.py): outputs, last states, gradients, padding.
import { expect, test } from "vitest";
import golden from "../../test/golden/recurrent.json" with { type: "json" };
import { assertClose } from "../../test/support/close.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { fromNumbers } from "../base/index.ts";
import { cos, gradients, iota, type Tensor, trace } from "../core/index.ts";
import { cellNames, functionalCall, Recurrent } from "./index.ts";

const { batch, time, inputs, width } = golden.sizes;
const weigh = (x: Tensor) => {
  const size = x.shape.reduce((product, dim) => product * dim, 1);
  return x
    .reshape(size)
    .mul(cos(iota([size], 0).cast(x.dtype)))
    .sum();
};

test.each(cellNames.flatMap((cell) => [[cell, false] as const, [cell, true] as const]))(
  "%s as PyTorch has it, padded: %s",
  (cell, isPadded) => {
    const layer = new Recurrent(cell, inputs, width);
    const wanted = golden.cases[`${cell}${isPadded ? " padded" : ""}` as keyof typeof golden.cases];
    const names = [...layer.parameters().keys()];
    const start = [...layer.parameters().values()].map(({ shape }, at) =>
      fromNumbers("f64", shape, golden.start[cell][at]!),
    );
    const feeds = {
      x: fromNumbers("f64", [batch, time, inputs], golden.x),
      lengths: fromNumbers("i32", [batch, 1], golden.lengths),
      ...Object.fromEntries(names.map((name, at) => [name, start[at]!])),
    };
    const graph = trace(
      feeds,
      (given: { readonly [name: string]: Tensor }) =>
        functionalCall(layer, new Map(names.map((name) => [name, given[name]!])), () => {
          const present = iota([batch, time], 1).less(given.lengths!);
          const { states, last: state } = layer.run(given.x!, isPadded ? { present } : {});
          const outputs = states[0]!;
          const parts = isPadded ? state : [...state, outputs];
          const loss = parts.map(weigh).reduce((sum, one) => sum.add(one));
          const grads = gradients([loss], [given.x!, ...names.map((name) => given[name]!)]);
          return {
            outputs,
            ...Object.fromEntries(state.map((one, at) => [`state ${at}`, one])),
            ...Object.fromEntries(["x", ...names].map((name, at) => [`gradient ${name}`, grads[at]!])),
          };
        }),
      { floatDType: "f64" },
    );
    const found = runReference(graph, feeds);
    if (wanted.outputs !== null) assertClose(found.outputs!, wanted.outputs, { absolute: 1e-12, what: "outputs" });
    wanted.states.forEach((state, at) => {
      assertClose(found[`state ${at}`]!, state, { absolute: 1e-12, what: `state ${at}` });
    });
    for (const [name, values] of Object.entries(wanted.gradients))
      assertClose(found[`gradient ${name}`]!, values, { absolute: 1e-11, what: `gradient of ${name}` });
  },
);

test("an initial state is gone on from: two halves are the whole", () => {
  const layer = new Recurrent("gru", inputs, width);
  const feeds = {
    x: fromNumbers("f64", [batch, time, inputs], golden.x),
    ...Object.fromEntries(
      [...layer.parameters()].map(([name, { shape }], at) => [name, fromNumbers("f64", shape, golden.start.gru[at]!)]),
    ),
  };
  const names = [...layer.parameters().keys()];
  const graph = trace(
    feeds,
    (given: { readonly [name: string]: Tensor }) =>
      functionalCall(layer, new Map(names.map((name) => [name, given[name]!])), () => {
        const { last } = layer.run(given.x!.slice(1, 0, 2));
        return {
          whole: layer.forward(given.x!),
          second: layer.run(given.x!.slice(1, 2, time), { initial: last }).states[0]!,
        };
      }),
    { floatDType: "f64" },
  );
  const { whole, second } = runReference(graph, feeds);
  const rows = Array.from(whole!.data as Float64Array).filter((_, at) => Math.floor(at / width) % time >= 2);
  expect(Array.from(second!.data as Float64Array)).toEqual(rows);
});
