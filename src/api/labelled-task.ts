// Tasks for models that answer questions from a text, label its words, read a number off it or choose among several: what their predictions are
// worth against a file of true ones.
import { fail, fromNumbers } from "../base/index.ts";
import {
  type LabelledSentence,
  type Question,
  readChoiceFile,
  readLabelledWords,
  readQuestionFile,
  type TextNumber,
} from "../data/index.ts";
import type { TaskRows } from "../eval/index.ts";
import {
  answerScores,
  entityScores,
  meanAbsoluteError,
  meanSquaredError,
  rootMeanSquaredError,
  rSquared,
} from "../metrics/index.ts";
import type { TaskName } from "../models/index.ts";
import type { HeldOutRows } from "../recipe/index.ts";
import type { NumberPrediction } from "./model.ts";
import type { AnswerPrediction } from "./question-answers.ts";
import type { ChoicePrediction } from "./text-choices.ts";
import type { LabelPrediction } from "./word-labels.ts";

export type LabelledTask =
  | HeldOutRows
  | { readonly kind: "questions"; readonly rows: readonly Question[] }
  | { readonly kind: "labelled words"; readonly rows: readonly LabelledSentence[] };

const tasksOf: { readonly [kind in LabelledTask["kind"]]: TaskName } = {
  questions: "question-answering",
  "labelled words": "token-classification",
  numbers: "regression",
  choices: "multiple-choice",
};

/** A task that is scored by predictions of its rows; undefined for others. That of choices is a language model's, too. */
export function asLabelledTask(task: TaskRows | LabelledTask, model: TaskName): LabelledTask | undefined {
  const isLabelled = task.kind in tasksOf && (task.kind !== "choices" || model === "multiple-choice");
  return isLabelled ? (task as LabelledTask) : undefined;
}

/**
 * The rows of a file as a model of this task is trained on them: questions about texts, words with a label each, or questions with choices;
 * undefined for models of other tasks. Errors: those of reading them.
 */
export async function readLabelledTask(path: string, task: TaskName): Promise<LabelledTask | undefined> {
  if (task === "question-answering") return { kind: "questions", rows: (await readQuestionFile({ path })).questions };
  if (task === "multiple-choice") return { kind: "choices", rows: (await readChoiceFile({ path })).rows };
  if (task !== "token-classification") return undefined;
  return { kind: "labelled words", rows: (await readLabelledWords({ path })).sentences };
}

type Figures = { readonly [figure: string]: number };
type Predict = (rows: readonly (object | string)[]) => Promise<readonly object[]>;

/**
 * `exactMatch`, `f1` and `unanswerableRecall` of questions by SQuAD's rules; `precision`, `recall` and `f1` of entities by conlleval's, over all and
 * of each type; `accuracy` of choices; of numbers their errors and R². Errors with `model/task` for a model of another task.
 */
export async function scoreLabelledTask(labelled: LabelledTask, task: TaskName, predict: Predict): Promise<Figures> {
  const needed = tasksOf[labelled.kind];
  if (task !== needed)
    fail("model/task", "this model does not do such a task", {
      where: "evaluateOn",
      expected: `a model of ${needed}, for ${labelled.kind}`,
      got: task,
      fix: `train one with data.task: ${needed}`,
    });
  if (labelled.kind === "questions") return await scoreAnswers(labelled.rows, predict);
  if (labelled.kind === "numbers") return await scoreNumbers(labelled.rows, predict);
  if (labelled.kind === "choices") {
    const found = (await predict(labelled.rows)) as readonly ChoicePrediction[];
    const right = labelled.rows.filter(({ answer }, at) => found[at]!.index === answer).length;
    return { accuracy: right / labelled.rows.length, count: labelled.rows.length };
  }
  const found = (await predict(labelled.rows)) as readonly LabelPrediction[];
  const { types, ...all } = entityScores(
    labelled.rows.map(({ labels: truth }, at) => ({ predicted: found[at]!.labels, truth })),
  );
  return { ...all, ...Object.fromEntries(Object.entries(types).map(([type, { f1 }]) => [`f1 of ${type}`, f1])) };
}

async function scoreAnswers(rows: readonly Question[], predict: Predict): Promise<Figures> {
  const answers = (await predict(rows)) as readonly AnswerPrediction[];
  const pairs = rows.map((row, at) => ({ answer: answers[at]!.answer, truths: row.answers.map(({ text }) => text) }));
  return { ...answerScores(pairs) };
}

async function scoreNumbers(rows: readonly TextNumber[], predict: Predict): Promise<Figures> {
  const found = (await predict(rows.map(({ text }) => text))) as readonly NumberPrediction[];
  const of = (values: readonly number[]) => fromNumbers("f64", [values.length], values);
  const [predicted, wanted] = [of(found.map(({ value }) => value)), of(rows.map(({ value }) => value))];
  const metrics = [
    meanSquaredError(),
    rootMeanSquaredError(),
    meanAbsoluteError(),
    ...(rows.length > 1 ? [rSquared()] : []),
  ];
  for (const metric of metrics) metric.update(predicted, wanted);
  return { ...Object.fromEntries(metrics.map((metric) => [metric.name, metric.value()])), count: rows.length };
}
