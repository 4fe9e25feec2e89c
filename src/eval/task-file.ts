// Tasks as JSON lines: what a line holds says what kind of task the file is. All lines of a file are of one kind.
import { z } from "zod";
import { configProblems, fail } from "../base/index.ts";
import { readChoiceRow } from "../data/index.ts";
import type { ChoiceQuestion } from "./choices.ts";
import type { OpenQuestion } from "./exact-match.ts";
import type { WantedText } from "./written-texts.ts";

const openSchema = z.object({
  prompt: z.string().min(1),
  answer: z.union([z.string(), z.array(z.string()).min(1)]),
});
const pairSchema = z.object({
  source: z.string().min(1),
  target: z.union([z.string(), z.array(z.string()).min(1)]),
});
const textSchema = z.object({ text: z.string() });

export type TaskRows =
  | { readonly kind: "choices"; readonly rows: readonly ChoiceQuestion[] }
  | { readonly kind: "exact match"; readonly rows: readonly OpenQuestion[] }
  | { readonly kind: "pairs"; readonly rows: readonly WantedText[] }
  | { readonly kind: "text"; readonly rows: readonly { readonly text: string }[] };

const kinds = [
  { kind: "choices", key: "choices", schema: undefined },
  { kind: "exact match", key: "prompt", schema: openSchema },
  { kind: "pairs", key: "source", schema: pairSchema },
  { kind: "text", key: "text", schema: textSchema },
] as const;

/** The rows of a task, those of choices in the layouts of `readChoiceRow`. Errors with `eval/task` and `data/choices`, naming the line. */
export function parseTask(text: string, path: string): TaskRows {
  const lines = text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .flatMap((line, at) => (line.trim() === "" ? [] : [{ line, at: at + 1 }]));
  const expected =
    "lines of { question, choices, answer }, of { prompt, answer }, of { source, target }, or of { text }";
  const refuse = (at: number, got: string): never =>
    fail("eval/task", "this is no task", {
      where: `${path}:${at}`,
      expected,
      got,
      fix: "write one JSON object per line, all of one kind",
    });
  const values = lines.map(({ line, at }) => {
    try {
      return JSON.parse(line) as unknown;
    } catch {
      return refuse(at, line.slice(0, 80));
    }
  });
  const first = values[0];
  const found = kinds.find(({ key }) => typeof first === "object" && first !== null && key in first);
  if (found === undefined) return refuse(lines[0]?.at ?? 1, lines[0]?.line.slice(0, 80) ?? "an empty file");
  const rows = values.map((value, i) => {
    if (found.schema === undefined) return readChoiceRow(value, `${path}:${lines[i]!.at}`);
    const { success, data, error } = found.schema.safeParse(value);
    if (success) return data;
    const problems = configProblems(found.schema, value, error.issues);
    return refuse(lines[i]!.at, problems.map(({ path: key, message }) => `${key || "line"}: ${message}`).join("\n"));
  });
  return { kind: found.kind, rows } as TaskRows;
}
