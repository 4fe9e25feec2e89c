// Optimizers along paths that PyTorch walked, and against what theory says, step by step through the trainer's own programs.
import { clockStart, fromNumbers, toNumbers } from "../../base/index.ts";
import { constant, type Tensor } from "../../core/index.ts";
import { ReferenceEngine } from "../../engine/index.ts";
import { Module, Parameter } from "../../nn/index.ts";
import { adam, adamw, constantSchedule, Optimizer, scaleByAdam, scaleByLearningRate, sgd } from "../../optim/index.ts";
import { StepPrograms } from "../../train/index.ts";
import { atLeast, atMost, type Figure, largestDifference, type Proof, shown, within } from "../proof.ts";

/** f(x) = x·A·x / 2 − b·x, and where it begins. */
interface Problem {
  readonly A: readonly (readonly number[])[];
  readonly b: readonly number[];
  readonly start: readonly number[];
}

/** The problem of test/golden/optimizers.py. */
const quadratic: Problem = {
  A: [
    [0.9610357126221061, 0.13835088722407818, -0.15388829726725817, 0.2353590913116932],
    [0.13835088722407818, 2.1401666393503547, 0.06733566708862782, 0.02588248997926712],
    [-0.15388829726725817, 0.06733566708862782, 1.0763491177931428, -0.7381654903292656],
    [0.2353590913116932, 0.02588248997926712, -0.7381654903292656, 0.8452444691210985],
  ],
  b: [0.46221923828125, -0.89190673828125, -0.453948974609375, 0.3516845703125],
  start: [1.35369873046875, -0.435546875, -1.39764404296875, 0.27099609375],
};

/** Places by the number of steps behind them. */
type Path = ReadonlyMap<number, readonly number[]>;

/** Where PyTorch 2.13 stands after some steps, in f64, by test/golden/optimizers.py; optax confirms Adam and AdamW. */
const paths = {
  /** torch.optim.Adam, lr 0.02, betas 0.9 and 0.999, eps 1e-8 */
  adam: new Map([
    [1, [1.3336987306579042, -0.4555468716639999, -1.3776440431031505, 0.25099609391441985]],
    [10, [1.1557775075007737, -0.44225598861627125, -1.1997514406626277, 0.07347765558357604]],
    [50, [0.6035207644127607, -0.42863375265804204, -0.6586313336469968, -0.40275450940184737]],
    [100, [0.5244746336538978, -0.43018435378447806, -0.5511101156581185, -0.2577385589347114]],
  ]),
  /** torch.optim.SGD, lr 0.01, momentum 0.9 */
  momentum: new Map([
    [1, [1.343125353012963, -0.4361463952662257, -1.3827631414240467, 0.25883211130147854]],
    [10, [0.9687502331847032, -0.45356888808083856, -0.8719670385744485, -0.15180161782442375]],
    [50, [0.5050396830046453, -0.42686503913441515, -0.5206339846313881, -0.08474673751857323]],
    [100, [0.4978824935197595, -0.4377873624422892, -0.3474844204103459, -0.01474552947724004]],
  ]),
  /** the same with weight_decay 5e-4, which is coupled */
  momentumL2: new Map([
    [1, [1.3431185845193105, -0.4361442175318507, -1.3827561532038317, 0.2588307563210098]],
    [10, [0.9685135983255533, -0.45349195084958455, -0.871734455753983, -0.15181215480565036]],
    [50, [0.5047023946576826, -0.42677953048774014, -0.5200264235515214, -0.0840162704746872]],
    [100, [0.4975297442172499, -0.43769013406403956, -0.34689695958221334, -0.01407483143946596]],
  ]),
  /** torch.optim.Adam, lr 0.02, weight_decay 0.01, which is coupled */
  adamL2: new Map([
    [1, [1.3336987306555133, -0.45554687140265565, -1.3776440431019, 0.25099609391405436]],
    [10, [1.1557540386343832, -0.44121167704967457, -1.1997438264874936, 0.07348618864505813]],
    [50, [0.6014110613498215, -0.42782752158864623, -0.6568113348340734, -0.400762888725345]],
    [100, [0.518076397677471, -0.4279920480399541, -0.5435382455489348, -0.24879600469762692]],
  ]),
  /** torch.optim.AdamW, lr 0.02, betas 0.9 and 0.95, weight_decay 0.1, which is decoupled */
  adamw: new Map([
    [1, [1.3309913331969667, -0.45467577791399993, -1.374848755017213, 0.25045410172691984]],
    [10, [1.1300304155981002, -0.44109194819850017, -1.1731020465741193, 0.06903497498034286]],
    [50, [0.5010776502306798, -0.4289284377469063, -0.5447885851949471, -0.3856221908317676]],
    [100, [0.49307494619208564, -0.43669335660179404, -0.3622452851547216, -0.05470483084961988]],
  ]),
};

