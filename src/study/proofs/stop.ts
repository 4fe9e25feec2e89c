// What ends gradient descent: all of its steps, a small gradient, evaluations that no longer improve, or the clock; each says so.
import { train } from "../../api/index.ts";
import { RandomStream } from "../../base/index.ts";
import type { RecipeInput } from "../../recipe/index.ts";
import type { RunEvent, StepEvent } from "../../track/index.ts";
import { atLeast, atMost, equal, type Figure, holds, type Proof, type ProofContext } from "../proof.ts";

/** Rows of a line with noise: least squares, whose gradient falls to 0 while the held-out loss stays above. */
const rows = (() => {
  const stream = new RandomStream(5, "gd.stop");
  return Array.from({ length: 60 }, (_, row) => {
    const x = stream.normal(0, row);
    return { x, y: 2 * x + 0.5 * stream.normal(1, row) };
  });
})();

async function stops({ folder, signal }: ProofContext): Promise<Figure[]> {
  const run = async (name: string, changes: Partial<RecipeInput>) => {
    const steps: StepEvent[] = [];
    const heldOut: number[] = [];
    const recipe: RecipeInput = {
      data: { rows, target: "y", heldOut: 0.5 },
      model: { mlp: { hidden: [] } },
      optimizer: { sgd: { lr: 0.1 } },
      batch: "all",
      steps: 100_000,
      eval: { every: 0 },
      checkpoint: { every: 0 },
      engine: { name: "reference" },
      ...changes,
    };
    const onEvent = (event: RunEvent) => {
      if (event.type === "step") steps.push(event);
      if (event.type === "eval") heldOut.push(event.loss);
    };
    const options = { runDir: `${folder}/${name}`, onEvent, ...(signal === undefined ? {} : { signal }) };
    const began = performance.now();
    const outcome = await train(recipe, options).outcome;
    return { ...outcome, steps, heldOut, seconds: (performance.now() - began) / 1000 };
  };
  const bySteps = await run("steps", { steps: 7 });
  const byTolerance = await run("tolerance", { stop: { tolerance: 1e-3 } });
  const [last, before] = [byTolerance.steps.at(-1)!, byTolerance.steps.at(-2)!];
  const byPatience = await run("patience", { eval: { every: 5, patience: 3 }, optimizer: { sgd: { lr: 0.2 } } });
  const byTime = await run("time", { stop: { minutes: 0.5 / 60 } });
  const first = await run("first", { steps: 7, stop: { tolerance: 1e-3, minutes: 60 } });
  return [
    equal("steps: 7 of 7 made, and said", `${bySteps.step} ${bySteps.reason}`, "7 steps"),
    equal("tolerance: said", String(byTolerance.reason), "tolerance"),
    atMost("norm of its last gradient", last.gradNorm, 1e-3),
    holds("the one before was larger", before.gradNorm > 1e-3),
    equal("patience: said", String(byPatience.reason), "patience"),
    atMost("steps that it made, of 100,000", byPatience.steps.length, 2000),
    equal("held-out loss that it ends with: the least of all", byPatience.evalLoss!, Math.min(...byPatience.heldOut)),
    equal("time: said", String(byTime.reason), "time"),
    atLeast("seconds that it took, of half a second given", byTime.seconds, 0.5),
    holds("it made some steps, and not all", byTime.step > 0 && byTime.step < 100_000),
    equal("with several rules, the one that held first", `${first.step} ${first.reason}`, "7 steps"),
  ];
}

export const stopProofs: readonly Proof[] = [
  {
    id: "gd.stop",
    doc: "gradient descent ends by its steps, a small gradient, patience or the clock, and says by which",
    run: stops,
  },
];
