// Scores of choices: each draws random numbers of its own, and one that is not there has none. Figures of heads are in train/text-heads.test.ts.
import { expect, test } from "vitest";
import { fromNumbers } from "../base/index.ts";
import { currentTrace, normal, type Tensor, withContext } from "../core/index.ts";
import { evaluate } from "../engine/index.ts";
import { choiceScores } from "./choices.ts";

test("each choice of each row draws its own random numbers, the same in any batch", () => {
  const draw = (samples: number[]) => {
    const shape = [samples.length, 3, 2];
    const { data } = evaluate(
      (key: Tensor, rows: Tensor, tokens: Tensor) =>
        withContext({ mode: "train", random: { key, rows } }, () =>
          choiceScores(tokens, (texts) => {
            const { key, rows } = currentTrace().random!;
            return normal(key, rows, [texts.shape[0]!, 1], "noise");
          }),
        ),
      {
        key: fromNumbers("i32", [3], [1, 0, 0]),
        rows: fromNumbers("i32", [samples.length], samples),
        tokens: fromNumbers("i32", shape, new Array(6 * samples.length).fill(1)),
      },
    );
    return Array.from(data, Number);
  };
  const drawn = draw([5, 8, 9]);
  expect(new Set(drawn).size).toBe(9);
  expect(draw([8])).toEqual(drawn.slice(3, 6));
});
