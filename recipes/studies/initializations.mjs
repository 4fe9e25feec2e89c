// Initial values through 50 layers: what is left of a signal and of its gradient, and whether such a net can be trained.
import { adam, crossEntropy, fit, Mlp } from "athanor";
import { judge, rings } from "./rings.mjs";
import { study } from "./study.mjs";

const [layers, width] = [50, 32];
const net = (init, activation) => new Mlp([2, ...Array(layers).fill(width), 2], { init, activation });

const start = (init, activation) => async (seed) => {
  const [train, test] = [rings(1000, seed, { wrong: 0 }), rings(2000, seed, { name: "test", wrong: 0 })];
  const options = { loss: crossEntropy, batch: 50, seed, optimizer: adam({ lr: 1e-3, clip: 1 }) };
  const untrained = await (await fit(net(init, activation), train, { ...options, epochs: 0 })).predict(test.x);
  const means = [0, 1].map((at) => untrained.reduce((sum, row) => sum + row[at], 0) / untrained.length);
  const spread = untrained.reduce((sum, row) => sum + row.reduce((s, value, at) => s + (value - means[at]) ** 2, 0), 0);
  const model = await fit(net(init, activation), train, { ...options, epochs: 20 });
  const { accuracy } = await judge(model, test);
  return { accuracy, "spread of the first outputs": Math.sqrt(spread / untrained.length / 2) };
};

await study(`${layers} layers of ${width}, 400 updates:`, {
  "ReLU, He": start("heNormal", "relu"),
  "ReLU, Glorot": start("xavierNormal", "relu"),
  "ReLU, normal of 0.01": start({ name: "normal", std: 0.01 }, "relu"),
  "tanh, Glorot": start("xavierNormal", "tanh"),
  "tanh, orthogonal": start("orthogonal", "tanh"),
  "tanh, He": start("heNormal", "tanh"),
});
