// Batches over a run: their rows against the plan, the samples they add up to, and that the learning rate does not know of them.
import { train } from "../../api/index.ts";
import { AthanorError } from "../../base/index.ts";
import { parseRecipe, type RecipeInput } from "../../recipe/index.ts";
import { compareBatchSizes } from "../compare-batches.ts";
import { equal, type Figure, holds, type Proof, type ProofContext } from "../proof.ts";

const samples = 1024;
const rows = Array.from({ length: 600 }, (_, x) => ({
  x: Math.sin(x),
  z: Math.cos(3 * x),
  y: Math.sin(x) - Math.cos(3 * x),
}));

interface Course {
  /** Of each step. */
  readonly rows: readonly number[];
  /** Samples before a step, and its rate. */
  readonly rates: ReadonlyMap<number, number>;
  readonly samples: number;
  readonly hash: string;
}

/** A run with these batches, whose rate is a function of samples; with `stopAt` in two pieces. */
async function courseOf(
  { folder, signal }: ProofContext,
  name: string,
  steps: number,
  batch: RecipeInput["batch"],
  stopAt?: number,
): Promise<Course> {
  const [sizes, rates] = [[] as number[], new Map<number, number>()];
  let seen = 0;
  const run = async (until: number, resume: boolean): Promise<string> => {
    const lr = { cosine: { peak: 0.02, warmup: 128, total: samples, floor: 0.002, unit: "samples" as const } };
    const recipe: RecipeInput = {
      data: { rows, target: "y" },
      model: { mlp: { hidden: [8] } },
      optimizer: { adamw: { lr } },
      batch,
      steps: until,
      eval: { every: 0 },
    };
    const training = train(recipe, { runDir: `${folder}/${name}`, resume, ...(signal && { signal }) });
    for await (const event of training) {
      if (event.type !== "step") continue;
      rates.set(seen, event.lr);
      sizes.push(event.tokens - seen); // rows, as a table has no tokens
      seen = event.tokens;
    }
    return (await training.outcome).hash;
  };
  if (stopAt !== undefined) await run(stopAt, false);
  return { hash: await run(steps, stopAt !== undefined), rows: sizes, rates, samples: seen };
}

/** Batches against their plan, in one lane and in two, whole and stopped; and the rates against those of a fixed batch of 16. */
async function against(
  context: ProofContext,
  size: Exclude<RecipeInput["batch"], number | string | undefined>["size"],
  plan: readonly number[],
) {
  const steps = plan.length;
  const course = await courseOf(context, "one", steps, { size });
  const lanes = await courseOf(context, "two", steps, { size, lanes: 2 });
  const stopped = await courseOf(context, "stopped", steps, { size }, Math.floor(steps / 2));
  const fixed = await courseOf(context, "fixed", samples / 16, { size: 16 });
  const shared = [...course.rates].filter(([at]) => fixed.rates.has(at));
  return [
    equal("rows of the steps", inWords(course.rows), inWords(plan)),
    equal("samples seen", course.samples, samples),
    holds("places where both runs have a rate", shared.length > 10, "> 10"),
    equal(
      "of these, rates unlike those of a fixed batch",
      shared.filter(([at, lr]) => fixed.rates.get(at) !== lr).length,
      0,
    ),
    equal(
      "rates in two lanes",
      JSON.stringify([...lanes.rates]) === JSON.stringify([...course.rates]) ? "the same" : "others",
      "the same",
    ),
    equal(`stopped after step ${Math.floor(steps / 2)} and resumed: final state`, stopped.hash, course.hash),
  ] satisfies Figure[];
}

/** Rows and for how many steps: `16 × 4, 32 × 2`. */
function inWords(sizes: readonly number[]): string {
  const starts = sizes.map((_, at) => at).filter((at) => at === 0 || sizes[at] !== sizes[at - 1]);
  return starts.map((at, part) => `${sizes[at]} × ${(starts[part + 1] ?? sizes.length) - at}`).join(", ");
}

/** A fixed rate and no coupling: the fewer updates the same samples make, the less is learned. */
async function experiment(): Promise<Figure[]> {
  const recipe = (count: number) =>
    parseRecipe({
      data: {
        rows: Array.from({ length: count }, (_, x) => ({ x: Math.sin(x), y: 3 * Math.sin(x) })),
        target: "y",
        heldOut: 0.3,
      },
      model: { mlp: { hidden: [] } },
      optimizer: { sgd: { lr: 0.01 } },
    });
  const options = { sizes: [1, 10, 100, 1000], samples: 4000, seeds: 2 };
  const short = await compareBatchSizes(recipe(4), options).catch((error: unknown) => error);
  const { compared } = await compareBatchSizes(recipe(10_000), options);
  const last = compared.map(({ losses }) => losses.at(-1)!.mean);
  return [
    equal(
      "sizes of 1 to 1000 rows from 4 rows",
      short instanceof AthanorError ? short.code : "accepted",
      "data/short-batch",
    ),
    equal("sizes compared", compared.map(({ size }) => size).join(" "), "1 10 100 1000"),
    equal("samples of each", compared.map(({ size, steps }) => size * steps).join(" "), "4000 4000 4000 4000"),
    equal("losses of each, by samples seen", compared.map(({ losses }) => losses.length).join(" "), "4 4 4 4"),
    holds(
      "of one rate, the smaller the batch the lower the loss",
      last.every((loss, at) => at === 0 || loss > last[at - 1]!),
    ),
  ];
}

const repeat = (size: number, times: number): number[] => Array<number>(times).fill(size);

export const batchProofs: readonly Proof[] = [
  {
    id: "bs.experiment",
    doc: "batches of 1 to 1000 rows on the same samples, by samples seen; from 4 rows they are refused",
    run: experiment,
  },
  {
    id: "bs.fixed",
    doc: "a fixed batch has its rows at every step, and every sample is counted",
    run: (context) => against(context, 32, repeat(32, samples / 32)),
  },
  {
    id: "bs.exp",
    doc: "a batch that doubles every 256 samples follows its plan, and the rate over samples does not know of it",
    // 16 until 256 samples are seen, 32 until 512, 64 until 768, 128 until 1024
    run: (context) =>
      against(context, { exponential: { from: 16, to: 128, factor: 2, every: 256 } }, [
        ...[...repeat(16, 16), ...repeat(32, 8)],
        ...[...repeat(64, 4), ...repeat(128, 2)],
      ]),
  },
  {
    id: "bs.staged",
    doc: "a batch in stages, up and down, follows its plan, and the rate over samples does not know of it",
    run: (context) =>
      against(context, { staged: { sizes: [16, 64, 32], boundaries: [256, 768] } }, [
        ...[...repeat(16, 16), ...repeat(64, 8), ...repeat(32, 8)],
      ]),
  },
];
