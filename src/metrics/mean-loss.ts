// The mean of losses that a model has computed already, weighed by samples. Knows no loss.
import { failEmpty, failNotFinite, Sum } from "./metric.ts";

/**
 * Mean of losses computed elsewhere: `update(loss, count)` takes the mean loss of `count` samples, so that the last,
 * shorter batch of an epoch weighs what it should.
 */
export class MeanLoss {
  /** Samples so far. */
  count = 0;
  private readonly sum = new Sum();

  /** Errors with `metric/not-finite`. A batch of no samples weighs nothing, whatever its loss. */
  update(loss: number, count: number): void {
    if (count === 0) return;
    if (!Number.isFinite(loss * count)) failNotFinite("mean loss", "loss", loss, this.count);
    this.sum.add(loss * count);
    this.count += count;
  }

  /** Mean per sample; its exp is the perplexity when losses are in nats. Errors with `metric/empty`. */
  value(): number {
    return this.count === 0 ? failEmpty("mean loss") : this.sum.total() / this.count;
  }
}
