// Pairs of texts that belong together, as an encoder reads them: what is asked, and what should be found by it.
import type { HostArray } from "../base/index.ts";
import type { Dataset } from "./batch.ts";
import { frameTokens, type SpecialIds } from "./special-tokens.ts";
import type { TextPairDataset } from "./text-pairs.ts";

/** `queries` and `keys` i32 [B, T], −1 behind a text's end; `targets` i32 [B] are 0, and −1 for a row that fills up a batch. */
export type RelatedTextBatch = { queries: HostArray; keys: HostArray; targets: HostArray };

/** Pairs between `[CLS]` and `[SEP]`, each text in a row of `width` tokens. */
export function relatedTexts(pairs: TextPairDataset, special: SpecialIds, width: number): Dataset<RelatedTextBatch> {
  return {
    unit: pairs.unit,
    length: pairs.length,
    fingerprint: `${pairs.fingerprint}/${width}/related`,
    collate: (positions) => {
      const side = (at: 0 | 1): HostArray => {
        const data = new Int32Array(positions.length * width).fill(-1);
        positions.forEach((position, row) => {
          data.set(frameTokens(pairs.pairs[position]![at], special, width), row * width);
        });
        return { dtype: "i32", shape: [positions.length, width], data };
      };
      const targets = { dtype: "i32", shape: [positions.length], data: new Int32Array(positions.length) } as const;
      return { queries: side(0), keys: side(1), targets };
    },
  };
}
