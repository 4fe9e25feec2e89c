// A mixture of experts (Shazeer et al. 2017; Jiang et al. 2024, Mixtral): gated feed-forward parts, of which a router chooses a few for
// each token. Parameters have the names of the published checkpoints.
import { concat, groupRows, iota, softmax, type Tensor, take, takeAlong, where } from "../core/index.ts";
import { activate } from "./activation.ts";
import { areAlike, groupedLinear } from "./grouped-linear.ts";
import type { Init } from "./init.ts";
import { Linear } from "./linear.ts";
import { call, Module } from "./module.ts";

export interface ExpertsConfig {
  readonly count: number;
  /** How many of them a token goes through. */
  readonly chosen: number;
  /** Whether the weights of a token's experts add up to 1, as Mixtral's do; default true. If not, they are shares of a softmax of all. */
  readonly normalized?: boolean | undefined;
  /** What the load-balancing loss is multiplied by. */
  readonly balance: number;
  /** What the router's z-loss is multiplied by. */
  readonly z: number;
}

export interface ExpertsOptions extends Pick<ExpertsConfig, "count" | "chosen" | "normalized"> {
  /** Channels of a token. */
  readonly width: number;
  /** Channels within an expert. */
  readonly hidden: number;
  /** Start of every matrix; default `xavierUniform`. */
  readonly init?: Init;
}

/** How a router chose for N tokens among E experts. */
export interface Routing {
  /** (N, E) */
  readonly logits: Tensor;
  /** (N, E), true for the experts that a token goes through. */
  readonly chosen: Tensor;
}

const layerNames = ["w1", "w2", "w3"] as const;
type LayerName = (typeof layerNames)[number];

/** SwiGLU (Shazeer 2020). */
class Expert extends Module {
  readonly w1: Linear;
  readonly w2: Linear;
  readonly w3: Linear;

  constructor({ width, hidden, init = "xavierUniform" }: ExpertsOptions) {
    super();
    this.w1 = new Linear(width, hidden, { bias: false, init });
    this.w2 = new Linear(hidden, width, { bias: false, init });
    this.w3 = new Linear(width, hidden, { bias: false, init });
  }

  forward(x: Tensor): Tensor {
    return call(this.w2, activate("silu", call(this.w1, x)).mul(call(this.w3, x)));
  }
}

/**
 * Each token is the sum of its `chosen` best experts, weighted by the softmax of their logits alone: (…, width) → (…, width), and how it was
 * chosen. No expert is ever full, so no token is dropped.
 *
 * Tokens are sorted by expert, `chosen` places for each, and every expert multiplies its own (Gale et al. 2023, MegaBlocks): shapes do not
 * depend on data, where the experts' tokens begin does. Weights in few bits and adapters change nothing of it. Only where experts differ in
 * kind, some of them alone with an adapter or in few bits, every expert sees every token, and most weights are 0.
 */
export class Experts extends Module {
  readonly gate: Linear;
  readonly experts: readonly Expert[];
  readonly chosen: number;
  readonly normalized: boolean;

  constructor(options: ExpertsOptions) {
    super();
    const { count, chosen, width, init = "xavierUniform", normalized = true } = options;
    this.gate = new Linear(width, count, { bias: false, init });
    this.experts = Array.from({ length: count }, () => new Expert(options));
    this.chosen = chosen;
    this.normalized = normalized;
  }

  forward(x: Tensor): { readonly mixed: Tensor; readonly routing: Routing } {
    const tokens = x.reshape(-1, x.shape.at(-1)!);
    const logits = call(this.gate, tokens); // (N, E)
    const { ids, chosen } = largest(logits, this.chosen);
    const canSort = layerNames.every((name) => areAlike(this.layers(name)));
    const mixed = canSort ? this.sorted(tokens, logits, ids, x.shape[0]!) : this.dense(x, logits, chosen);
    return { mixed: mixed.reshape(...x.shape), routing: { logits, chosen } };
  }

  private layers(name: LayerName): readonly Linear[] {
    return this.experts.map((expert) => expert[name]);
  }

  private sorted(tokens: Tensor, logits: Tensor, ids: readonly Tensor[], batch: number): Tensor {
    const columns = (of: (id: Tensor) => Tensor) =>
      concat(
        ids.map((id) => of(id).reshape(-1, 1)),
        1,
      );
    const shares = this.normalized ? logits : softmax(logits);
    const picked = columns((id) => takeAlong(shares, id));
    const weights = this.normalized ? softmax(picked) : picked; // (N, k)
    const experts = columns((id) => id);
    const { rows, places, offsets } = groupRows(experts, this.experts.length);
    const { rows: from } = groupRows(experts.reshape(-1, 1), this.experts.length);
    const groups = { offsets, ids: take(experts.reshape(-1), from), from, batch };
    const multiply = (x: Tensor, name: LayerName) => groupedLinear(x, groups, this.layers(name));
    const sent = take(tokens, rows); // (N k, width)
    const made = multiply(activate("silu", multiply(sent, "w1")).mul(multiply(sent, "w3")), "w2");
    return take(made, places) // (N, k, width)
      .mul(weights.reshape(...weights.shape, 1))
      .sum({ axis: 1 });
  }

  private dense(x: Tensor, logits: Tensor, chosen: Tensor): Tensor {
    const weights = this.normalized ? softmax(where(chosen, logits, masked)) : where(chosen, softmax(logits), 0); // (N, E)
    const parts = this.experts.map((expert, at) =>
      call(expert, x).mul(weights.slice(1, at, at + 1).reshape(...x.shape.slice(0, -1), 1)),
    );
    return parts.reduce((sum, part) => sum.add(part));
  }
}

const masked = -1e9;

/** The `count` largest of each row, of equals the first: ids i32 (N), best first, and true for them (N, E). One maximum after the other: experts are few. */
function largest(logits: Tensor, count: number): { readonly ids: readonly Tensor[]; readonly chosen: Tensor } {
  const places = iota([1, logits.shape[1]!], 1);
  const isAt = (id: Tensor) => places.equal(id.reshape(-1, 1));
  const ids = [logits.argMax(-1)];
  let chosen = isAt(ids[0]!);
  for (let more = 1; more < count; more++) {
    const id = where(chosen, masked, logits).argMax(-1);
    ids.push(id);
    chosen = chosen.or(isAt(id));
  }
  return { ids, chosen };
}

/**
 * What routers add to the training loss: `balance` · E · Σ fᵢ Pᵢ (Fedus et al. 2022, Switch; as Mixtral has it) and `z` · mean (log Σ eˡ)²
 * (Zoph et al. 2022, ST-MoE), over the tokens of all layers together. fᵢ is the share of tokens that go through expert i, Pᵢ the mean of
 * its softmax among all; with even loads E · Σ fᵢ Pᵢ is `chosen`.
 */
export function routerLoss(routings: readonly Routing[], { count, balance, z }: ExpertsConfig): Tensor {
  const logits = concat(routings.map((routing) => routing.logits)); // (L N, E)
  const shares = concat(routings.map(({ chosen }) => chosen.cast(logits.dtype))).mean({ axis: 0 });
  const chances = softmax(logits).mean({ axis: 0 });
  const top = logits.max({ axis: 1, keepDim: true });
  const logSums = logits.sub(top).exp().sum({ axis: 1, keepDim: true }).log().add(top);
  return shares
    .mul(chances)
    .sum()
    .mul(balance * count)
    .add(logSums.square().mean().mul(z));
}
