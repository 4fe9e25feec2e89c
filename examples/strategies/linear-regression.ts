// NumPy's linear regression, y = 2x from four rows: the gradient of a plain function, and the update written out.
import { evaluate, grad, meanSquaredError, NumpyRandom, type Tensor } from "athanor";

const X = [1, 2, 3, 4];
const y = [2, 4, 6, 8];
let [W, b] = new NumpyRandom(0).randn(2) as [number, number];

const loss = (W: Tensor, b: Tensor, X: Tensor, y: Tensor) => meanSquaredError(X.mul(W).add(b), y);
const gradients = grad(loss, { argnums: [0, 1] });

const learningRate = 0.01;
for (let step = 0; step < 1000; step++) {
  const [dW, db] = evaluate(gradients, { W, b, X, y });
  W -= learningRate * dW!.value;
  b -= learningRate * db!.value;
}
// W 1.9926967095706, b 0.0214725644745, loss 7.70045352e-5
console.log(W, b, evaluate(loss, { W, b, X, y }).value);
