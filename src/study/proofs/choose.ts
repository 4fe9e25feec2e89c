// Choosing an optimizer on a task where it is known who must win: least squares with features that are nearly one.
import { train } from "../../api/index.ts";
import { RandomStream } from "../../base/index.ts";
import { parseRecipe } from "../../recipe/index.ts";
import { equal, type Figure, holds, type Proof, type ProofContext, within } from "../proof.ts";
import { meanInterval } from "../student.ts";
import { namedOptimizers, tuneOptimizer } from "../tune-optimizer.ts";

const numFeatures = 8;

/** Features with a common part, so that the Hessian's condition number is near 90: what gradient descent is slow on. */
function draw(count: number) {
  const stream = new RandomStream(1, "choose");
  return Array.from({ length: count }, (_, row) => {
    const common = stream.normal(0, row);
    const own = Array.from({ length: numFeatures }, (__, at) => stream.normal(at + 1, row));
    const y = own.reduce((sum, value, at) => sum + (at % 2 === 0 ? value : -value), 0.1 * stream.normal(100, row));
    return { ...Object.fromEntries(own.map((value, at) => [`x${at}`, common + 0.3 * value])), y };
  });
}

async function choose({ folder, note }: ProofContext): Promise<Figure[]> {
  const input = {
    data: { rows: draw(500), target: "y", heldOut: 0.2 },
    model: { mlp: { hidden: [] } },
    batch: { size: 50 },
    steps: 120,
    checkpoint: { every: 0 },
  };
  const { ranking, samples, seeds } = await tuneOptimizer(parseRecipe(input), {
    optimizers: {
      ...namedOptimizers(["sgd", "momentum", "adam"]),
      "adamw without decay": { adamw: { weightDecay: 0 } },
    },
    onNote: note,
  });
  const of = (name: string) => ranking.find((one) => one.name === name)!;
  const difference = (a: string, b: string) => meanInterval(of(a).losses.map((loss, at) => loss - of(b).losses[at]!));
  const lead = difference("sgd", "momentum");
  const { name, change, losses } = ranking[0]!;
  const again = train(parseRecipe({ ...input, seed: seeds[0]! }, { set: [change] }), { runDir: `${folder}/again` });
  const { evalLoss } = await again.outcome;
  return [
    ...ranking.map(
      ({ name, rate, loss, behind }, place): Figure => ({
        name: `${place + 1}. ${name} at ${rate}: held-out loss ${loss.mean.toFixed(4)} ± ${loss.half!.toFixed(4)}, above the first by`,
        value: behind?.mean ?? 0,
        bound: "≥ 0, not less than the one before",
        ok: loss.count === 5 && (place === 0 || behind!.mean >= (ranking[place - 1]!.behind?.mean ?? 0)),
      }),
    ),
    holds("momentum is ahead of SGD, beyond the 95 % interval", lead.mean - lead.half! > 0),
    equal("Adam against AdamW without decay, which is Adam", difference("adam", "adamw without decay").mean, 0),
    holds(
      "every rate lies inside of those tried, and is the best of them",
      ranking.every(({ tried, rate, atEdge }) => {
        const least = Math.min(...tried.map(({ loss }) => loss));
        return !atEdge && tried.length >= 5 && tried.find((one) => one.rate === rate)?.loss === least;
      }),
    ),
    equal("samples of every training", samples, 120 * 50),
    within(`${name} by the printed change: held-out loss ÷ that of the ranking`, evalLoss! / losses[0]!, 1, 1e-6),
  ];
}

export const chooseProofs: readonly Proof[] = [
  {
    id: "opt.choose",
    doc: "optimizers are ranked over 5 seeds, each at its own tuned rate: momentum beats SGD where it must, and equals tie",
    run: choose,
  },
];
