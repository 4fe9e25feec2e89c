// Threads: any number of them gives the same bytes, and two are faster than one.
import { loadavg } from "node:os";
import { train } from "../../api/index.ts";
import { MarkovSource } from "../markov.ts";
import { atLeast, equal, type Figure, type Proof, type ProofContext, shown } from "../proof.ts";
import { StepBench, stepShapes } from "../step-bench.ts";

/** Hash of the final state of a small GPT with dropout, trained by this many threads. */
async function hashWith(threads: number, { folder, signal }: ProofContext): Promise<string> {
  const source = new MarkovSource({ alphabet: "abcdefghijklmnop", seed: 3, sharpness: 1 });
  const training = train(
    {
      data: { rows: [source.text(20_000, 2)] },
      model: { gpt: { layers: 2, heads: 4, width: 64, context: 48, dropout: 0.1 } },
      optimizer: { adamw: { lr: 1e-3, clip: 1 } },
      batch: { size: 12, lanes: 3 },
      steps: 30,
      seed: 4,
      engine: { name: "native", threads },
      eval: { every: 30 },
      checkpoint: { every: 0 },
    },
    { runDir: `${folder}/threads-${threads}`, ...(signal === undefined ? {} : { signal }) },
  );
  return (await training.outcome).hash;
}

const rounds = 7;

/** Best step times of one and of two threads, taking turns. */
async function bestTimes(note: ProofContext["note"]): Promise<readonly [one: number, two: number]> {
  const benches = [1, 2].map((threads) => new StepBench(stepShapes.c1, { threads }));
  const best = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (const bench of benches) await bench.step();
  for (let round = 0; round < rounds; round++) {
    for (const [at, bench] of benches.entries()) best[at] = Math.min(best[at]!, await bench.step());
    note(`round ${round + 1} of ${rounds}: best ${best[0]!.toFixed(0)} ms alone, ${best[1]!.toFixed(0)} ms by two`);
  }
  return [best[0]!, best[1]!];
}

async function threads(context: ProofContext): Promise<Figure[]> {
  const load = loadavg()[0]!;
  const one = await hashWith(1, context);
  const [two, four] = [await hashWith(2, context), await hashWith(4, context)];
  const [alone, both] = await bestTimes(context.note);
  return [
    shown("final state with 1 thread", one),
    equal("with 2 threads", two, one),
    equal("with 4 threads", four, one),
    // Two threads cannot be faster where others hold the processors.
    shown("load of the machine before (1 or more spoils the last figure: repeat it when it is quiet)", load),
    shown("best step of c1 with 1 thread, ms", alone),
    shown("with 2 threads, ms", both),
    atLeast("times faster with 2 threads", alone / both, 1.7),
  ];
}

export const parallelProofs: readonly Proof[] = [
  {
    id: "par.threads",
    doc: "1, 2 and 4 threads give the same bytes, and 2 are at least 1.7 times faster",
    run: threads,
  },
];
