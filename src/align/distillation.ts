// Knowledge distillation (Hinton et al. 2015): beside the loss of its task a student follows what a trained teacher thinks, whose weights
// lie frozen in the student's own checkpoints, under `teacher.*`.
import { z } from "zod";
import { type FloatDType, fail, fromNumbers, type HostArray, sameShape, toNumbers } from "../base/index.ts";
import { type Checkpoint, loadCheckpoint, loadLatest } from "../checkpoint/index.ts";
import { currentTrace, softmax, stopGradient, type Tensor } from "../core/index.ts";
import { type DataFacts, modelFamily } from "../models/index.ts";
import { klDivergence, Module } from "../nn/index.ts";
import type { StepPrograms, Task } from "../train/index.ts";

export const distillationSchema = z.strictObject({
  teacher: z.string().min(1).describe("run, or checkpoint, of the model to learn from"),
  temperature: z.number().positive().default(2).describe("divides the scores of both"),
  alpha: z.number().min(0).max(1).default(0.5).describe("share of the teacher against that of the task's own loss"),
});
export type DistillationSettings = z.output<typeof distillationSchema>;

export interface Teacher {
  readonly tensors: Checkpoint["tensors"];
  /** Small files of its checkpoint: `tokenizer.json`, `model.json`. */
  readonly text: (name: string) => string | undefined;
  /** Its module, without dropout. */
  readonly build: (facts: Omit<DataFacts, "task">) => Module;
}

const prefix = "teacher.";

/** The model of a run. Errors with `checkpoint/*`, `align/teacher`. */
export async function readTeacher(path: string): Promise<Teacher> {
  const checkpoint = (await loadLatest(path))?.checkpoint ?? (await loadCheckpoint(path));
  const text = (name: string) => {
    const bytes = checkpoint.files.get(name);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8");
  };
  const { family, config, task, adapter } = JSON.parse(text("model.json") ?? "{}");
  if (adapter !== undefined)
    fail("align/teacher", "the teacher has an adapter", {
      where: path,
      expected: "a model whose weights are its own",
      got: Object.keys(adapter).join(),
      fix: "merge it: athanor export RUN merged --layout huggingface, then a run of no steps with --init-from merged",
    });
  const still = Object.entries(config as object).map(([key, value]) => [key, /dropout/i.test(key) ? 0 : value]);
  const build: Teacher["build"] = (facts) =>
    modelFamily(family).build(Object.fromEntries(still), { ...facts, task }).module;
  return { tensors: checkpoint.tensors, text, build };
}

/** Gives a model its teacher: whose parameters follow its own. */
export function addTeacher(model: Module, teacher: Module): void {
  Object.assign(model, { teacher });
}

/** Writes the teacher's weights. Errors with `align/teacher` where one is not there. */
export function fillTeacher({ store, graphs }: StepPrograms, { tensors }: Teacher): void {
  for (const { name } of graphs.parameterTypes.filter((type) => type.name.startsWith(prefix))) {
    const own = tensors.get(name.slice(prefix.length));
    const { dtype, shape } = store.typeOf(name);
    if (own === undefined || !sameShape(own.shape, shape))
      fail("align/teacher", "the teacher's checkpoint lacks a weight of its model", {
        where: "loss.distillation.teacher",
        expected: `${name.slice(prefix.length)} [${shape}]`,
        got: own === undefined ? "nothing of this name" : `[${own.shape}]`,
      });
    store.write(name, converted(own!, dtype as FloatDType));
  }
}

const converted = (array: HostArray, dtype: FloatDType): HostArray =>
  array.dtype === dtype ? array : fromNumbers(dtype, array.shape, toNumbers(array));

/** A model that remembers what it was given and what it made of it. */
class Recorded extends Module {
  readonly model: Module;
  seen: { readonly inputs: readonly Tensor[]; readonly scores: Tensor } | undefined;

  constructor(model: Module) {
    super();
    this.model = model;
  }

  forward(...inputs: Tensor[]): Tensor {
    const scores = this.model.forward(...inputs) as Tensor;
    this.seen = { inputs, scores };
    return scores;
  }
}

/**
 * The task with (1 − α) of its loss and α·T²·KL(teacher ‖ student) at the temperature T, over the rows or tokens that it counts; evaluated
 * is the task itself.
 */
export function distilledTask(task: Task, { temperature, alpha }: DistillationSettings): Task {
  return {
    ...task,
    loss: (model, feeds) => {
      if (currentTrace().mode !== "train") return task.loss(model, feeds);
      const student = new Recorded(model);
      const { sum, count, extra } = task.loss(student, feeds);
      const { inputs, scores } = student.seen!;
      const rows = (x: Tensor) => x.reshape(-1, x.shape.at(-1)!).mul(1 / temperature);
      const teacher = (model as Module & { readonly teacher: Module }).teacher.forward(...inputs) as Tensor;
      const mask = feeds.targets!.reshape(-1).notEqual(-1);
      const follow = klDivergence(rows(scores), softmax(rows(stopGradient(teacher))), { mask, reduction: "sum" });
      return { sum: sum.mul(1 - alpha).add(follow.mul(alpha * temperature ** 2)), count, ...(extra && { extra }) };
    },
  };
}
