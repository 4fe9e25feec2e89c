// Tasks for models that answer questions from a text or label its words: what their predictions are worth against a file of true ones.
import { fail } from "../base/index.ts";
import { type LabelledSentence, type Question, readLabelledWords, readQuestionFile } from "../data/index.ts";
import { answerScores, entityScores } from "../metrics/index.ts";
import type { TaskName } from "../models/index.ts";
import type { AnswerPrediction } from "./question-answers.ts";
import type { LabelPrediction } from "./word-labels.ts";

export type LabelledTask =
  | { readonly kind: "questions"; readonly rows: readonly Question[] }
  | { readonly kind: "labelled words"; readonly rows: readonly LabelledSentence[] };

/**
 * The rows of a file as a model of this task is trained on them: questions about texts, or words with a label each; undefined for models of other
 * tasks. Errors: those of reading them.
 */
export async function readLabelledTask(path: string, task: TaskName): Promise<LabelledTask | undefined> {
  if (task === "question-answering") return { kind: "questions", rows: (await readQuestionFile({ path })).questions };
  if (task !== "token-classification") return undefined;
  return { kind: "labelled words", rows: (await readLabelledWords({ path })).sentences };
}

type Predict = (rows: readonly object[]) => Promise<readonly (AnswerPrediction | LabelPrediction)[] | undefined>;

/**
 * `exactMatch`, `f1` and `unanswerableRecall` of questions by SQuAD's rules; `precision`, `recall` and `f1` of entities by conlleval's, over all and
 * of each type. Errors with `model/task` for a model of another task.
 */
export async function scoreLabelledTask(
  { kind, rows }: LabelledTask,
  task: TaskName,
  predict: Predict,
): Promise<{ readonly [figure: string]: number }> {
  const needed = kind === "questions" ? "question-answering" : "token-classification";
  if (task !== needed)
    fail("model/task", "this model does not do such a task", {
      where: "evaluateOn",
      expected: `a model of ${needed}, for ${kind}`,
      got: task,
      fix: `train one with data.task: ${needed}`,
    });
  if (kind === "questions") {
    const answers = (await predict(rows)) as readonly AnswerPrediction[];
    const pairs = rows.map((row, at) => ({ answer: answers[at]!.answer, truths: row.answers.map(({ text }) => text) }));
    return { ...answerScores(pairs) };
  }
  const found = (await predict(rows)) as readonly LabelPrediction[];
  const { types, ...all } = entityScores(
    rows.map(({ labels: truth }, at) => ({ predicted: found[at]!.labels, truth })),
  );
  return { ...all, ...Object.fromEntries(Object.entries(types).map(([type, { f1 }]) => [`f1 of ${type}`, f1])) };
}
