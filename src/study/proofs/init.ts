// Initial values through 50 layers: the scale of activations that they keep, and those that are refused.
import { RandomStream } from "../../base/index.ts";
import { type ActivationName, type Init, initialize, Mlp } from "../../nn/index.ts";
import { atLeast, atMost, type Figure, type Proof, refused, shown } from "../proof.ts";

const depth = 50;
const functions = { relu: (x: number) => Math.max(x, 0), tanh: Math.tanh };

/** Mean squares of the sums of each layer, over several networks; those before the first are standard normal. Without a graph. */
function scales(
  init: Init,
  activation: keyof typeof functions & ActivationName,
  width: number,
  networks: number,
): number[] {
  const totals = new Array<number>(depth).fill(0);
  for (let seed = 1; seed <= networks; seed++) {
    const stream = new RandomStream(seed, "init.inputs");
    let sums = Float64Array.from({ length: width }, (_, at) => stream.normal(at));
    for (let layer = 0; layer < depth; layer++) {
      const weight = initialize(init, `layers.${layer}.weight`, [width, width], "f64", seed).data as Float64Array;
      const x = sums.map(functions[activation]);
      sums = new Float64Array(width);
      for (let i = 0; i < width; i++) for (let o = 0; o < width; o++) sums[o]! += x[i]! * weight[i * width + o]!;
      totals[layer]! += sums.reduce((sum, value) => sum + value ** 2, 0) / width / networks;
    }
  }
  return totals;
}

const kept = (of: readonly number[]): Figure[] => [
  atLeast("least mean square of a layer's sums", Math.min(...of), 0.5),
  atMost("largest", Math.max(...of), 2),
];

async function he(): Promise<Figure[]> {
  // one network strays by a factor of e^±√(5 · 50 / width) from its mean: several are looked at
  const several = scales("heNormal", "relu", 384, 8);
  return [...kept(several), shown("LeCun's start, layer 50", scales("lecunNormal", "relu", 128, 1).at(-1)!)];
}

async function xavier(): Promise<Figure[]> {
  // tanh shortens what passes: its gain of 5/3 makes up for it (as PyTorch's calculate_gain)
  const withGain = scales({ name: "xavierNormal", gain: 5 / 3 }, "tanh", 256, 2);
  return [...kept(withGain), shown("without the gain, layer 50", scales("xavierNormal", "tanh", 128, 1).at(-1)!)];
}

async function alike(): Promise<Figure[]> {
  return (["zeros", "ones", { name: "constant", value: 0.1 }] as const).map((init) =>
    refused(`hidden layers that start at ${JSON.stringify(init)}`, "nn/symmetry", () => new Mlp([4, 8, 1], { init })),
  );
}

export const initProofs: readonly Proof[] = [
  { id: "init.he", doc: "He's start keeps the scale of 50 layers with rectifiers", run: he },
  { id: "init.xavier", doc: "Xavier's start with tanh's gain keeps the scale of 50 layers with tanh", run: xavier },
  { id: "init.zeros", doc: "hidden layers that start at equal numbers are refused, with the reason", run: alike },
];
