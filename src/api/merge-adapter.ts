// An adapter taken into the weights that it stands beside, or a prefix's projection into what it makes. What comes of a merge is held to what it came from before anybody sees it.
import { fail, fromNumbers, type HostArray, RandomStream, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { maximum, type Tensor, trace } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";
import {
  functionalCall,
  isLoraName,
  isPrefixName,
  type KeyValuePrefix,
  Linear,
  Lora,
  type LoraConfig,
  type Module,
  prefixName,
  wholeTensors,
} from "../nn/index.ts";

/**
 * A model's tensors without those of its adapters, whose products are in the weights. On random inputs each merged layer gives what
 * layer and adapter give together, to 1e-5 of the largest output. Errors with `model/merge`, also where nothing was trained.
 */
export async function mergeLora(
  kept: ReadonlyMap<string, HostArray>,
  config: LoraConfig,
  engine: Engine,
): Promise<Map<string, HostArray>> {
  const tensors = wholeTensors(kept);
  const merged = new Map([...tensors].filter(([name]) => !isLoraName(name)));
  let changes = 0;
  for (const name of merged.keys()) {
    const layer = name.replace(/\.weight$/, "");
    const own = [...tensors].filter(([other]) => isLoraName(other) && other.startsWith(`${layer}.lora.`));
    if (own.length === 0) continue;
    const parts = own.map(([other, value]) => [other.slice(layer.length + 1), value] as const);
    const given = { weight: tensors.get(name)!, ...Object.fromEntries(parts) };
    const { sum, error, size, change } = await mergeLayer(given, config, engine);
    if (!(error <= 1e-5 * size))
      fail("model/merge", "a merged layer differs from the layer with its adapter", {
        where: layer,
        expected: `outputs within ${(1e-5 * size).toExponential(1)}`,
        got: error.toExponential(1),
        fix: "its numbers are too large to be added in f32: export the adapter alone, with --layout peft",
      });
    changes = Math.max(changes, change);
    merged.set(name, sum);
  }
  if (!(changes > 0))
    fail("model/merge", "the adapters change nothing: the merged model would be the base", {
      expected: "adapters that were trained",
      got: "products of zero",
      fix: "train first; to export the base, name its own folder",
    });
  return merged;
}

/** A model's tensors with the keys and values of its prefix in the place of what a projection makes them of. */
export async function applyProjection(
  tensors: ReadonlyMap<string, HostArray>,
  model: Module & { readonly prefix?: KeyValuePrefix | undefined },
  engine: Engine,
): Promise<Map<string, HostArray>> {
  const prefix = model.prefix!;
  const own = [...prefix.parameters().keys()].map((name) => [name, tensors.get(`prefix.${name}`)!] as const);
  const feeds: { readonly [name: string]: HostArray } = Object.fromEntries(own);
  const graph = trace(feeds, (given) => ({
    rows: functionalCall(prefix, new Map(Object.entries(given)), () => prefix.forward()),
  }));
  const program = engine.load(compile(graph, engine.target), engine.createStore());
  const [result] = await engine.run([{ program, feeds }]);
  const rest = [...tensors].filter(([name]) => !isPrefixName(name));
  return new Map([...rest, [prefixName, result!.outputs.rows!]]);
}

/** `tensors` are those of a linear layer with its adapter, by the layer's own names. */
async function mergeLayer(
  tensors: { readonly weight: HostArray; readonly [name: string]: HostArray },
  config: LoraConfig,
  engine: Engine,
) {
  const [inputs, outputs] = tensors.weight.shape as [number, number];
  const layer = new Linear(inputs, outputs, { bias: false });
  const lora = new Lora(inputs, outputs, config);
  layer.lora = lora;
  const stream = new RandomStream(1, "merge");
  const probe = fromNumbers(
    "f32",
    [4, inputs],
    Array.from({ length: 4 * inputs }, (_, at) => stream.normal(at)),
  );
  const largest = (x: Tensor) => maximum(x, x.neg()).max();
  const feeds = { ...tensors, probe };
  const graph = trace(feeds, ({ probe, ...given }) =>
    functionalCall(layer, new Map(Object.entries(given)), () => {
      const weight = given.weight!;
      const [sum, apart] = [lora.merge(weight), layer.forward(probe!)];
      const error = largest(probe!.matmul(sum).sub(apart));
      return { sum, error, size: largest(apart), change: largest(sum.sub(weight)) };
    }),
  );
  const program = engine.load(compile(graph, engine.target), engine.createStore());
  const [result] = await engine.run([{ program, feeds }]);
  const { sum, ...numbers } = result!.outputs;
  const [error, size, change] = ["error", "size", "change"].map((name) => toNumbers(numbers[name]!)[0]!);
  return { sum: sum!, error: error!, size: size!, change: change! };
}