/** How far positions after each step are from a path. */
const distances = (what: string, positions: readonly (readonly number[])[], path: Path): Figure[] =>
  [...path].map(([step, expected]) =>
    atMost(`${what} after ${step} steps`, largestDifference(positions[step - 1]!, expected), 1e-10),
  );

class Quadratic extends Module {
  readonly x: Parameter;
  private readonly problem: Problem;

  constructor(problem: Problem) {
    super();
    this.problem = problem;
    this.x = new Parameter([problem.b.length], { init: "zeros" });
  }

  forward(): Tensor {
    const x = this.x.tensor;
    const { A, b } = this.problem;
    const size = b.length;
    const product = constant(fromNumbers("f64", [size, size], A.flat()))
      .matmul(x.reshape(size, 1))
      .reshape(size);
    return x
      .mul(product)
      .sum()
      .mul(0.5)
      .sub(x.mul(constant(fromNumbers("f64", [size], b))).sum());
  }
}

/** Positions after each of `steps` steps at the optimizer's own rate. */
async function walk(optimizer: Optimizer, steps: number, problem = quadratic): Promise<number[][]> {
  const model = new Quadratic(problem);
  const learningRate = optimizer.learningRate.at(clockStart);
  const programs = new StepPrograms(
    {
      model,
      task: {
        name: "regression",
        itemsPerRow: 1,
        feeds: () => ({}),
        loss: () => ({ sum: model.forward(), count: constant(1, "f64") }),
      },
      optimizer,
      batchSize: 1,
      lanes: 1,
      evalBatchSize: 1,
      dtype: "f64",
      seed: 1,
    },
    new ReferenceEngine(),
  );
  programs.initialize();
  programs.store.write("x", fromNumbers("f64", [problem.start.length], problem.start));
  const positions: number[][] = [];
  for (let step = 0; step < steps; step++) {
    await programs.step({ step, learningRate, batch: {}, sampleIds: Int32Array.of(0) });
    positions.push(Array.from(toNumbers(programs.store.read("x"))));
  }
  return positions;
}

const lr = 0.02;

/** Sizes of the first step, per element. */
const firstSteps = ([first]: number[][]): number[] => first!.map((x, at) => Math.abs(x - quadratic.start[at]!));

async function adamPath(): Promise<Figure[]> {
  const positions = await walk(adam({ lr }), 100);
  const sizes = firstSteps(positions);
  // The same rule without its bias corrections: m and v begin at zero and stay too small.
  const numbers = { beta1: 0.9, beta2: 0.999, eps: 1e-8 };
  const uncorrected = { ...scaleByAdam(numbers), scalarsAt: () => ({ "adam.c1": 1, "adam.c2": 1 }) };
  const wrong = await walk(
    new Optimizer({ chain: [uncorrected, scaleByLearningRate()], learningRate: constantSchedule(lr) }),
    100,
  );
  const wrongSizes = firstSteps(wrong);
  const wrongPath = largestDifference(wrong.at(-1)!, paths.adam.get(100)!);
  return [
    ...distances("distance from PyTorch's path", positions, paths.adam),
    within("smallest first step", Math.min(...sizes), lr, 1e-6),
    within("largest first step", Math.max(...sizes), lr, 1e-6),
    {
      name: "first step without bias correction: fails the check",
      value: wrongSizes[0]!,
      bound: `not ${lr} ± 1e-6`,
      ok: wrongSizes.every((size) => Math.abs(size - lr) > 1e-6),
    },
    {
      name: "path without bias correction: fails the check",
      value: wrongPath,
      bound: "> 1e-10",
      ok: wrongPath > 1e-10,
    },
  ];
}

/** Eigenvalues from 1 to 100, in axes turned by a Householder reflection; its optimum is 0. */
const illConditioned: Problem = (() => {
  const eigenvalues = [1, 2.5, 6.5, 16, 40, 100];
  const reflection = (row: number, column: number) => (row === column ? 1 : 0) - 2 / eigenvalues.length;
  const A = eigenvalues.map((_, i) =>
    eigenvalues.map((__, j) => eigenvalues.reduce((sum, l, k) => sum + reflection(i, k) * l * reflection(k, j), 0)),
  );
  return { A, b: eigenvalues.map(() => 0), start: [1, -2, 3, 1, 2, -1] };
})();

