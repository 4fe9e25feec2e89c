// Mixtures of experts in the Llama family against Transformers' Mixtral and Qwen3's mixture: logits, loss with what routers add, gradients; decoding; one
// expert against none; even loads.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { decodeInPieces } from "../../test/support/decoding.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { startOf } from "../../test/support/tiny-gpt.ts";
import type { TinyLlamaCase } from "../../test/support/tiny-llama.ts";
import { fromNumbers, type HostArray, sizeOf, toNumbers } from "../base/index.ts";
import { constant, gradients, type Tensor, trace } from "../core/index.ts";
import { crossEntropy, functionalCall, routerLoss, withAddedLosses } from "../nn/index.ts";
import { Llama, type LlamaConfig, llamaFamily, llamaPresets } from "./index.ts";

interface Golden extends TinyLlamaCase {
  readonly batch: number;
  readonly time: number;
  readonly tokens: number[];
  readonly targets: number[];
}
const read = (name: string) => JSON.parse(readFileSync(`test/golden/${name}.json`, "utf8")) as Golden;
const golden = read("mixtral");
const mixtures = [["Mixtral", golden] as const, ["Qwen3", read("qwen3-moe")] as const];
const { config } = golden;
const ids = (values: number[]) => fromNumbers("i32", [golden.batch, golden.time], values);

/** Outputs `logits`, `loss` with what the model adds, and `norm <parameter>`, in f64. */
function run(model: Llama, values: ReadonlyMap<string, HostArray>): { readonly [name: string]: number[] } {
  const feeds = { ...Object.fromEntries(values), tokens: ids(golden.tokens), targets: ids(golden.targets) };
  const names = [...values.keys()];
  const graph = trace(
    feeds,
    (given: { readonly [name: string]: Tensor }) => {
      const tensors = new Map(names.map((name) => [name, given[name]!]));
      const { result: logits, added } = withAddedLosses(() =>
        functionalCall(model, tensors, () => model.forward(given.tokens!)),
      );
      const plain = crossEntropy(logits, given.targets!);
      const loss = added === undefined ? plain : plain.add(added);
      const grads = gradients([loss], [...tensors.values()]);
      const norms = names.flatMap((name, at) => {
        const grad = grads[at];
        return grad === undefined ? [] : [[`norm ${name}`, grad.square().sum().sqrt()] as const];
      });
      return { logits, loss, ...Object.fromEntries(norms) };
    },
    { floatDType: "f64" },
  );
  const outputs = Object.entries(runReference(graph, feeds));
  return Object.fromEntries(outputs.map(([name, value]) => [name, [...toNumbers(value)]]));
}

test.each(mixtures)(
  "logits, loss with what routers add, and the norm of every gradient equal Transformers': %s",
  (_, golden) => {
    const found = run(new Llama(golden.config), startOf(golden, "f64"));
    // Transformers computes angles in f32 whatever the rest is in, and counts loads in f32
    assertClose(found.logits!, golden.logits, { absolute: 1e-6, what: "logits" });
    assertClose(found.loss!, [golden.loss], { absolute: 1e-6, what: "loss" });
    const norms = golden.parameters.map(({ name }) => found[`norm ${name}`]![0]!);
    assertClose(norms, golden.gradNorms, { absolute: 1e-6, what: "gradient norms" });
  },
);

test.each(mixtures)("has the published names and shapes: %s", (_, golden) => {
  const { config } = golden;
  const shapes = new Map([...new Llama(config).parameters()].map(([name, { shape }]) => [name, shape]));
  expect(shapes).toEqual(new Map(golden.parameters.map(({ name, shape }) => [name, shape])));
});

test.each([
  ["mixtral-8x7b", 46_702_792_704], // as its authors tell: 46.7B
  ["qwen3-30b-a3b", 30_532_122_624], // 30.5B
] as const)("%s has as many parameters as are published", (preset, count) => {
  const parameters = [...new Llama(llamaPresets[preset]).parameters().values()];
  expect(parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0)).toBe(count);
});

test.each(mixtures)("decoding piece by piece over the cache gives the logits of the whole: %s", (_, golden) => {
  const { config } = golden;
  const rows = [0, 1].map((row) => golden.tokens.slice(row * golden.time, (row + 1) * golden.time));
  const logits = decodeInPieces(new Llama(config), startOf(golden, "f64"), rows);
  assertClose(logits, golden.logits, { absolute: 1e-6, what: "logits" });
});

test("one expert is the model without experts, forward and back", () => {
  const { experts, ...dense } = config as LlamaConfig & { experts: object };
  const one = new Llama({ ...dense, experts: { count: 1, chosen: 1, balance: 0, z: 0 } });
  const values = startOf(golden, "f64");
  const prefix = "block_sparse_moe.experts.0.";
  const denseName = (name: string) =>
    name
      .replace(`${prefix}w1`, "mlp.gate_proj")
      .replace(`${prefix}w2`, "mlp.down_proj")
      .replace(`${prefix}w3`, "mlp.up_proj");
  const gate = fromNumbers(
    "f64",
    [config.width, 1],
    Array.from({ length: config.width }, (_, at) => Math.sin(at)),
  );
  const own = [...one.parameters().keys()].map(
    (name) => [name, name.endsWith("gate.weight") ? gate : values.get(name)!] as const,
  );
  const shared = own.filter(([, value]) => value !== gate).map(([name, value]) => [denseName(name), value] as const);
  const [found, wanted] = [run(one, new Map(own)), run(new Llama(dense), new Map(shared))];
  assertClose(found.logits!, wanted.logits!, { absolute: 1e-12, what: "logits" });
  for (const [name] of own.filter(([, value]) => value !== gate))
    assertClose(found[`norm ${name}`]!, wanted[`norm ${denseName(name)}`]!, { absolute: 1e-12, what: name });
});

test.each([1, 2])("at even loads the balance loss is what each token chooses, %d", (chosen) => {
  const graph = trace(
    {},
    () => {
      const even = constant(0, "f64").broadcastTo([8, 4]);
      const taken = constant(
        fromNumbers(
          "f64",
          [8, 4],
          Array.from({ length: 32 }, (_, at) => Number(at % 4 < chosen)),
        ),
      );
      const routing = { logits: even, chosen: taken.greater(0) };
      const settings = { count: 4, chosen };
      return {
        balance: routerLoss([routing, routing], { ...settings, balance: 1, z: 0 }),
        z: routerLoss([routing], { ...settings, balance: 0, z: 1 }),
      };
    },
    { floatDType: "f64" },
  );
  const { balance, z } = runReference(graph, {});
  assertClose(toNumbers(balance!), [chosen], { absolute: 1e-12, what: "balance" });
  assertClose(toNumbers(z!), [Math.log(4) ** 2], { absolute: 1e-12, what: "z" });
});

test("settings: defaults, and more chosen than there are", () => {
  const settings = { layers: 1, heads: 2, width: 16, context: 8 };
  const facts = { task: "language-model", vocab: 9 } as const;
  const built = llamaFamily.build({ ...settings, experts: { count: 4 } }, facts);
  expect(built.config.experts).toEqual({ count: 4, chosen: 2, balance: 0.01, z: 0.001 });
  expect(llamaFamily.build(built.config, facts).config).toEqual(built.config);
  expect(() => llamaFamily.build({ ...settings, experts: { count: 1 } }, facts)).toThrow(
    expect.objectContaining({ message: expect.stringContaining("must be at most count (1), got 2") }),
  );
});
