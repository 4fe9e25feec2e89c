// TensorFlow.js on its WebAssembly or native backend: training steps, timed on request. See README.md.
//
//   node tfjs-peer.mjs '{"model":"gpt",...}' --peers-dir FOLDER [--backend wasm|node]
import { backend, layerDims, loadPeer, noise, oneHot, shape } from "./load-peer.mjs";
import { serveSteps } from "./protocol.mjs";

async function start() {
  if (backend === "node") return await loadPeer("@tensorflow/tfjs-node");
  const { module: tf, version } = await loadPeer("@tensorflow/tfjs");
  const { module: wasm, folder } = await loadPeer("@tensorflow/tfjs-backend-wasm");
  wasm.setWasmPaths(`${folder}/`);
  await tf.setBackend("wasm");
  await tf.ready();
  return { module: tf, version };
}

const { module: tf, version } = await start();
const variables = [];
const variable = (shape, std) => {
  const made = tf.variable(std === 0 ? tf.zeros(shape) : tf.tensor(noise(tf.util.sizeFromShape(shape), std), shape));
  variables.push(made);
  return made;
};
const ones = (width) => {
  const made = tf.variable(tf.ones([width]));
  variables.push(made);
  return made;
};
const crossEntropy = (logits, targets) => tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(logits), targets), -1)));

function perceptron() {
  const { batch, vocab } = shape;
  const dims = layerDims(shape);
  const layers = dims.slice(1).map((to, at) => [variable([dims[at], to], dims[at] ** -0.5), variable([to], 0)]);
  const [x, targets] = [
    tf.tensor(noise(batch * dims[0], 1), [batch, dims[0]]),
    tf.tensor(oneHot(batch, vocab), [batch, vocab]),
  ];
  return () => {
    const outputs = layers.reduce((h, [weight, bias], at) => {
      const sum = tf.add(tf.matMul(h, weight), bias);
      return at < layers.length - 1 ? tf.relu(sum) : sum;
    }, x);
    return crossEntropy(outputs, targets);
  };
}

/** Pre-norm, tanh's GELU (tfjs has no gradient of erf here), tied head; the embedding as a product with one-hot rows. */
function gpt() {
  const { vocab, context, layers, heads, width, batch } = shape;
  const inner = width / heads;
  const [wte, wpe] = [variable([vocab, width], 0.02), variable([context, width], 0.02)];
  const norms = () => [ones(width), variable([width], 0)];
  const blocks = Array.from({ length: layers }, () => ({
    before: norms(),
    attn: variable([width, 3 * width], 0.02),
    proj: variable([width, width], 0.02),
    between: norms(),
    up: variable([width, 4 * width], 0.02),
    down: variable([4 * width, width], 0.02),
  }));
  const last = norms();
  const norm = (x, [weight, bias]) => {
    const centred = tf.sub(x, tf.mean(x, -1, true));
    const variance = tf.mean(tf.square(centred), -1, true);
    return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, 1e-5))), weight), bias);
  };
  const gelu = (x) => {
    const cubic = tf.mul(Math.sqrt(2 / Math.PI), tf.add(x, tf.mul(0.044715, tf.mul(x, tf.square(x)))));
    return tf.mul(tf.mul(x, 0.5), tf.add(1, tf.tanh(cubic)));
  };
  const hidden = Float32Array.from({ length: context ** 2 }, (_, at) => (at % context > at / context ? -1e9 : 0));
  const mask = tf.tensor(hidden, [context, context]);
  const rows = batch * context;
  const [tokens, targets] = [
    tf.tensor(oneHot(rows, vocab), [rows, vocab]),
    tf.tensor(oneHot(rows, vocab), [rows, vocab]),
  ];
  const attention = (x, { attn, proj }) => {
    const split = tf.transpose(tf.reshape(tf.matMul(x, attn), [batch, context, 3, heads, inner]), [2, 0, 3, 1, 4]);
    const [q, k, v] = tf.split(split, 3, 0).map((part) => tf.reshape(part, [batch * heads, context, inner]));
    const weights = tf.softmax(tf.add(tf.mul(tf.matMul(q, k, false, true), inner ** -0.5), mask), -1);
    const mixed = tf.transpose(tf.reshape(tf.matMul(weights, v), [batch, heads, context, inner]), [0, 2, 1, 3]);
    return tf.matMul(tf.reshape(mixed, [rows, width]), proj);
  };
  return () => {
    let x = tf.reshape(tf.add(tf.reshape(tf.matMul(tokens, wte), [batch, context, width]), wpe), [rows, width]);
    for (const block of blocks) {
      x = tf.add(x, attention(norm(x, block.before), block));
      x = tf.add(x, tf.matMul(gelu(tf.matMul(norm(x, block.between), block.up)), block.down));
    }
    return crossEntropy(tf.matMul(norm(x, last), wte, false, true), targets);
  };
}

const loss = shape.model === "gpt" ? gpt() : perceptron();
const optimizer = tf.train.adam(1e-3);

function clip(grads) {
  const squares = Object.values(grads).map((grad) => tf.sum(tf.square(grad)));
  const factor = tf.minimum(1, tf.div(1, tf.add(tf.sqrt(tf.addN(squares)), 1e-6)));
  return Object.fromEntries(Object.entries(grads).map(([name, grad]) => [name, tf.mul(grad, factor)]));
}

async function step() {
  const value = tf.tidy(() => {
    const { value, grads } = tf.variableGrads(loss, variables);
    optimizer.applyGradients(shape.model === "gpt" ? clip(grads) : grads);
    return value;
  });
  const [number] = await value.data();
  value.dispose();
  return number;
}

await serveSteps(step, { version });
process.exit(0);
