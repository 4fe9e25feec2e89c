// Regularizers on a task that is built to overfit: few rows, many features that say nothing, labels of which some are wrong.

import { load, train } from "../../api/index.ts";
import { fromNumbers, RandomStream } from "../../base/index.ts";
import type { Tensor } from "../../core/index.ts";
import { evaluate } from "../../engine/index.ts";
import { logLoss } from "../../metrics/index.ts";
import { Dropout } from "../../nn/index.ts";
import { atLeast, atMost, type Figure, holds, type Proof, type ProofContext, shown } from "../proof.ts";
import { meanInterval } from "../student.ts";

const numFeatures = 20;
const wrongLabels = 0.15;
const seeds = [1, 2, 3, 4, 5];
type Row = { readonly [column: string]: number | string };

/** Three of the features decide the class, and a share of the labels is wrong. */
function draw(count: number, seed: number, name: string): Row[] {
  const stream = new RandomStream(seed, name);
  return Array.from({ length: count }, (_, row) => {
    const x = Array.from({ length: numFeatures }, (__, at) => stream.normal(at, row));
    const isOne = x[0]! + x[1]! - x[2]! > 0 !== stream.uniform(1000, row) < wrongLabels;
    return { ...Object.fromEntries(x.map((value, at) => [`x${at}`, value])), y: isOne ? "yes" : "no" };
  });
}

/** What the best possible answer loses: the entropy of a wrong label. */
const floor = -wrongLabels * Math.log(wrongLabels) - (1 - wrongLabels) * Math.log(1 - wrongLabels);

interface Setting {
  readonly rows?: number;
  readonly hidden?: number[];
  readonly dropout?: number;
  readonly l2?: number;
}

interface Fit {
  readonly train: number;
  readonly test: number;
}

/** Log loss on the rows of the training and on 2,000 others, after 300 steps on all rows. */
async function trainNet(setting: Setting, seed: number, folder: string, signal?: AbortSignal): Promise<Fit> {
  const { rows = 60, hidden = [64, 64], dropout = 0, l2 = 0 } = setting;
  const given = draw(rows, seed, "train");
  const training = train(
    {
      data: { rows: given, target: "y", heldOut: 0.05 },
      model: { mlp: { hidden, dropout } },
      optimizer: { adam: { lr: 0.003, l2 } },
      batch: { size: 32 },
      steps: 300,
      seed,
      eval: { every: 0 },
      checkpoint: { every: 0 },
    },
    { runDir: folder, ...(signal === undefined ? {} : { signal }) },
  );
  await training.outcome;
  const model = await load<"yes" | "no", Row>(folder);
  const lossOn = async (data: readonly Row[]) => {
    const metric = logLoss({ from: "probabilities" });
    const answers = (await model.predict(data)).map((answer) => ("label" in answer ? answer.probabilities.yes : 0));
    metric.update(
      fromNumbers("f64", [data.length], answers),
      fromNumbers(
        "i32",
        [data.length],
        data.map(({ y }) => Number(y === "yes")),
      ),
    );
    return metric.value();
  };
  return { train: await lossOn(given), test: await lossOn(draw(2000, seed, "test")) };
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The lower end of the 95 % interval of a mean over five seeds. */
function lowerEnd(values: readonly number[]): number {
  const { mean: centre, half } = meanInterval(values);
  return centre - half!;
}

/** One setting against none, on the same rows and starts. */
function against(setting: Setting) {
  return async ({ folder, signal, note }: ProofContext): Promise<Figure[]> => {
    const runs: { plain: Fit; regular: Fit }[] = [];
    for (const seed of seeds) {
      note(`seed ${seed} of ${seeds.length}`);
      const plain = await trainNet({}, seed, `${folder}/plain-${seed}`, signal);
      runs.push({ plain, regular: await trainNet(setting, seed, `${folder}/regular-${seed}`, signal) });
    }
    const gap = ({ train, test }: Fit) => test - train;
    return [
      shown("test loss without, mean of 5 seeds", mean(runs.map(({ plain }) => plain.test))),
      shown("test loss with", mean(runs.map(({ regular }) => regular.test))),
      shown("train loss without", mean(runs.map(({ plain }) => plain.train))),
      shown("train loss with", mean(runs.map(({ regular }) => regular.train))),
      atLeast(
        "test loss with, against the noise of the labels",
        mean(runs.map(({ regular }) => regular.test)),
        floor - 0.03,
      ),
      atLeast(
        "lower end of the gap's fall, as a share of the gap",
        lowerEnd(runs.map(({ plain, regular }) => 1 - gap(regular) / gap(plain))),
        0.3,
      ),
      {
        name: "lower end of the test loss's fall",
        ...((value) => ({ value, bound: "> 0", ok: value > 0 }))(
          lowerEnd(runs.map(({ plain, regular }) => plain.test - regular.test)),
        ),
      },
    ];
  };
}

async function dropoutModes(): Promise<Figure[]> {
  const rate = 0.3;
  const layer = new Dropout(rate);
  const [rows, width] = [100, 1000];
  const ones = Array.from({ length: rows }, () => new Array<number>(width).fill(1));
  const random = (inputs: { [name: string]: Tensor }) => ({ key: inputs.key!, rows: inputs.rows! });
  const pass = (mode: "train" | "eval", seed = 1) =>
    evaluate(
      (x) => layer.forward(x!),
      {
        x: ones,
        key: fromNumbers("i32", [3], [seed, 0, 0]),
        rows: fromNumbers(
          "i32",
          [rows],
          ones.map((_, row) => row),
        ),
      },
      { mode, random },
    ).data;
  const once = pass("train");
  const isSame = (a: readonly number[], b: readonly number[]) => a.every((value, at) => value === b[at]);
  return [
    atMost("train: |mean − 1|", Math.abs(mean(once) - 1), 0.01),
    atMost(
      "train: |share dropped − 0.3|",
      Math.abs(once.filter((value) => value === 0).length / once.length - rate),
      0.01,
    ),
    holds("train: the same seed gives the same mask", isSame(once, pass("train"))),
    holds("train: another seed gives another mask", !isSame(once, pass("train", 2))),
    holds("eval: what passes is what came", isSame(pass("eval"), ones.flat())),
  ];
}

export const regularizationProofs: readonly Proof[] = [
  {
    id: "reg.l2",
    doc: "an l2 penalty narrows the gap between test and train on a task built to overfit",
    run: against({ l2: 0.1 }),
  },
  {
    id: "reg.dropout",
    doc: "dropout narrows the gap between test and train on a task built to overfit",
    run: against({ dropout: 0.7 }),
  },
  {
    id: "reg.small",
    doc: "a smaller model narrows the gap between test and train on a task built to overfit",
    run: against({ hidden: [] }),
  },
  {
    id: "reg.moredata",
    doc: "ten times the rows narrow the gap between test and train on a task built to overfit",
    run: against({ rows: 600 }),
  },
  {
    id: "reg.dropout.mode",
    doc: "dropout keeps the mean in training, is the identity in evaluation, and follows its seed",
    run: dropoutModes,
  },
];
