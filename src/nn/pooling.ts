// One vector of a sequence's: its tokens' mean, its first or its last. Padding stands behind the tokens and counts for nothing.
// B batch, T time, C channels.
import { iota, type Tensor, take } from "../core/index.ts";

export const poolings = ["mean", "cls", "last"] as const;
/** How tokens become one vector: their mean, the first (where `[CLS]` stands), the last that is no padding. */
export type Pooling = (typeof poolings)[number];

/** (B, T, C) and `mask` bool (B, T), false where there is padding → (B, C). A row that is all padding has the mean 0. */
export function poolTokens(x: Tensor, mask: Tensor, pooling: Pooling): Tensor {
  const [batch, time, width] = x.shape as [number, number, number];
  if (pooling === "cls") return x.slice(1, 0, 1).reshape(batch, width);
  const present = mask.cast(x.dtype);
  if (pooling === "mean") {
    const sum = x.mul(present.reshape(batch, time, 1)).sum({ axis: 1 });
    return sum.div(present.sum({ axis: 1, keepDim: true }).maximum(1));
  }
  const last = mask.cast("i32").sum({ axis: 1 }).sub(1).maximum(0); // (B)
  return take(x.reshape(batch * time, width), iota([batch], 0).mul(time).add(last));
}
