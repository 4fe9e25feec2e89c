// Llama: positions that only tell how far apart tokens are, heads that share keys and values, and the published size.
import { fromNumbers, type HostArray, RandomStream, sizeOf } from "../../base/index.ts";
import { attention, constant, rotary, type Tensor } from "../../core/index.ts";
import { evaluate } from "../../engine/index.ts";
import { Llama, type LlamaConfig, llamaPresets } from "../../models/index.ts";
import { functionalCall, initialize, rotaryFrequencies } from "../../nn/index.ts";
import { atLeast, atMost, equal, type Figure, largestDifference, type Proof } from "../proof.ts";

const small = { vocab: 23, context: 512, layers: 2, width: 32, headWidth: 8, heads: 4, keyValueHeads: 2, hidden: 48 };
const grouped: LlamaConfig = { ...llamaPresets.nano, ...small };
const tokens = [3, 14, 1, 5, 9, 2, 6, 5, 3, 5];
const steps = tokens.map((_, at) => at);
type Values = ReadonlyMap<string, HostArray>;

/** The start of a model, its matrices ten times as large as usual: attention is then far from even. */
function startOf(config: LlamaConfig): Values {
  const values = new Map<string, HostArray>();
  for (const [name, { init, shape }] of new Llama(config).parameters()) {
    const start = initialize(init, name, shape, "f64", 3);
    const factor = shape.length < 2 ? 1 : 10;
    values.set(name, { ...start, data: (start.data as Float64Array).map((x) => factor * x) });
  }
  return values;
}

/** Logits in f64 on the reference engine, the tokens standing at these positions. */
function logitsOf(config: LlamaConfig, values: Values, positions: readonly number[]): number[] {
  const model = new Llama(config);
  const names = [...values.keys()];
  const row = (ids: readonly number[]) => constant(fromNumbers("i32", [1, ids.length], ids));
  const forward = (...given: Tensor[]) => {
    const parameters = new Map(names.map((name, at) => [name, given[at]!]));
    return functionalCall(model, parameters, () => model.forward(row(tokens), row(positions)));
  };
  return evaluate(forward, Object.fromEntries(values)).data;
}

/** The same with a head of keys and values for every head of queries: each group's is copied. */
function ungrouped(values: Values): Values {
  const { width, heads, keyValueHeads, headWidth } = grouped;
  return new Map(
    [...values].map(([name, value]) => {
      if (!/\.[kv]_proj\.weight$/.test(name)) return [name, value];
      const copied = Array.from({ length: width * heads * headWidth }, (_, at) => {
        const [row, column] = [Math.floor(at / (heads * headWidth)), at % (heads * headWidth)];
        const group = Math.floor(column / headWidth / (heads / keyValueHeads));
        return Number(value.data[row * keyValueHeads * headWidth + group * headWidth + (column % headWidth)]);
      });
      return [name, fromNumbers("f64", [width, heads * headWidth], copied)];
    }),
  );
}

/** Turned queries times turned keys, of all pairs of positions from `first` on. */
function scoresFrom(first: number): number[] {
  const random = new RandomStream(4, "llama/rotary");
  const vectors = (from: number) => Array.from({ length: 8 }, (_, i) => random.normal(from + i));
  const rows = { q: Array.from(steps, () => vectors(0)), k: Array.from(steps, () => vectors(8)) };
  const positions = steps.map((step) => step + first);
  return evaluate((q, k) => {
    const options = {
      ...rotaryFrequencies(8, { base: 10000 }),
      positions: constant(fromNumbers("i32", [1, steps.length], positions)),
    };
    const turn = (x: Tensor) => rotary(x.reshape(1, steps.length, 1, 8), options).reshape(steps.length, 8);
    return turn(q!).matmul(turn(k!).permute(1, 0));
  }, rows).data;
}

/** With as many heads of keys as of queries, each head is an attention of its own. */
function headsApart(): { together: number[]; apart: number[] } {
  const random = new RandomStream(6, "llama/heads");
  const values = (from: number) =>
    fromNumbers(
      "f64",
      [1, 6, 4, 8],
      Array.from({ length: 192 }, (_, i) => random.normal(from + i)),
    );
  const feeds = { q: values(0), k: values(192), v: values(384) };
  const one = (x: Tensor, head: number) => x.slice(2, head, head + 1);
  const together = evaluate((q, k, v) => attention(q!, k!, v!, { causal: true }).permute(2, 0, 1, 3), feeds).data;
  const apart = [0, 1, 2, 3].flatMap(
    (head) =>
      evaluate((q, k, v) => attention(one(q!, head), one(k!, head), one(v!, head), { causal: true }), feeds).data,
  );
  return { together, apart };
}

async function llama(): Promise<Figure[]> {
  const values = startOf(grouped);
  const plain = logitsOf(grouped, values, steps);
  const shifted = logitsOf(
    grouped,
    values,
    steps.map((step) => step + 37),
  );
  const stretched = logitsOf(
    grouped,
    values,
    steps.map((step) => 2 * step),
  );
  const whole = logitsOf({ ...grouped, keyValueHeads: grouped.heads }, ungrouped(values), steps);
  const { together, apart } = headsApart();
  const scores = scoresFrom(0);
  const across = steps.map((step) => scores[step * (steps.length + 1)]!);
  const parameters = [...new Llama(llamaPresets["llama-3-8b"]).parameters().values()];
  return [
    atMost(
      "scores of turned queries and keys, all 1000 tokens on: difference",
      largestDifference(scores, scoresFrom(1000)),
      1e-9,
    ),
    atMost("equal distances: largest difference of their scores", Math.max(...across) - Math.min(...across), 1e-9),
    atMost("logits, all tokens 37 positions on: difference", largestDifference(plain, shifted), 1e-9),
    atLeast("logits, tokens twice as far apart: difference", largestDifference(plain, stretched), 1e-3),
    atMost("grouped heads, and each group's keys and values copied: difference", largestDifference(plain, whole), 1e-9),
    atMost("as many groups as heads, and every head alone: difference", largestDifference(together, apart), 1e-12),
    equal(
      "parameters of llama-3-8b",
      parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
      8_030_261_248,
    ),
  ];
}

export const llamaProofs: readonly Proof[] = [
  {
    id: "arch.llama",
    doc: "rotary positions tell distances alone, and grouped heads are heads whose keys and values are shared",
    run: llama,
  },
];
