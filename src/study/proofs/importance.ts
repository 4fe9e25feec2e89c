// Importance on rows whose causes are known: the mean of what permuting a column costs has a closed form.
import { load, train } from "../../api/index.ts";
import { RandomStream } from "../../base/index.ts";
import { type ColumnImportance, permutationImportance } from "../importance.ts";
import { atLeast, equal, type Figure, type Proof, type ProofContext } from "../proof.ts";

const weights = [3, 2, 1, 0, 0, 0, 0, 0];
const seeds = [1, 2, 3, 4, 5];

/** A number that is a sum of three columns, and noise; five more columns say nothing. */
function draw(count: number, seed: number, name: string) {
  const stream = new RandomStream(seed, name);
  return Array.from({ length: count }, (_, row) => {
    const x = weights.map((__, at) => stream.normal(at, row));
    const y = x.reduce((sum, value, at) => sum + weights[at]! * value, stream.normal(100, row));
    return { ...Object.fromEntries(x.map((value, at) => [`x${at}`, value])), y };
  });
}

async function importance({ folder }: ProofContext): Promise<Figure[]> {
  const found: ColumnImportance[][] = [];
  for (const seed of seeds) {
    const run = `${folder}/${seed}`;
    await train(
      {
        data: { rows: draw(2000, seed, "train"), target: "y" },
        model: { mlp: { hidden: [] } },
        optimizer: { adam: { lr: { cosine: { peak: 0.05 } } } },
        batch: { size: 100 },
        ...{ steps: 400, seed, eval: { every: 0 }, checkpoint: { every: 0 } },
      },
      { runDir: run },
    ).outcome;
    found.push([...(await permutationImportance(await load(run), draw(1000, seed, "others"), { seed })).columns]);
  }
  // E[(f(x with another xᵢ) − y)² − (f(x) − y)²] = 2wᵢ² for independent columns of variance 1
  const holdsTruth = ({ column, rise }: ColumnImportance) =>
    Math.abs(rise.mean - 2 * weights[Number(column.slice(1))]! ** 2) <= rise.half!;
  const planted = found.flatMap((columns) => columns.filter(({ column }) => weights[Number(column.slice(1))]! > 0));
  const noise = found.flatMap((columns) => columns.filter(({ column }) => weights[Number(column.slice(1))] === 0));
  const ranked = found.filter(
    (columns) =>
      columns
        .slice(0, 3)
        .map(({ column }) => column)
        .join() === "x0,x1,x2",
  );
  return [
    equal("seeds of 5 on which x0, x1, x2 are the first three, in this order", ranked.length, 5),
    equal(
      "planted columns of 15 whose interval lies above 0",
      planted.filter(({ rise }) => rise.mean > rise.half!).length,
      15,
    ),
    atLeast("planted columns of 15 whose interval holds 2w², the closed form", planted.filter(holdsTruth).length, 13),
    atLeast("noise columns of 25 whose interval holds 0", noise.filter(holdsTruth).length, 23),
    atLeast(
      "least importance planted ÷ greatest of noise",
      Math.min(...planted.map(({ rise }) => rise.mean)) / Math.max(...noise.map(({ rise }) => rise.mean + rise.half!)),
      10,
    ),
  ];
}

export const importanceProofs: readonly Proof[] = [
  {
    id: "interpret.importance",
    doc: "permutation importance ranks three planted columns right, as large as the closed form, and noise beside 0",
    run: importance,
  },
];
