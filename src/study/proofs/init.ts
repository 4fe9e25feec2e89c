// Initial values through 50 layers: the scale of activations that they keep, and those that are refused.
import { RandomStream } from "../../base/index.ts";
import { type ActivationName, type Init, initialize, Mlp, meanSquaredError } from "../../nn/index.ts";
import { coordinateCheck } from "../coordinate-check.ts";
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

async function widths(): Promise<Figure[]> {
  const options = {
    widths: [32, 64, 128, 256],
    x: initialize("normal", "x", [8, 16], "f64", 1),
    target: initialize("normal", "target", [8, 4], "f64", 1),
    loss: meanSquaredError,
  };
  const check = (isMup: boolean) =>
    coordinateCheck((width) => new Mlp([16, width, width, 4]), { ...options, mup: isMup });
  return [
    ...check(true).map(({ layer, slope }) =>
      atMost(`muP: |slope of change against width|, ${layer}`, Math.abs(slope), 0.2),
    ),
    ...check(false)
      .slice(1)
      .map(({ layer, slope }) => atLeast(`one rate for all: slope, ${layer}`, slope, 0.35)),
  ];
}

export const initProofs: readonly Proof[] = [
  { id: "init.he", doc: "He's start keeps the scale of 50 layers with rectifiers", run: he },
  { id: "init.xavier", doc: "Xavier's start with tanh's gain keeps the scale of 50 layers with tanh", run: xavier },
  { id: "init.zeros", doc: "hidden layers that start at equal numbers are refused, with the reason", run: alike },
  { id: "init.mup", doc: "under muP the same rate moves layers of any width alike: the coordinate check", run: widths },
];