/** Steps until no coordinate is further from 0 than 1e-6; `steps` is more than enough. */
async function stepsToOptimum(optimizer: Optimizer, steps: number): Promise<number> {
  const positions = await walk(optimizer, steps, illConditioned);
  return positions.findIndex((x) => Math.max(...x.map(Math.abs)) <= 1e-6) + 1 || Number.POSITIVE_INFINITY;
}

/** Both at the rates that are best for eigenvalues from μ to L (Polyak 1964): 2 / (L + μ), and 4 / (√L + √μ)² with β = ((√κ − 1) / (√κ + 1))². */
async function momentumPath(): Promise<Figure[]> {
  const [smallest, largest] = [1, 100];
  const roots = Math.sqrt(largest) + Math.sqrt(smallest);
  const decay = ((Math.sqrt(largest) - Math.sqrt(smallest)) / roots) ** 2;
  const plain = await stepsToOptimum(sgd({ lr: 2 / (largest + smallest) }), 1200);
  const heavy = await stepsToOptimum(sgd({ lr: 4 / roots ** 2, momentum: decay }), 300);
  const size = Math.hypot(...illConditioned.start);
  const tooFast = await walk(sgd({ lr: 2.02 / largest }), 1200, illConditioned);
  return [
    ...distances("distance from PyTorch's path", await walk(sgd({ lr: 0.01, momentum: 0.9 }), 100), paths.momentum),
    // the error falls by (κ − 1) / (κ + 1) a step
    atMost("steps of plain gradient descent", plain, Math.ceil(Math.log(size / 1e-6) / Math.log(101 / 99))),
    shown("steps with momentum", heavy),
    atLeast("times fewer", plain / heavy, 5),
    atLeast("distance at a rate above 2 / L, which cannot be stable", Math.max(...tooFast.at(-1)!.map(Math.abs)), 1),
  ];
}

async function decays(): Promise<Figure[]> {
  const coupled = await walk(sgd({ lr: 0.01, momentum: 0.9, l2: 5e-4 }), 100);
  const adamL2 = await walk(adam({ lr, l2: 0.01 }), 100);
  const decoupled = await walk(adamw({ lr, betas: [0.9, 0.95], weightDecay: 0.1, decay: "all" }), 100);
  // Adam's first update is g / |g|, whatever is added to g; decay is taken off beside it: lr · λ · x
  const { A, b, start } = quadratic;
  const gradient = A.map((row, i) => row.reduce((sum, a, j) => sum + a * start[j]!, 0) - b[i]!);
  const strength = 0.5;
  const step = (penalty: number, rest: number) =>
    start.map((x, i) => x - lr * (Math.sign(gradient[i]! + penalty * x) + rest * x));
  const first = async (options: object) => (await walk(adam({ lr, decay: "all", ...options }), 1))[0]!;
  const [penalized, decayed] = [await first({ l2: strength }), await first({ weightDecay: strength })];
  return [
    ...distances("momentum with l2: distance from PyTorch's path", coupled, paths.momentumL2),
    ...distances("Adam with l2", adamL2, paths.adamL2),
    ...distances("AdamW, whose decay is decoupled", decoupled, paths.adamw),
    atMost("first step of Adam with l2, from what is derived", largestDifference(penalized, step(strength, 0)), 1e-8),
    atMost("the same with decay", largestDifference(decayed, step(0, strength)), 1e-8),
    within(
      "largest difference of the two",
      largestDifference(penalized, decayed),
      largestDifference(step(strength, 0), step(0, strength)),
      1e-8,
    ),
  ];
}

export const optimizerProofs: readonly Proof[] = [
  {
    id: "opt.adam",
    doc: "Adam walks PyTorch's path, and its first step has the size of the learning rate",
    run: adamPath,
  },
  {
    id: "opt.momentum",
    doc: "on a quadratic of condition 100, momentum needs less than a fifth of the steps of gradient descent, both at their best",
    run: momentumPath,
  },
  {
    id: "opt.decay",
    doc: "an l2 penalty is PyTorch's, and differs from decoupled decay under Adam, both as derived",
    run: decays,
  },
];
