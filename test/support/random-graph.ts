// Random small graphs: every kind of view and chain, variables given new values, outputs of every sort. Each depends on its
// seed alone. What a graph means is not known here: engines are compared on it.
import { fromNumbers, type HostArray, RandomStream, sizeOf } from "../../src/base/index.ts";
import * as f from "../../src/core/index.ts";
import {
  assign,
  constant,
  type Graph,
  layerNorm,
  markOutput,
  type Operand,
  ones,
  softmax,
  Tensor,
  take,
  trace,
  variable,
  where,
  zeros,
} from "../../src/core/index.ts";

export interface RandomProgram {
  readonly graph: Graph;
  readonly feeds: Record<string, HostArray>;
  readonly variables: Record<string, HostArray>;
}

/** Draws in order from one seed. */
class Dice {
  /** Whether functions with jumps are drawn. */
  readonly jumps: boolean;
  private readonly stream: RandomStream;
  private position = 0;

  constructor(seed: number, jumps: boolean) {
    this.jumps = jumps;
    this.stream = new RandomStream(seed, "random graph");
  }
  below(bound: number): number {
    return this.stream.below(bound, this.position++);
  }
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
  chance(p: number): boolean {
    return this.below(1000) < p * 1000;
  }
  numbers(length: number): number[] {
    // halves and small integers make ties, zeros and equal subexpressions likely
    return Array.from({ length }, () => (this.chance(0.5) ? this.below(9) / 2 - 2 : (this.below(4001) - 2000) / 1000));
  }
}

/** Unary functions that stay finite on what graphs here hold. */
const continuous: readonly ((x: Tensor) => Tensor)[] = [
  (x) => x.neg(),
  (x) => x.abs(),
  (x) => x.tanh(),
  (x) => x.sigmoid(),
  (x) => x.sin(),
  (x) => x.relu(),
  (x) => x.square().tanh(),
  (x) => f.gelu(x),
  (x) => x.neg().neg(),
  (x) => x.mul(1),
  (x) => x.add(0),
  (x) => f.stopGradient(x),
];
/** Functions with jumps, at which the last bit of an input decides. */
const jumping: readonly ((x: Tensor) => Tensor)[] = [
  (x) => x.sign(),
  (x) => x.floor(),
  (x) => x.cast("i32").cast("f32"),
  (x) => x.cast("bool").cast("f32"),
  (x) => x.cast("i32").mul(3).add(1).cast("f32"),
  (x) => where(x.greater(0.25), x, -1),
  (x) => where(x.lessEqual(0), zeros(x.shape), x),
];

const binary: readonly ((a: Operand, b: Operand) => Tensor)[] = [
  (a, b) => f.add(a, b),
  (a, b) => f.sub(a, b),
  (a, b) => f.mul(a, b).tanh(),
  (a, b) => f.maximum(a, b),
  (a, b) => f.minimum(a, b),
  (a, b) => f.div(a, f.add(f.abs(b instanceof Tensor ? b : constant(b)), 1)),
];

/** A view or a computation of one tensor, by the roll of the dice. */
function change(dice: Dice, x: Tensor): Tensor {
  const rank = x.rank;
  const axis = rank > 0 ? dice.below(rank) : 0;
  const dim = x.shape[axis] ?? 1;
  switch (dice.below(rank === 0 ? 3 : 13)) {
    case 0:
      return dice.pick(dice.jumps ? [...continuous, ...jumping] : continuous)(x);
    case 1:
      return dice.pick(binary)(x, dice.pick([0, 1, 2, -1.5]));
    case 2:
      return x.reshape(...dice.pick([[...x.shape, 1], [1, ...x.shape], [sizeOf(x.shape)]]));
    case 3:
      return x.permute(...x.shape.map((_, at) => (at + 1) % rank));
    case 4:
      return x.permute(...x.shape.map((_, at) => rank - 1 - at));
    case 5: {
      const start = dice.below(dim + 1);
      return x.slice(axis, start, start + dice.below(dim - start + 1));
    }
    case 6:
      return dim % 2 === 0 && dim > 0
        ? f.concat([...x.split(2, axis)].reverse(), axis)
        : x.sum({ axis, keepDim: true });
    case 7:
      return f.pad(x, axis, dice.below(3), dice.below(2), dice.pick([0, -1.5]));
    case 8:
      return x.sum({ axis, keepDim: dice.chance(0.5) }).mul(0.25);
    case 9:
      return dim > 0 ? x.max({ axis, keepDim: true }) : x;
    case 10:
      return sizeOf(x.shape) < 40 ? x.broadcastTo([2, ...x.shape]) : x;
    case 11:
      return dim > 0 && x.shape.at(-1)! > 0 ? softmax(x) : x;
    default:
      return x.cumulativeSum(axis).mul(0.5);
  }
}

