// A mixture of experts trained on the native engine: the same bytes with one thread and two, a falling loss, and loads that the balance
// loss keeps alike; in bf16, and with adapters beside weights in few bits.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readModelFiles } from "../../src/api/model-files.ts";
import { fromNumbers, toNumbers } from "../../src/base/index.ts";
import { type Tensor, trace } from "../../src/core/index.ts";
import { parseTokenizer } from "../../src/data/index.ts";
import { Llama, type LlamaConfig } from "../../src/models/index.ts";
import { functionalCall, type Routing } from "../../src/nn/index.ts";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";
import { runReference } from "../support/run-reference.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());
const cli = (...args: string[]) => runCli(args, folder.path);

async function trained(name: string, balance: number, threads: number, changes: object = {}, ...flags: string[]) {
  writeTinyRecipe(folder.path, {
    tokenizer: "char",
    model: { llama: { layers: 2, heads: 2, width: 32, hidden: 32, context: 16, experts: { count: 4, balance, z: 0 } } },
    optimizer: { adamw: { lr: 1e-2, clip: 1 } },
    engine: { threads },
    ...changes,
  });
  const { code, stderr, records } = await cli("train", "tiny.json", "--run-dir", name, "--json", ...flags);
  expect(code, stderr).toBe(0);
  const losses = records.filter(({ type }) => type === "step").map(({ loss }) => loss as number);
  return { losses, hash: records.find(({ type }) => type === "end")?.hash };
}

/** Of the text's first 512 characters, the share that goes through each expert of each layer: (layers, experts). */
async function loadsOf(name: string): Promise<number[][]> {
  const exported = join(folder.path, `${name}-model`);
  expect((await cli("export", name, exported)).code).toBe(0);
  const { files, tensors, description } = await readModelFiles(exported);
  const text = readFileSync(join(folder.path, "corpus.txt"), "utf8").slice(0, 512);
  const tokens = fromNumbers("i32", [32, 16], parseTokenizer(files.get("tokenizer.json")!).encode(text));
  const model = new Llama(description.config as unknown as LlamaConfig);
  const routings: Routing[] = [];
  for (const { block_sparse_moe: experts } of model.model.layers) {
    const forward = experts!.forward.bind(experts);
    experts!.forward = (x: Tensor) => {
      const passed = forward(x);
      routings.push(passed.routing);
      return passed;
    };
  }
  const feeds = { ...Object.fromEntries(tensors), tokens };
  const graph = trace(feeds, (given: { readonly [name: string]: Tensor }) => {
    const parameters = new Map([...tensors.keys()].map((name) => [name, given[name]!]));
    const logits = functionalCall(model, parameters, () => model.forward(given.tokens!));
    const loads = routings.map(({ chosen }, at) => [`layer ${at}`, chosen.cast("f32").mean({ axis: 0 })] as const);
    return { logits, ...Object.fromEntries(loads) };
  });
  const { logits: _, ...loads } = runReference(graph, feeds);
  return Object.values(loads).map((load) => Array.from(toNumbers(load)));
}

test("trains with the same bytes on one thread and on two; the balance loss keeps loads alike", async () => {
  const [alone, both] = [await trained("alone", 0.1, 1), await trained("both", 0.1, 2)];
  expect(both.hash).toBe(alone.hash);
  expect(alone.losses.at(-1)!).toBeLessThan(alone.losses[0]! - 0.5);
  await trained("unbalanced", 0, 2);
  const [balanced, unbalanced] = [await loadsOf("both"), await loadsOf("unbalanced")];
  for (const loads of balanced) expect(loads.reduce((sum, load) => sum + load, 0)).toBeCloseTo(2, 6); // none left out
  expect(Math.min(...balanced.flat())).toBeGreaterThan(0.3); // of 0.5 at even loads
  expect(Math.max(...balanced.flat())).toBeLessThan(0.75);
  const unevenness = (layers: number[][]) => Math.max(...layers.flat()) - Math.min(...layers.flat());
  expect(unevenness(balanced)).toBeLessThan(unevenness(unbalanced));
}, 120_000);

const lora = { rank: 2, targets: ["*.experts.*"], dropout: 0.1 };
test.each([
  ["in bf16", { precision: "bf16" }, 0.5],
  ["with adapters of experts beside int8", { adapter: { lora: { ...lora, base: "int8" } } }, 0.02],
  [
    "with adapters of experts beside NF4, in bf16",
    { precision: "bf16", adapter: { lora: { ...lora, base: "nf4" } } },
    0.02,
  ],
] as const)(
  "%s: the same bytes on one thread and on two, and a falling loss",
  async (name, changes, fall) => {
    const begin = "adapter" in changes ? ["--init-from", "both"] : [];
    const run = (threads: number) => trained(`${name} ${threads}`, 0.1, threads, changes, ...begin);
    const [alone, both] = [await run(1), await run(2)];
    expect(both.hash).toBe(alone.hash);
    const mean = (losses: number[]) => losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    expect(mean(alone.losses.slice(-10))).toBeLessThan(mean(alone.losses.slice(0, 10)) - fall);
  },
  120_000,
);
