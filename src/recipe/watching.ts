// What a recipe says of how its run is watched, as the Trainer takes it.
import { type TrainerOptions, Watch } from "../train/index.ts";
import type { PreparedData } from "./prepare.ts";
import type { Recipe } from "./schema.ts";

export type Watching = Pick<
  TrainerOptions,
  "onNonFinite" | "onSpike" | "stopOnWarning" | "rateFactor" | "maxRollbacks" | "watch"
>;

export function watchingOf(
  { steps, onNonFinite, watch }: Recipe,
  { baseline, isSameLoss }: Pick<PreparedData, "baseline" | "isSameLoss">,
): Watching {
  return {
    onNonFinite,
    onSpike: watch.onSpike,
    stopOnWarning: watch.onWarning === "stop",
    rateFactor: watch.rateFactor,
    maxRollbacks: watch.rollbacks,
    watch: new Watch({ steps, every: watch.every, baseline, isSameLoss }),
  };
}
