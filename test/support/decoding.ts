// A language model asked token by token over its cache, on the reference engine in f64: what must equal the pass over the whole.
import { fromNumbers, type HostArray, toNumbers } from "../../src/base/index.ts";
import { compile } from "../../src/compiler/index.ts";
import { type Tensor, trace, variable } from "../../src/core/index.ts";
import { ReferenceEngine } from "../../src/engine/index.ts";
import { functionalCall, KeyValueCache, type Module } from "../../src/nn/index.ts";

interface Decoder extends Module {
  readonly config: { readonly vocab: number };
  decode(tokens: Tensor, cache: KeyValueCache): Tensor;
}

/** Logits of all tokens (rows × time × vocabulary): the first three are read at once, the others one by one. */
export function decodeInPieces(
  model: Decoder,
  values: ReadonlyMap<string, HostArray>,
  rows: readonly (readonly number[])[],
): number[] {
  const { vocab } = model.config;
  const [batch, time] = [rows.length, rows[0]!.length];
  const engine = new ReferenceEngine();
  const store = engine.createStore();
  const load = (numTokens: number) => {
    const graph = trace(
      { tokens: { dtype: "i32", shape: [batch, numTokens] }, position: { dtype: "i32", shape: [batch] } },
      ({ tokens, position }) => {
        const parameters = new Map([...values].map(([name, { dtype, shape }]) => [name, variable(name, dtype, shape)]));
        const cache = new KeyValueCache({ position, length: time, prefix: "cache" });
        return functionalCall(model, parameters, () => model.decode(tokens, cache));
      },
      { floatDType: "f64" },
    );
    return engine.load(compile(graph, engine.target), store);
  };
  const [three, one] = [load(3), load(1)];
  for (const [name, value] of values) store.write(name, value);
  const logits = new Array<number>(batch * time * vocab);
  for (let from = 0; from < time; ) {
    const count = from === 0 ? 3 : 1;
    const tokens = fromNumbers(
      "i32",
      [batch, count],
      rows.flatMap((row) => row.slice(from, from + count)),
    );
    const feeds = { tokens, position: fromNumbers("i32", [batch], new Array<number>(batch).fill(from)) };
    const { outputs } = engine.runNow({ program: count === 3 ? three : one, feeds });
    toNumbers(outputs.result!).forEach((logit, at) => {
      const [row, rest] = [Math.floor(at / (count * vocab)), at % (count * vocab)];
      logits[(row * time + from) * vocab + rest] = logit;
    });
    from += count;
  }
  return logits;
}
