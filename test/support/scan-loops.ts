// Recurrences of several kinds, as a scan or written out, with all their gradients: what every engine is held to.
import { fromNumbers, type HostArray, RandomStream, sizeOf } from "../../src/base/index.ts";
import {
  concat,
  constant,
  type Graph,
  gradients,
  type ScanOptions,
  type scan,
  type Tensor,
  type Turn,
  tanh,
  trace,
  where,
  zeros,
} from "../../src/core/index.ts";

const draw = (name: string, shape: readonly number[], dtype: "f32" | "f64" = "f64"): HostArray => {
  const random = new RandomStream(3, name);
  return fromNumbers(
    dtype,
    shape,
    Array.from({ length: sizeOf(shape) }, (_, at) => 2 * random.uniform(at) - 1),
  );
};

/** The loop written out. */
export function unrolled(
  turn: (carry: Tensor[], inputs: Tensor[]) => Turn,
  { carry, sequences = [], turns = sequences[0]!.shape[0]!, reverse = false }: ScanOptions,
): Required<Turn> {
  let state = [...carry];
  const all: Tensor[][] = Array.from({ length: turns }, () => []);
  for (let step = 0; step < turns; step++) {
    const at = reverse ? turns - 1 - step : step;
    const made = turn(
      state,
      sequences.map((x) => x.slice(0, at, at + 1).reshape(...x.shape.slice(1))),
    );
    state = [...made.carry];
    all[at] = (made.outputs ?? []).map((x) => x.reshape(1, ...x.shape));
  }
  return {
    carry: state,
    outputs: all[0]!.map((_, at) =>
      concat(
        all.map((outputs) => outputs[at]!),
        0,
      ),
    ),
  };
}

type Given = { readonly [name: string]: Tensor };
export type Loop = (given: Given, run: typeof scan) => readonly Tensor[];

/** Recurrences of several kinds over x (turns, 2, 3), h (2, 3), w (3, 3), b (3). */
export const loops: { readonly [name: string]: Loop } = {
  "a product, a bias and a given row": ({ x, h, w, b }, run) => {
    const { carry, outputs } = run(
      ([h], [x]) => {
        const next = tanh(h!.matmul(w!).add(b!).add(x!));
        return { carry: [next], outputs: [next] };
      },
      { carry: [h!], sequences: [x!] },
    );
    return [...carry, ...outputs];
  },
  "backward, what was before given out": ({ x, h, w }, run) => {
    const { carry, outputs } = run(([h], [x]) => ({ carry: [h!.mul(x!).add(w!.sum())], outputs: [h!, x!.square()] }), {
      carry: [h!],
      sequences: [x!],
      reverse: true,
    });
    return [...carry, ...outputs];
  },
  "two that change places, one that stays": ({ x, h, b }, run) => {
    const { carry, outputs } = run(([a, c, s], [x]) => ({ carry: [c!, a!.add(x!.mul(s!)), s!], outputs: [a!] }), {
      carry: [h!, h!.mul(2), b!],
      sequences: [x!],
    });
    return [...carry, ...outputs];
  },
  "a weight that is used twice, transposed once": ({ x, h, w }, run) =>
    run(([h], [x]) => ({ carry: [tanh(h!.matmul(w!).add(x!.matmul(w!.transpose())))] }), {
      carry: [h!],
      sequences: [x!],
    }).carry,
  "rows that are left as they are": ({ x, h, w, present }, run) => {
    const { carry, outputs } = run(
      ([h], [x, here]) => {
        const next = where(here!, tanh(h!.matmul(w!).mul(x!)), h!);
        return { carry: [next], outputs: [next.reshape(6)] };
      },
      { carry: [h!], sequences: [x!, present!] },
    );
    return [...carry, ...outputs];
  },
  "no sequence, and a carry that is taken from outside": ({ h, w }, run) => {
    const { carry, outputs } = run(([h, c]) => ({ carry: [h!.matmul(c!), w!.add(1)], outputs: [c!] }), {
      carry: [h!, w!],
      turns: 3,
    });
    return [...carry, ...outputs];
  },
  "what no turn changes, used, carried and given out": ({ x, h, w, b }, run) => {
    const { carry, outputs } = run(
      ([h], [x]) => ({
        carry: [h!.matmul(w!.square().transpose()).add(x!.mul(b!.exp())), b!.exp()],
        outputs: [w!.square(), h!.mul(w!.sum())],
      }),
      { carry: [h!, b!], sequences: [x!] },
    );
    return [...carry, ...outputs];
  },
  "windows with strides, and a nested scan": ({ y, h, w }, run) => {
    const inner = (x: Tensor) =>
      run(([s], [row]) => ({ carry: [s!.add(row!)] }), { carry: [zeros([3], x.dtype)], sequences: [x] }).carry[0]!;
    const { carry, outputs } = run(
      ([h], [x]) => ({ carry: [tanh(h!.mul(inner(x!)).matmul(w!))], outputs: [x!.mul(h!)] }),
      {
        carry: [h!],
        sequences: [y!.permute(1, 0, 2).slice(2, 1, 4)],
      },
    );
    return [...carry, ...outputs];
  },
};

const shapes = { x: [4, 2, 3], y: [2, 4, 5], h: [2, 3], w: [3, 3], b: [3] };
export const names = Object.keys(shapes);
export const feedsIn = (dtype: "f32" | "f64"): Record<string, HostArray> => ({
  ...Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, draw(name, shape, dtype)])),
  present: fromNumbers("bool", [4, 2, 1], [1, 1, 1, 0, 0, 1, 1, 0]),
});

/** What a loop makes, and the gradients by all that is given of a number that depends on all of it. */
export function traced(loop: Loop, run: typeof scan, dtype: "f32" | "f64" = "f64"): Graph {
  return trace(
    feedsIn(dtype),
    (given: Given) => {
      const made = loop(given, run);
      const loss = made
        .map((x, at) => {
          const weights = draw(`weights ${at}`, x.shape, dtype);
          return x.mul(constant(weights)).sum();
        })
        .reduce((sum, one) => sum.add(one));
      const by = names.map((name) => given[name]!);
      const grads = gradients([loss], by);
      return {
        loss,
        ...Object.fromEntries(made.map((x, at) => [`made ${at}`, x])),
        ...Object.fromEntries(grads.flatMap((grad, at) => (grad ? [[`gradient ${names[at]}`, grad]] : []))),
      };
    },
    { floatDType: dtype },
  );
}