/** Two tensors of the pool combined, whatever their shapes. */
function combine(dice: Dice, a: Tensor, b: Tensor): Tensor {
  const fits = (): Tensor => {
    try {
      return dice.pick(binary)(a, b);
    } catch {
      const [x, y] = [a.reshape(sizeOf(a.shape)), b.reshape(sizeOf(b.shape))];
      return dice.chance(0.5) ? f.concat([x, y, x]) : dice.pick(binary)(x.sum(), y);
    }
  };
  switch (dice.below(5)) {
    case 4:
      return a.rank > 0 && a.shape[0]! > 0 ? loop(dice, a, b) : fits();
    case 0: {
      const flat = b.reshape(sizeOf(b.shape));
      // a large eps: rows that are all but constant would be rounding errors blown up
      return flat.shape[0] === a.shape.at(-1) && a.rank >= 1 && flat.shape[0]! > 0
        ? layerNorm(a, flat, flat, 0.5)
        : fits();
    }
    case 1:
      return a.rank >= 2 && a.rank === b.rank && a.shape.at(-1) === b.shape.at(-1) && a.rank === 2
        ? f.matmulOf(a, b, false, true).mul(0.25)
        : fits();
    case 2: {
      const flat = a.reshape(sizeOf(a.shape));
      if (!dice.jumps || flat.shape[0] === 0 || sizeOf(b.shape) === 0) return fits();
      const index = b
        .reshape(sizeOf(b.shape))
        .abs()
        .floor()
        .cast("i32")
        .minimum(flat.shape[0]! - 1);
      return take(flat, index);
    }
    default:
      return fits();
  }
}

/** A loop over the first axis of `a` that also reads `b`: what it carries changes by the dice, and is given out before, after, or changed. */
function loop(dice: Dice, a: Tensor, b: Tensor): Tensor {
  const first = a.slice(0, 0, 1).reshape(...a.shape.slice(1));
  const { carry, outputs } = f.scan(
    ([s, t], [x]) => {
      const next = dice
        .pick(binary)(dice.pick(binary)(dice.pick([s!, t!]), x!), b.sum())
        .tanh();
      const kept = change(dice, dice.pick([s!, next]));
      const pair = dice.pick([
        [t!, next],
        [next, s!],
        [next, next.sub(t!)],
        [s!, next],
      ]);
      return { carry: pair, outputs: [kept, dice.pick([s!, next, x!])] };
    },
    { carry: [first, first.mul(0.5)], sequences: [a], reverse: dice.chance(0.5) },
  );
  const [kept, own] = outputs as [Tensor, Tensor];
  return dice.pick([own, own.add(carry[0]!), kept, kept.sum().add(own), carry[1]!]);
}

/** A program of about `size` operations with feeds, variables and outputs; without `jumps` all of them are continuous. */
export function randomProgram(seed: number, { size = 20, jumps = true } = {}): RandomProgram {
  const dice = new Dice(seed, jumps);
  const shapes = [[], [1], [4], [2, 3], [3, 4], [2, 2, 3], [3, 3], [3, 3], [4, 1], [0, 3], [6]];
  const array = (shape: readonly number[]) => fromNumbers("f32", shape, dice.numbers(sizeOf(shape)));
  const feeds = Object.fromEntries([0, 1, 2].map((at) => [`x${at}`, array(dice.pick(shapes))]));
  const ownShapes = [dice.pick(shapes), dice.pick(shapes)];
  const kept = Array.from({ length: 1 + dice.below(3) }, (_, at) => [`v${at}`, array(dice.pick(ownShapes))] as const);
  const graph = trace(feeds, (inputs) => {
    const pool: Tensor[] = Object.values(inputs);
    const old = kept.map(([name, { shape }]) => variable(name, "f32", shape));
    pool.push(...old, constant(array([3])), constant(2.5), ones([2, 3]), zeros([4]));
    for (let i = 0; i < size; i++) {
      // mostly what was made last, and what was made of it: chains, and values that die young
      const recent = () => dice.pick(dice.chance(0.75) ? pool.slice(-5) : pool);
      const x = recent();
      if (dice.chance(0.55)) pool.push(change(dice, x));
      else pool.push(combine(dice, x, dice.chance(0.4) ? change(dice, x) : recent()));
    }
    for (const [at, [name, { shape }]] of kept.entries()) {
      if (dice.chance(0.2)) continue;
      // a computed value of the right shape, the old value of another variable, or a fill
      const candidates = pool.filter((x) => x.shape.join() === shape.join() && x.dtype === "f32");
      const swapped = old[(at + 1) % old.length]!;
      if (dice.chance(0.3) && swapped.shape.join() === shape.join()) assign(name, swapped);
      else if (candidates.length > 0 && dice.chance(0.7)) assign(name, dice.pick(candidates));
      else assign(name, dice.chance(0.5) ? zeros(shape) : old[at]!.mul(0.5).add(f.sum(dice.pick(pool))));
    }
    for (let i = 0; i < 4; i++) markOutput(`y${i}`, dice.pick(pool));
    markOutput("last", pool.at(-1)!);
    const guard = dice.below(3);
    if (guard > 0) {
      const { graph } = pool[0]!;
      graph.guard = f.sum(dice.pick(pool)).isFinite().id;
      if (guard === 2) graph.guard = f.sum(dice.pick(pool)).less(-1e9).id;
    }
    return undefined;
  });
  return { graph, feeds, variables: Object.fromEntries(kept) };
}
