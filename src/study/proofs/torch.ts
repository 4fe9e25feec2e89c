// PyTorch: its loops, optimizers and layers on the same numbers (test/golden/systems.py), and a state_dict read by name.
import { writeFile } from "node:fs/promises";
import { fromNumbers, type HostArray, sizeOf, toNumbers } from "../../base/index.ts";
import { attention, gelu, geluTanh, gradients, logSoftmax, silu, softmax, type Tensor } from "../../core/index.ts";
import { evaluate } from "../../engine/index.ts";
import { readStateDict } from "../../hub/index.ts";
import {
  binaryCrossEntropy,
  crossEntropy,
  Embedding,
  functionalCall,
  huberLoss,
  LayerNorm,
  Linear,
  type Module,
  meanAbsoluteError,
  meanSquaredError,
  poissonLoss,
  RmsNorm,
  Sequential,
  smoothL1Loss,
} from "../../nn/index.ts";
import { adadelta, adagrad, adam, adamax, adamw, type Optimizer, radam, rmsprop, sgd } from "../../optim/index.ts";
import { fit } from "../../train/index.ts";
import { atMost, type Figure, largestDifference, type Proof, type ProofContext } from "../proof.ts";
import { ids, normals } from "./numpy-arrays.ts";
import { torchLayers, torchLoops, torchStateDict } from "./systems.generated.ts";

const optimizers: { readonly [name in keyof typeof torchLoops]: Optimizer } = {
  sgd: sgd({ lr: 0.01 }),
  "sgd, momentum": sgd({ lr: 0.01, momentum: 0.9 }),
  "sgd, momentum, weight_decay": sgd({ lr: 0.01, momentum: 0.9, l2: 5e-4 }),
  adam: adam({ lr: 0.01 }),
  adamw: adamw({ lr: 0.01, weightDecay: 0.1, decay: "all" }),
  adamax: adamax({ lr: 0.01 }),
  radam: radam({ lr: 0.01 }),
  rmsprop: rmsprop({ lr: 0.01 }),
  adagrad: adagrad({ lr: 0.01 }),
  adadelta: adadelta({ lr: 1 }),
};

/** A hundred steps of a net of 10, 20 and 1 on all of 64 rows. */
async function loop(name: keyof typeof torchLoops): Promise<Figure[]> {
  const net = new Sequential(new Linear(10, 20), (x) => x.relu(), new Linear(20, 1));
  const x = normals(20, [64, 10]);
  const values = toNumbers(x);
  const y = Array.from({ length: 64 }, (_, row) => [values[10 * row]! * values[10 * row + 1]!]);
  const parameters = {
    "layers.0.weight": normals(10, [10, 20], 0.3),
    "layers.0.bias": normals(11, [20], 0.3),
    "layers.2.weight": normals(12, [20, 1], 0.3),
    "layers.2.bias": normals(13, [1], 0.3),
  };
  const options = { loss: meanSquaredError, batch: "all", epochs: 100, precision: "f64", parameters } as const;
  const fitting = fit(net, { x, y }, { ...options, optimizer: optimizers[name] });
  const losses: number[] = [];
  for await (const { loss } of fitting) losses.push(loss);
  const rows = fromNumbers("f64", [5, 10], values.slice(0, 50));
  const predictions = (await (await fitting).predict(rows)).flat();
  const expected = torchLoops[name];
  return [
    atMost(
      `${name}: error of losses at steps 1, 10, 100`,
      largestDifference([losses[0]!, losses[9]!, losses[99]!], expected.losses),
      1e-6,
    ),
    atMost("error of predictions after them", largestDifference(predictions, expected.predictions), 1e-6),
  ];
}

type Function = (...inputs: Tensor[]) => Tensor;
interface Layer {
  readonly shapes: readonly (readonly number[])[];
  readonly integers?: readonly number[];
  readonly call: Function;
}

/** A module as a function of its input and parameters; where they come first, of these and the input. */
function asFunction(module: Module, { parametersFirst = false } = {}): Function {
  const names = [...module.parameters().keys()];
  return (...given) => {
    const input = parametersFirst ? given.at(-1)! : given[0]!;
    const parameters = given.filter((tensor) => tensor !== input);
    const bound = new Map(names.map((name, at) => [name, parameters[at]!]));
    return functionalCall(module, bound, () => module.forward(input) as Tensor);
  };
}

