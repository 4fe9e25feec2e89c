// A run twice, and a run again from its record: the same bytes.
import { writeFile } from "node:fs/promises";
import { reproduceRun, train } from "../../api/index.ts";
import { MarkovSource } from "../markov.ts";
import { equal, type Figure, type Proof, type ProofContext, shown } from "../proof.ts";

async function twice({ folder, data, signal }: ProofContext): Promise<Figure[]> {
  const path = data ?? `${folder}/text.txt`;
  if (data === undefined) {
    const source = new MarkovSource({ alphabet: "abcdefghijkl", seed: 5, sharpness: 1 });
    await writeFile(path, source.text(20_000, 6));
  }
  const options = signal === undefined ? {} : { signal };
  const run = async (seed: number, name: string) => {
    const training = train(
      {
        data: { path },
        model: { gpt: { layers: 2, heads: 2, width: 32, context: 32, dropout: 0.1 } },
        optimizer: { adamw: { lr: 2e-3, clip: 1 } },
        batch: { size: 8, lanes: 2 },
        steps: 40,
        seed,
        eval: { every: 20 },
        checkpoint: { every: 20 },
      },
      { runDir: `${folder}/${name}`, ...options },
    );
    return await training.outcome;
  };
  const first = await run(1, "first");
  const second = await run(1, "second");
  const other = await run(2, "other");
  const { outcome } = await reproduceRun(first.folder, { runDir: `${folder}/again`, ...options });
  return [
    shown("final state", first.hash),
    equal("of a second run", second.hash, first.hash),
    equal("of the run made again from its record", outcome.hash, first.hash),
    { name: "of another seed", value: other.hash, bound: "another", ok: other.hash !== first.hash },
  ];
}

export const repeatProofs: readonly Proof[] = [
  {
    id: "repeat",
    doc: "two runs of one recipe, and a run made again from its record, end in the same bytes",
    data: "text: a file, folder or glob",
    run: twice,
  },
];
