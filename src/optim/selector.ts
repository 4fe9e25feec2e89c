// Which parameters something applies to: a word, name patterns, or a function. Decides only; changes nothing.
import { z } from "zod";
import { didYouMean, fail, type Shape } from "../base/index.ts";

/**
 * `"matrices"` (two or more dimensions), `"all"`, `"none"`; patterns of names in which `*` stands for any characters and a
 * leading `!` takes out again, `["*.weight", "!wte.*"]`; or a function of name and shape.
 */
export type ParameterSelector = SelectorConfig | ((name: string, shape: Shape) => boolean);
export type SelectorConfig = z.output<typeof selectorSchema>;

export const selectorSchema = z.union([z.enum(["matrices", "all", "none"]), z.array(z.string())]);

interface Named {
  readonly name: string;
  readonly shape: Shape;
}

/** Names of the parameters chosen. Errors with `optim/selector` when a pattern matches none: it is misspelt. */
export function selectParameters(
  selector: ParameterSelector,
  parameters: readonly Named[],
  where: string,
): Set<string> {
  const chosen = new Set<string>();
  if (typeof selector === "object") {
    const names = parameters.map(({ name }) => name);
    const matches = selector.map((pattern) => ({
      takesOut: pattern.startsWith("!"),
      names: matching(pattern, names, where),
    }));
    if (matches.length > 0 && matches.every(({ takesOut }) => takesOut)) for (const name of names) chosen.add(name);
    for (const match of matches) if (!match.takesOut) for (const name of match.names) chosen.add(name);
    for (const match of matches) if (match.takesOut) for (const name of match.names) chosen.delete(name);
    return chosen;
  }
  for (const { name, shape } of parameters) {
    const takes =
      typeof selector === "function"
        ? selector(name, shape)
        : selector === "all" || (selector === "matrices" && shape.length >= 2);
    if (takes) chosen.add(name);
  }
  return chosen;
}

function matching(pattern: string, names: readonly string[], where: string): string[] {
  const text = pattern.replace(/^!/, "");
  const expression = new RegExp(`^${text.split("*").map(escapeRegExp).join(".*")}$`);
  const found = names.filter((name) => expression.test(name));
  if (found.length > 0) return found;
  const near = didYouMean(text, names);
  return fail("optim/selector", "a pattern matches no parameter", {
    where,
    expected: names.length > 6 ? `${names.slice(0, 6).join(", ")}, …` : names.join(", "),
    got: pattern,
    fix: near === undefined ? "* stands for any characters, dots included" : `did you mean ${near}?`,
  });
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
