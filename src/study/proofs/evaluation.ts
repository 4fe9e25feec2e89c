// Metrics of classes against scikit-learn's figures, whatever the batches.
import { fromNumbers } from "../../base/index.ts";
import { type AverageOptions, accuracy, fBeta, type Metric, precision, recall } from "../../metrics/index.ts";
import { equal, type Figure, type Proof, within } from "../proof.ts";

interface Rows {
  readonly targets: readonly number[];
  readonly predicted: readonly number[];
  readonly classes: number;
}

/** Four classes: class 3 is never predicted, class 2 never right. */
const four: Rows = {
  targets: [0, 1, 2, 3, 0, 1, 2, 0, 1, 3, 0, 0],
  predicted: [0, 1, 1, 0, 0, 2, 0, 0, 1, 1, 2, 0],
  classes: 4,
};
/** Two classes, of which one is never predicted: its precision is 0/0. */
const rare: Rows = { targets: [0, 1, 0, 1], predicted: [0, 0, 0, 0], classes: 2 };

/** `sklearn.metrics.precision_recall_fscore_support` (1.9.1) of these rows. */
const sklearn: readonly (readonly [Rows, AverageOptions, precision: number, recall: number, f1: number])[] = [
  [four, { average: "micro" }, 0.5, 0.5, 0.5],
  [four, { average: "macro" }, 0.29166666666666663, 0.3666666666666667, 0.3246753246753247],
  [four, { average: "weighted" }, 0.40277777777777773, 0.5, 0.44588744588744594],
  [rare, { average: "binary", zeroDivision: 0 }, 0, 0, 0],
  [rare, { average: "binary", zeroDivision: 1 }, 1, 0, 0],
  [rare, { average: "macro", zeroDivision: 0 }, 0.25, 0.5, 0.3333333333333333],
  [rare, { average: "macro", zeroDivision: 1 }, 0.75, 0.5, 0.3333333333333333],
];

function figureOf(metric: Metric, rows: Rows, size: number, asScores = false): number {
  for (let at = 0; at < rows.targets.length; at += size) {
    const [targets, ids] = [rows.targets.slice(at, at + size), rows.predicted.slice(at, at + size)];
    const scores = ids.flatMap((id) => Array.from({ length: rows.classes }, (_, c) => Number(c === id)));
    metric.update(
      asScores ? fromNumbers("f32", [ids.length, rows.classes], scores) : fromNumbers("i32", [ids.length], ids),
      fromNumbers("i32", [targets.length], targets),
    );
  }
  return metric.value();
}

async function classFigures(): Promise<Figure[]> {
  const whole = four.targets.length;
  return [
    within("accuracy", figureOf(accuracy(), four, whole, true), 0.5, 1e-12),
    equal("streamed by 5", figureOf(accuracy(), four, 5, true), figureOf(accuracy(), four, whole, true)),
    ...sklearn.flatMap(([rows, options, ...expected]) => {
      const name = `${options.average}${options.zeroDivision === undefined ? "" : `, 0/0 as ${options.zeroDivision}`}`;
      return [precision, recall, fBeta].flatMap((make, at) => {
        const figure = (size: number, asScores: boolean) => figureOf(make(rows.classes, options), rows, size, asScores);
        return [
          within(`${["precision", "recall", "F1"][at]}, ${name}`, figure(whole, false), expected[at]!, 1e-12),
          equal("streamed one by one, from scores", figure(1, true), figure(whole, false)),
        ];
      });
    }),
  ];
}

export const evaluationProofs: readonly Proof[] = [
  {
    id: "eval.arf1",
    doc: "accuracy, precision, recall and F1, averaged in every way, are scikit-learn's, streamed or at once",
    run: classFigures,
  },
];
