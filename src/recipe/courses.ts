// Which settings of a recipe change over its run, as courses. Learning rates and batches have schedules of their own.
import { type Course, courseSchema } from "../base/index.ts";

/** Courses by the dotted path of their setting: `model.mlp.dropout`, `optimizer.adamw.betas.0`. */
export function coursesOf(recipe: unknown, path = ""): [path: string, course: Course][] {
  if (typeof recipe !== "object" || recipe === null || path.endsWith(".lr")) return [];
  // data in memory may be long
  if (path === "data") {
    const { context, mix } = recipe as { readonly context?: unknown; readonly mix?: unknown };
    return [...coursesOf(context, "data.context"), ...coursesOf(mix, "data.mix")];
  }
  const course = courseSchema.safeParse(recipe);
  if (course.success) return [[path, course.data]];
  return Object.entries(recipe).flatMap(([key, inner]) => coursesOf(inner, path === "" ? key : `${path}.${key}`));
}
