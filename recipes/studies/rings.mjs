// The task of the other studies: whether a point lies inside a circle, told wrongly for some rows; further columns say nothing.
import { classIds, dense, dropout, RandomStream, sequential } from "athanor";
import { draw } from "./study.mjs";

/** Rows of `columns` numbers, of which the first two decide; a share of the labels is `wrong`. */
export function rings(count, seed, { name = "train", columns = 2, wrong = 0.1 } = {}) {
  const coin = new RandomStream(seed, `rings/${name}/wrong`);
  const { x, y } = draw(count, seed, `rings/${name}`, (normal, row) => {
    const x = Array.from({ length: columns }, (_, at) => normal(at));
    const isInside = x[0] ** 2 + x[1] ** 2 < 1.4; // about half of them
    return { x, y: Number(isInside !== coin.uniform(row) < wrong) };
  });
  return { x, y: classIds(y), labels: y };
}

export const net = (widths = [32], rate = 0) =>
  sequential([...widths.flatMap((width) => [dense(width, "relu"), ...(rate > 0 ? [dropout(rate)] : [])]), dense(2)]);

/** Mean log loss and share of right answers, of scores taken as logits of two classes. */
export async function judge(model, { x, labels }) {
  const scores = await model.predict(x);
  let [loss, right] = [0, 0];
  for (const [row, [no, yes]] of scores.entries()) {
    const margin = (yes - no) * (labels[row] === 1 ? 1 : -1);
    loss += Math.max(-margin, 0) + Math.log1p(Math.exp(-Math.abs(margin)));
    right += Number(margin > 0);
  }
  return { "log loss": loss / labels.length, accuracy: right / labels.length };
}
