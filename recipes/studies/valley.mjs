// The task of two studies: a line through ten columns whose sizes differ by a factor of ten, so that the loss is a valley a hundred times
// as steep across as along.
import { dense, fit, meanSquaredError, sequential, sgd } from "athanor";
import { draw } from "./study.mjs";

const columns = 10;
const size = (at) => 10 ** (-at / (columns - 1));

const rows = (count, seed, noise) =>
  draw(count, seed, `valley/${noise}`, (normal) => {
    const x = Array.from({ length: columns }, (_, at) => size(at) * normal(at));
    const y = x.reduce((sum, value, at) => sum + value / size(at), noise * normal(100));
    return { x, y: [y] };
  });

/** What the fitted line loses on other rows, whose targets have no noise: 0 is the truth. */
export async function excessLoss(settings, { batch, epochs, seed }) {
  const data = rows(400, seed, 1);
  const options = { loss: meanSquaredError, optimizer: sgd(settings), batch, epochs, seed };
  try {
    return await (await fit(sequential([dense(1)]), data, options)).evaluate(rows(2000, seed, 0));
  } catch (error) {
    if (error.code === "train/non-finite") return Number.POSITIVE_INFINITY;
    throw error;
  }
}
