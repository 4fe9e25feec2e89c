// The loss `distillation` of a recipe: its data and task stay what they are, and a teacher is put beside the model.
import { addTeacher, distilledTask, fillTeacher, readTeacher } from "../align/index.ts";
import { fail } from "../base/index.ts";
import type { PreparedData } from "./prepare.ts";
import type { Recipe } from "./schema.ts";

/** Errors with `align/teacher` where the teacher knows other words, classes or columns. */
export async function distilled({ loss }: Recipe, data: PreparedData): Promise<PreparedData> {
  const settings = loss?.distillation;
  if (settings === undefined) return data;
  const { built, task, classes, files, tokenizer, begin } = data;
  const teacher = await readTeacher(settings.teacher);
  const theirs = JSON.parse(teacher.text("model.json")!) as { readonly task: string; readonly classes?: unknown };
  const differing = [
    ...["tokenizer.json", "table.json", "images.json"].filter((name) => teacher.text(name) !== files[name]),
    ...(theirs.task === task.name ? [] : [`task ${theirs.task}`]),
    ...(JSON.stringify(theirs.classes) === JSON.stringify(classes) ? [] : ["classes"]),
  ];
  if (differing.length > 0)
    fail("align/teacher", "the teacher was trained on other words, columns or classes", {
      where: settings.teacher,
      expected: `a teacher of ${task.name} with the same encoders`,
      got: `another ${differing.join(", ")}`,
      fix: "name its tokenizer, and give the data that it was trained on",
    });
  const facts = {
    ...(tokenizer === undefined ? {} : { vocab: tokenizer.vocabSize }),
    ...(classes === undefined ? {} : { outputs: classes.length }),
  };
  addTeacher(built.module, teacher.build(facts));
  return {
    ...data,
    task: distilledTask(task, settings),
    isSameLoss: false,
    begin: async (programs, saved) => {
      if (saved === undefined) fillTeacher(programs, teacher);
      return (await begin?.(programs, saved)) ?? {};
    },
  };
}
