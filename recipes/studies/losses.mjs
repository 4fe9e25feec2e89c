// Losses for two classes, a tenth of the labels wrong: which answers they give, and what their probabilities are worth.
import { adam, crossEntropy, fit, focalLoss, hingeLoss, squaredHingeLoss } from "athanor";
import { judge, net, rings } from "./rings.mjs";
import { study } from "./study.mjs";

const train = (loss) => async (seed) => {
  const optimizer = adam({ lr: { cosine: { peak: 0.01 } } }, { steps: 20 * 50 });
  const model = await fit(net(), rings(1000, seed), { loss, optimizer, batch: 20, epochs: 20, seed });
  return await judge(model, rings(4000, seed, { name: "test" }));
};

await study("1,000 updates, judged by log loss and accuracy whatever was trained on:", {
  "cross-entropy": train(crossEntropy),
  "smoothed by 0.1": train((scores, ids, options) => crossEntropy(scores, ids, { ...options, labelSmoothing: 0.1 })),
  focal: train(focalLoss),
  hinge: train(hingeLoss),
  "squared hinge": train(squaredHingeLoss),
});
