// A lesson: gradient descent by hand. `grad` gives the gradient of a plain function, `evaluate` gives numbers.
import { evaluate, grad, meanSquaredError, type Tensor } from "athanor";

/** Mean squared error of the line weights[0]·x + weights[1]. */
function loss(weights: Tensor, x: Tensor, y: Tensor): Tensor {
  const predicted = x.mul(weights.slice(0, 0, 1)).add(weights.slice(0, 1, 2));
  return meanSquaredError(predicted, y);
}

const data = { x: [1, 2, 3, 4], y: [2, 4, 6, 8] };
let weights = [1.764052345967664, 0.400157208367223];
const steps = Number(process.env.STEPS ?? 1000);
for (let step = 0; step < steps; step++) {
  const gradient = evaluate(grad(loss), { weights, ...data }).data;
  weights = weights.map((weight, at) => weight - 0.01 * gradient[at]!);
}
// after 1000 steps 1.9926967095706, 0.0214725644745: on its way to 2 and 0
console.log(weights, evaluate(loss, { weights, ...data }).value);
