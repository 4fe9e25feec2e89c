// A small GPT with dropout, trained at every rung of its ladder: what is computed again must be what it was.
import { type HostArray, RandomStream } from "../../src/base/index.ts";
import { compile, type Recompute, RecomputeLadder } from "../../src/compiler/index.ts";
import type { Engine } from "../../src/engine/index.ts";
import { Gpt } from "../../src/models/index.ts";
import { adamw } from "../../src/optim/index.ts";
import { languageModelTask, type StepDescription, StepGraphs, StepPrograms } from "../../src/train/index.ts";

const [rows, context, vocab] = [4, 16, 40];

export function description(rest: Partial<StepDescription> = {}): StepDescription {
  return {
    model: new Gpt({
      vocab,
      context,
      width: 24,
      layers: 3,
      heads: 2,
      dropout: 0.2,
      bias: true,
      normBias: true,
      activation: "geluTanh",
      tiedHead: true,
      eps: 1e-5,
    }),
    task: languageModelTask(context),
    optimizer: adamw({ lr: 3e-3, clip: 1 }),
    batchSize: rows,
    lanes: 2,
    evalBatchSize: 1,
    dtype: "f32",
    seed: 1,
    ...rest,
  };
}

/** The ladder of the program that a step's last lane runs. */
export function ladderOf(engine: Engine, rest: Partial<StepDescription> = {}): RecomputeLadder {
  const graphs = new StepGraphs(description(rest));
  return new RecomputeLadder(
    graphs.accumulate(graphs.sums.at(-1)!),
    engine.target,
    graphs.compileOptions("accumulate"),
  );
}

/** Every parameter and slot after some steps in which this is computed again; left out, what the description asks for. */
export async function trained(
  engine: Engine,
  rest: Partial<StepDescription>,
  choice?: Recompute,
): Promise<HostArray[]> {
  const graphs = new StepGraphs(description(rest));
  const asked = graphs.compile(engine);
  const accumulate = asked.accumulate.map((plan, at) =>
    choice
      ? compile(graphs.accumulate(graphs.sums[at]!), engine.target, graphs.compileOptions("accumulate", choice))
      : plan,
  );
  const programs = new StepPrograms(graphs.description, engine, { graphs, plans: { ...asked, accumulate } });
  programs.initialize();
  const random = new RandomStream(3, "tokens");
  const tokens = (from: number): HostArray => ({
    dtype: "i32",
    shape: [rows, context],
    data: Int32Array.from({ length: rows * context }, (_, at) => random.below(vocab, from + at)),
  });
  const sampleIds = Int32Array.from({ length: rows }, (_, row) => row);
  for (let step = 0; step < 3; step++) {
    const batch = { tokens: tokens(2000 * step), targets: tokens(2000 * step + 1) };
    await programs.step({ step, learningRate: 3e-3, batch, sampleIds });
  }
  return programs.stateNames().map((name) => programs.store.read(name));
}
