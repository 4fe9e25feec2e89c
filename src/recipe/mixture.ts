// The key `data.mix`: several sources, each prepared by itself with one tokenizer, drawn from by weights on the one clock.
import { createHash } from "node:crypto";
import { type Clock, type Course, fail, type Varying, valueAt, valuesOf } from "../base/index.ts";
import {
  type Batch,
  concatenated,
  type Dataset,
  Mixture,
  type SampleOrder,
  tokenizerConfigName,
} from "../data/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";

export interface MixableRows {
  readonly train: Dataset;
  readonly heldOut: Dataset;
  readonly order: SampleOrder;
}

type Reader = (recipe: Recipe, options: PrepareOptions) => Promise<PreparedData>;
type Sources = NonNullable<Recipe["data"]["mix"]>;

/**
 * The sources of a recipe as one. A tokenizer that is trained learns from the first of them. Errors with `data/mix`, `config/invalid`, and
 * those of each source.
 */
export async function prepareMixture(
  recipe: Recipe,
  sources: Sources,
  read: Reader,
  options: PrepareOptions,
): Promise<PreparedData> {
  checkWeights(recipe, sources);
  const prepared: PreparedData[] = [];
  const close = async () => void (await Promise.all(prepared.map((one) => one.close?.())));
  try {
    for (const { path } of sources) {
      const data = { ...recipe.data, path, mix: undefined, onShort: "wrap" as const };
      const [first] = prepared;
      const files = first === undefined ? options.files : new Map([...(options.files ?? []), ...encodersOf(first)]);
      const onNote = options.onNote && ((text: string) => options.onNote!(`${path}: ${text}`));
      prepared.push(
        await read({ ...recipe, data }, { ...options, ...(files && { files }), ...(onNote && { onNote }) }),
      );
    }
    const [first] = prepared as [PreparedData];
    const rows = prepared.map((one) => one.rows ?? refuseMix(first));
    const samplesPerEpoch = prepared.reduce((sum, { source }) => sum + source.samplesPerEpoch, 0);
    const clockAt = (samples: number): Clock => ({
      step: Number.NaN,
      samples,
      tokens: samples * first.task.itemsPerRow,
      epoch: samples / samplesPerEpoch,
    });
    const mixture = new Mixture<Batch>(
      rows.map(({ train, order }, at) => ({
        dataset: train,
        order,
        weightAt: (sample) => valueAt(sources[at]!.weight, clockAt(sample)),
      })),
      recipe.seed,
    );
    const heldOut = concatenated<Batch>(rows.map((one) => one.heldOut));
    tellShares(sources, clockAt, options);
    return {
      ...first,
      ...trainingSource<Batch>(mixture, recipe, { order: "sequential", samplesPerEpoch }),
      heldOut: () => heldOutBatches(heldOut, evaluationRows(recipe)),
      baseline: undefined, // of a mixture that changes there is no one answer
      warnings: prepared.flatMap(({ warnings }) => warnings),
      dataHash: createHash("sha256")
        .update(prepared.map(({ dataHash }) => dataHash).join())
        .digest("hex"),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What the first source was encoded with, for the others. */
const encodersOf = ({ files }: PreparedData) =>
  Object.entries(files).filter(([name]) => name === "tokenizer.json" || name === tokenizerConfigName);

function tellShares(sources: Sources, clockAt: (sample: number) => Clock, { onNote }: PrepareOptions): void {
  const weights = sources.map(({ weight }) => valueAt(weight, clockAt(0)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const shares = sources.map(({ path, weight }, at) => {
    const share = `${((100 * weights[at]!) / total).toFixed(1)} %`;
    return `${path} ${typeof weight === "number" ? share : `${share} at first`}`;
  });
  onNote?.(`mixture: ${shares.join(", ")}`);
}

/** Weights must be a function of the samples seen, and leave something to draw from. */
function checkWeights({ batch }: Recipe, sources: Sources): void {
  const unitOf = (weight: Varying) =>
    typeof weight !== "number" && Object.values(weight as Course).find((one) => one !== undefined)?.unit;
  const counted = sources.findIndex(({ weight }) => unitOf(weight) === "steps");
  if (counted >= 0)
    fail("config/invalid", "the weights of a mixture are a matter of rows, not of steps", {
      where: `data.mix.${counted}.weight`,
      expected: "a course with the unit samples, tokens or epochs",
      got: "unit: steps",
      fix: "give it in samples: steps times the rows of a batch",
    });
  if (!sources.some(({ weight }) => valuesOf(weight).every((value) => value > 0)))
    fail("data/mix", "at some time there may be nothing to draw from", {
      where: "data.mix",
      expected: "a source whose weight is never 0",
      got: sources.map(({ weight }) => valuesOf(weight).join(" to ")).join(", "),
      fix: "raise one of the weights",
    });
  if (batch.size === "all")
    fail("data/mix", "a mixture has no end, and no batch is all of it", {
      where: "batch.size",
      expected: "a number of rows, or a schedule",
      got: "all",
      fix: "set batch.size: 32",
    });
}

function refuseMix({ family }: PreparedData): never {
  return fail("data/mix", "this kind of data cannot be mixed", {
    where: "data.mix",
    expected: "texts or conversations of a language model",
    got: `the data of model.${family}`,
    fix: "put the rows into one file: data.path",
  });
}
