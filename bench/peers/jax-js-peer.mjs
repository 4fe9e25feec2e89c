// jax-js on its WebAssembly backend: training steps, one jit over the whole step, timed on request. See README.md.
//
//   node jax-js-peer.mjs '{"model":"gpt",...}' --peers-dir FOLDER
//
// Arrays are counted by reference: an operation uses its operands up, and `.ref` keeps one for another use.
import { availableParallelism } from "node:os";
import { layerDims, loadPeer, noise, oneHot, shape } from "./load-peer.mjs";
import { serveSteps } from "./protocol.mjs";

globalThis.navigator ??= { hardwareConcurrency: availableParallelism() }; // Node 20 has none, and jax-js asks it
const { module: jax, version } = await loadPeer("@jax-js/jax");
const { blockUntilReady, defaultDevice, init, jit, nn, numpy: np, valueAndGrad } = jax;
await init();
defaultDevice("wasm");

const sizeOf = (dims) => dims.reduce((a, b) => a * b, 1);
const from = (numbers, dims) => np.array(numbers).reshape(dims);
const filled = (dims, value) => from(new Float32Array(sizeOf(dims)).fill(value), dims);
const parameters = [];
const parameter = (array) => parameters.push(array) - 1;
const matrix = (rows, columns, std) => parameter(from(noise(rows * columns, std), [rows, columns]));
const crossEntropy = (logits, targets, count) =>
  nn
    .logSoftmax(logits, -1)
    .mul(targets)
    .sum()
    .mul(-1 / count);

function perceptron() {
  const { batch, vocab } = shape;
  const dims = layerDims(shape);
  const layers = dims.slice(1).map((to, at) => [matrix(dims[at], to, dims[at] ** -0.5), parameter(filled([to], 0))]);
  const loss = (p, x, targets) => {
    const outputs = layers.reduce((h, [weight, bias], at) => {
      const sum = np.matmul(h, p[weight]).add(p[bias]);
      return at < layers.length - 1 ? nn.relu(sum) : sum;
    }, x);
    return crossEntropy(outputs, targets, batch);
  };
  return {
    loss,
    inputs: [from(noise(batch * dims[0], 1), [batch, dims[0]]), from(oneHot(batch, vocab), [batch, vocab])],
  };
}

function gpt() {
  const { vocab, context, layers, heads, width, batch } = shape;
  const inner = width / heads;
  const rows = batch * context;
  const [wte, wpe] = [matrix(vocab, width, 0.02), matrix(context, width, 0.02)];
  const norms = () => [parameter(filled([width], 1)), parameter(filled([width], 0))];
  const blocks = Array.from({ length: layers }, () => ({
    before: norms(),
    attn: matrix(width, 3 * width, 0.02),
    proj: matrix(width, width, 0.02),
    between: norms(),
    up: matrix(width, 4 * width, 0.02),
    down: matrix(4 * width, width, 0.02),
  }));
  const last = norms();
  const hidden = Float32Array.from({ length: context ** 2 }, (_, at) => (at % context > at / context ? -1e9 : 0));
  const loss = (p, tokens, targets, mask) => {
    const norm = (x, [weight, bias]) => {
      const centred = x.ref.sub(np.mean(x, -1, { keepdims: true }));
      const variance = np.mean(centred.ref.mul(centred.ref), -1, { keepdims: true });
      return centred
        .div(np.sqrt(variance.add(1e-5)))
        .mul(p[weight])
        .add(p[bias]);
    };
    const attention = (x, { attn, proj }) => {
      const split = np.matmul(x, p[attn]).reshape([batch, context, 3, heads, inner]).transpose([2, 0, 3, 1, 4]);
      const [q, k, v] = np.split(split, 3, 0).map((part) => part.reshape([batch, heads, context, inner]));
      const scores = np.matmul(q, k.transpose([0, 1, 3, 2])).mul(inner ** -0.5);
      const mixed = np.matmul(nn.softmax(scores.add(mask.ref), -1), v).transpose([0, 2, 1, 3]);
      return np.matmul(mixed.reshape([batch, context, width]), p[proj]);
    };
    let x = np.matmul(tokens, p[wte].ref).reshape([batch, context, width]).add(p[wpe]);
    for (const block of blocks) {
      x = x.ref.add(attention(norm(x, block.before), block));
      const up = nn.gelu(np.matmul(norm(x.ref, block.between), p[block.up]), { approximate: false });
      x = x.add(np.matmul(up, p[block.down]));
    }
    mask.dispose();
    return crossEntropy(np.matmul(norm(x, last).reshape([rows, width]), p[wte].transpose()), targets, rows);
  };
  const words = () => from(oneHot(rows, vocab), [rows, vocab]);
  return { loss, inputs: [words(), words(), from(hidden, [context, context])] };
}

const { loss, inputs } = shape.model === "gpt" ? gpt() : perceptron();

function clip(grads) {
  const squares = grads.map((grad) => grad.ref.mul(grad.ref).sum()).reduce((a, b) => a.add(b));
  const factor = np.minimum(np.array(1), np.reciprocal(np.sqrt(squares).add(1e-6)));
  const clipped = grads.map((grad) => grad.mul(factor.ref));
  factor.dispose();
  return clipped;
}

/** Adam; `rate` is the learning rate over the first bias correction, `correction` one over the second. */
const update = jit((p, m, v, rate, correction, ...inputs) => {
  const [value, raw] = valueAndGrad(loss)(
    p.map((array) => array.ref),
    ...inputs,
  );
  const grads = shape.model === "gpt" ? clip(raw) : raw;
  const next = { p: [], m: [], v: [] };
  grads.forEach((grad, at) => {
    const mean = m[at].mul(0.9).add(grad.ref.mul(0.1));
    const square = v[at].mul(0.999).add(grad.ref.mul(grad).mul(0.001));
    const length = np.sqrt(square.ref.mul(correction.ref)).add(1e-8);
    next.p.push(p[at].sub(mean.ref.mul(rate.ref).div(length)));
    next.m.push(mean);
    next.v.push(square);
  });
  rate.dispose();
  correction.dispose();
  return [value, next.p, next.m, next.v];
});

const zeros = () => parameters.map((array) => filled(array.shape, 0));
let state = [parameters, zeros(), zeros()];
let steps = 0;

async function step() {
  steps++;
  const scalars = [np.array(1e-3 / (1 - 0.9 ** steps)), np.array(1 / (1 - 0.999 ** steps))];
  const [value, ...next] = update(...state, ...scalars, ...inputs.map((array) => array.ref));
  state = next;
  const [number] = await value.data();
  await blockUntilReady([...state[0]]);
  return number;
}

await serveSteps(step, { version });
process.exit(0);