const wide = [2, 4];
const pair = [wide, wide];
const layers: { readonly [name in keyof typeof torchLayers]: Layer } = {
  Linear: { shapes: [wide, [4, 3], [3]], call: asFunction(new Linear(4, 3)) },
  "Linear without bias": { shapes: [wide, [4, 3]], call: asFunction(new Linear(4, 3, { bias: false })) },
  Embedding: {
    shapes: [[4, 2]],
    integers: [2, 0, 2],
    call: asFunction(new Embedding(4, 2), { parametersFirst: true }),
  },
  LayerNorm: { shapes: [wide, [4], [4]], call: asFunction(new LayerNorm(4)) },
  RMSNorm: { shapes: [wide, [4]], call: asFunction(new RmsNorm(4)) },
  ReLU: { shapes: [wide], call: (x) => x.relu() },
  GELU: { shapes: [wide], call: (x) => gelu(x) },
  "GELU, tanh": { shapes: [wide], call: (x) => geluTanh(x) },
  SiLU: { shapes: [wide], call: (x) => silu(x) },
  Tanh: { shapes: [wide], call: (x) => x.tanh() },
  Sigmoid: { shapes: [wide], call: (x) => x.sigmoid() },
  Softmax: { shapes: [wide], call: (x) => softmax(x) },
  LogSoftmax: { shapes: [wide], call: (x) => logSoftmax(x) },
  "causal attention": {
    shapes: Array.from({ length: 3 }, () => [1, 3, 2, 2]),
    call: (q, k, v) => attention(q, k, v, { causal: true }),
  },
  MSELoss: { shapes: pair, call: (p, t) => meanSquaredError(p, t) },
  L1Loss: { shapes: pair, call: (p, t) => meanAbsoluteError(p, t) },
  SmoothL1Loss: { shapes: pair, call: (p, t) => smoothL1Loss(p, t) },
  HuberLoss: { shapes: pair, call: (p, t) => huberLoss(p, t) },
  CrossEntropyLoss: { shapes: [[3, 4]], integers: [1, 3, 0], call: (x, t) => crossEntropy(x, t) },
  BCEWithLogitsLoss: { shapes: pair, call: (x, t) => binaryCrossEntropy(x, t.sigmoid()) },
  PoissonNLLLoss: { shapes: pair, call: (p, t) => poissonLoss(p, t) },
};

/** Largest error of a layer's output, and of the gradients of Σ output · c by each of its floating inputs. */
function layerError(name: keyof typeof torchLayers): number {
  const { shapes, integers, call } = layers[name];
  const expected: { readonly output: readonly number[]; readonly grads: readonly (readonly number[])[] } =
    torchLayers[name];
  const inputs = shapes.map((shape, at) => normals(40 + at, shape));
  const given: readonly HostArray[] = integers === undefined ? inputs : [...inputs, ids(integers)];
  const results = evaluate(
    (...tensors) => {
      const output = call(...tensors.slice(0, given.length));
      const seed = tensors
        .at(-1)!
        .slice(0, 0, sizeOf(output.shape))
        .reshape(...output.shape);
      const seeds = output.rank === 0 ? undefined : [seed];
      return [output, ...gradients([output], tensors.slice(0, inputs.length), seeds).map((grad) => grad!)];
    },
    Object.fromEntries([...given, normals(60, [64])].map((array, at) => [`x${at}`, array])),
  );
  const wanted = [expected.output, ...expected.grads];
  return Math.max(...results.map(({ data }, at) => largestDifference(data, wanted[at]!)));
}

async function stateDict({ folder }: ProofContext): Promise<Figure[]> {
  const path = `${folder}/net.safetensors`;
  await writeFile(path, Buffer.from(torchStateDict.file, "base64"));
  const net = new Sequential(new Linear(3, 4), (x) => x.relu(), new Linear(4, 2));
  const parameters = await readStateDict(path, net);
  const x = normals(30, [4, 3]);
  const data = { x, y: fromNumbers("f64", [4, 2], new Array<number>(8).fill(0)) };
  const model = await fit(net, data, { loss: meanSquaredError, epochs: 0, precision: "f64", parameters });
  const predictions = (await model.predict(x)).flat();
  return [
    atMost(
      "state_dict by name: error of predictions",
      largestDifference(predictions, torchStateDict.predictions),
      1e-6,
    ),
  ];
}

export const torchProofs: readonly Proof[] = [
  {
    id: "sys.pytorch",
    doc: "PyTorch's loops, ten optimizers over 100 steps, 21 layers with gradients, and a state_dict by name",
    run: async (context) => {
      const loops: Figure[] = [];
      for (const name of Object.keys(torchLoops) as (keyof typeof torchLoops)[]) loops.push(...(await loop(name)));
      const names = Object.keys(torchLayers) as (keyof typeof torchLayers)[];
      const ofLayers = names.map((name) => atMost(`${name}: error of output and gradients`, layerError(name), 1e-6));
      return [...loops, ...ofLayers, ...(await stateDict(context))];
    },
  },
];
