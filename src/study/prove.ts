// Runs proofs: a scratch folder for each, its time, and PASS or FAIL. The proofs themselves are in proofs/.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { AthanorError, didYouMean, fail } from "../base/index.ts";
import type { Figure, Proof } from "./proof.ts";
import { batchProofs } from "./proofs/batches.ts";
import { bertProofs } from "./proofs/bert.ts";
import { chooseProofs } from "./proofs/choose.ts";
import { evaluationProofs } from "./proofs/evaluation.ts";
import { finetuneProofs } from "./proofs/finetune.ts";
import { gradientDescentProofs } from "./proofs/gd.ts";
import { gptProofs } from "./proofs/gpt.ts";
import { gpt3Proofs } from "./proofs/gpt3.ts";
import { importanceProofs } from "./proofs/importance.ts";
import { initProofs } from "./proofs/init.ts";
import { llamaProofs } from "./proofs/llama.ts";
import { lossProofs } from "./proofs/loss.ts";
import { numpyProofs } from "./proofs/numpy.ts";
import { optimizerProofs } from "./proofs/optimizer.ts";
import { parallelProofs } from "./proofs/parallel.ts";
import { pipelineProofs } from "./proofs/pipeline.ts";
import { pretrainingProofs } from "./proofs/pretraining.ts";
import { questionProofs } from "./proofs/questions.ts";
import { rateProofs } from "./proofs/rates.ts";
import { regularizationProofs } from "./proofs/regularization.ts";
import { repeatProofs } from "./proofs/repeat.ts";
import { safetyProofs } from "./proofs/safety.ts";
import { seq2seqProofs } from "./proofs/seq2seq.ts";
import { stopProofs } from "./proofs/stop.ts";
import { summarizeProofs } from "./proofs/summarize.ts";
import { systemProofs } from "./proofs/systems.ts";
import { textClassProofs } from "./proofs/text-classes.ts";
import { tokenizeProofs } from "./proofs/tokenize.ts";
import { torchProofs } from "./proofs/torch.ts";
import { transformerProofs } from "./proofs/transformer.ts";
import { transformersProofs } from "./proofs/transformers.ts";
import { translateProofs } from "./proofs/translate.ts";
import { tuneProofs } from "./proofs/tune.ts";

/** Every proof, in the order of `athanor prove --all`. */
export const proofs: readonly Proof[] = [
  ...gradientDescentProofs,
  ...stopProofs,
  ...lossProofs,
  ...initProofs,
  ...optimizerProofs,
  ...chooseProofs,
  ...rateProofs,
  ...batchProofs,
  ...tuneProofs,
  ...regularizationProofs,
  ...evaluationProofs,
  ...importanceProofs,
  ...parallelProofs,
  ...repeatProofs,
  ...gptProofs,
  ...gpt3Proofs,
  ...llamaProofs,
  ...transformerProofs,
  ...finetuneProofs,
  ...seq2seqProofs,
  ...tokenizeProofs,
  ...bertProofs,
  ...textClassProofs,
  ...pretrainingProofs,
  ...questionProofs,
  ...translateProofs,
  ...summarizeProofs,
  ...pipelineProofs,
  ...numpyProofs,
  ...torchProofs,
  ...systemProofs,
  ...transformersProofs,
  ...safetyProofs,
];

export interface ProofResult {
  readonly id: string;
  readonly doc: string;
  readonly ok: boolean;
  readonly seconds: number;
  readonly figures: readonly Figure[];
  /** Why it could not come to its figures. */
  readonly error?: string;
}

export interface ProveOptions {
  /** Real data instead of the generated: a path. */
  readonly data?: string;
  readonly signal?: AbortSignal;
  readonly onNote?: (text: string) => void;
}

/** The proofs of these ids. Errors with `cli/proof`, also when `data` is given to one that cannot use it. */
export function selectProofs(ids: readonly string[], options: Pick<ProveOptions, "data"> = {}): Proof[] {
  const known = proofs.map(({ id }) => id);
  return ids.map((id) => {
    const found = proofs.find((proof) => proof.id === id);
    if (found === undefined) {
      const near = didYouMean(id, known);
      return fail("cli/proof", `there is no proof ${id}`, {
        expected: known.join(", "),
        got: id,
        fix: near === undefined ? "npx athanor prove --list" : `did you mean ${near}?`,
      });
    }
    if (options.data !== undefined && found.data === undefined) {
      fail("cli/proof", `${id} takes no data`, {
        where: "--data",
        expected: `one of ${proofs.flatMap((proof) => (proof.data ? [proof.id] : [])).join(", ")}`,
        got: "its figures are those of the problem it makes itself",
        fix: "leave --data out",
      });
    }
    return found;
  });
}

/** Runs one proof in a folder of its own. A proof that throws has failed; nothing is thrown. */
export async function runProof(proof: Proof, options: ProveOptions = {}): Promise<ProofResult> {
  const { data, signal, onNote = () => undefined } = options;
  const folder = await mkdtemp(join(tmpdir(), "athanor-prove-"));
  const started = performance.now();
  const { id, doc } = proof;
  const seconds = () => (performance.now() - started) / 1000;
  try {
    const figures = await proof.run({
      folder,
      note: onNote,
      ...(data === undefined ? {} : { data: resolve(data) }),
      ...(signal === undefined ? {} : { signal }),
    });
    return { id, doc, ok: figures.length > 0 && figures.every(({ ok }) => ok), seconds: seconds(), figures };
  } catch (error) {
    const message =
      error instanceof AthanorError ? error.message : String(error instanceof Error ? error.stack : error);
    return { id, doc, ok: false, seconds: seconds(), figures: [], error: message };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
