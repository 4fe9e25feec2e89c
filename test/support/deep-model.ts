// A synthetic transformer of any depth with its training step, as deep models make them: for tests of size and time.
import {
  adamw,
  add,
  assign,
  attention,
  constant,
  crossEntropy,
  type Graph,
  geluTanh,
  gradients,
  layerNorm,
  mul,
  sumSquares,
  type Tensor,
  take,
  trace,
  variable,
  withScope,
  zeros,
} from "../../src/core/index.ts";

export interface DeepModel {
  readonly layers: number;
  readonly rows?: number;
  readonly tokens?: number;
  readonly width?: number;
  readonly heads?: number;
  readonly vocabulary?: number;
}

/** Forward, loss, backward, clipping and AdamW in one graph under a finite guard. */
export function trainingStep(model: DeepModel): Graph {
  const { layers, rows = 2, tokens = 8, width = 16, heads = 2, vocabulary = 32 } = model;
  const parameters = new Map<string, Tensor>();
  const parameter = (name: string, ...shape: number[]): Tensor => {
    const tensor = variable(name, "f32", shape);
    parameters.set(name, tensor);
    return tensor;
  };
  const norm = (x: Tensor, name: string): Tensor =>
    layerNorm(x, parameter(`${name}.weight`, width), parameter(`${name}.bias`, width));
  const linear = (x: Tensor, name: string, from: number, to: number): Tensor =>
    add(x.matmul(parameter(`${name}.weight`, from, to)), parameter(`${name}.bias`, to));
  const block = (x: Tensor, name: string): Tensor =>
    withScope(name, () => {
      const parts = linear(norm(x, `${name}.ln_1`), `${name}.attn`, width, 3 * width).split(3);
      const [q, k, v] = parts.map((part) => part.reshape(rows, tokens, heads, width / heads));
      const mixed = attention(q!, k!, v!, { causal: true }).reshape(rows, tokens, width);
      const middle = add(x, linear(mixed, `${name}.proj`, width, width));
      const hidden = geluTanh(linear(norm(middle, `${name}.ln_2`), `${name}.fc`, width, 4 * width));
      return add(middle, linear(hidden, `${name}.out`, 4 * width, width));
    });
  const ids = { dtype: "i32", shape: [rows, tokens] } as const;
  const scalar = { dtype: "f32", shape: [] } as const;
  return trace({ ids, targets: ids, lr: scalar }, ({ ids, targets, lr }) => {
    const table = parameter("wte.weight", vocabulary, width);
    let x = add(take(table, ids), parameter("wpe.weight", tokens, width));
    for (let layer = 0; layer < layers; layer++) x = block(x, `h.${layer}`);
    const logits = norm(x, "ln_f")
      .reshape(rows * tokens, width)
      .matmul(table.transpose());
    const loss = crossEntropy(logits, targets.reshape(rows * tokens)).mean();
    const list = [...parameters];
    const grads = gradients(
      [loss],
      list.map(([, tensor]) => tensor),
    ).map((grad) => grad!);
    const squares = grads.map(sumSquares).reduce((total, one) => total.add(one));
    const scale = mul(squares.rsqrt(), 1).minimum(1);
    loss.graph.guard = squares.isFinite().id;
    for (const [at, [name, tensor]] of list.entries()) {
      const slots = ["adam.m", "adam.v"].map((slot) => variable(`${slot}.${name}`, "f32", tensor.shape));
      const [p, m, v] = adamw([tensor, grads[at]!, ...slots, scale, lr, constant(1), constant(1)], {
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weightDecay: 0.1,
      });
      assign(name, p!);
      assign(`adam.m.${name}`, m!);
      assign(`adam.v.${name}`, v!);
      // what accumulates over microbatches is cleared here
      const sum = variable(`grad.${name}`, "f32", tensor.shape);
      assign(`grad.${name}`, lr.rank === 0 ? zeros(sum.shape) : sum);
    }
    return { loss };
  });
}
