// The first rows that a recipe trains a language model on, as text: what is learnt of them, what is only read, where documents meet.
import { fail, type HostArray, toNumbers } from "../base/index.ts";
import type { Tokenizer } from "../data/index.ts";
import { prepare, type Recipe } from "../recipe/index.ts";

/** A stretch of a document whose tokens are all learnt, or all only read. */
export interface PreviewPart {
  readonly text: string;
  readonly tokens: number;
  readonly trained: boolean;
}

/** A row of the batch; of one that is not packed, a single document. */
export interface PreviewRow {
  readonly documents: readonly (readonly PreviewPart[])[];
  /** Positions of the row, and those of them that hold a token. */
  readonly context: number;
  readonly filled: number;
}

/** The first `rows` rows in the order of training. Errors with `data/preview` for other than language models, and those of the data. */
export async function previewRecipe(
  recipe: Recipe,
  { rows = 3, onNote }: { readonly rows?: number; readonly onNote?: (text: string) => void } = {},
): Promise<PreviewRow[]> {
  const prepared = await prepare(recipe, onNote === undefined ? {} : { onNote });
  try {
    const { tokenizer, source, description } = prepared;
    const isText = description.task.name === "language-model" && recipe.loss?.grpo === undefined; // which is yet to be written
    const batch = isText ? await source.next(rows, []) : {};
    if (tokenizer === undefined || batch.tokens === undefined || batch.targets?.shape.length !== 2)
      return fail("data/preview", "these rows are not texts that are learnt token by token", {
        where: "data",
        expected: "texts or conversations of a language model",
        got: prepared.label,
        fix: "look at the rows in their file",
      });
    return Array.from({ length: rows }, (_, row) => {
      const cells = (array: HostArray) => {
        const context = array.shape[1]!;
        return Array.from(toNumbers(array).subarray(row * context, (row + 1) * context));
      };
      const { tokens, targets, documents } = batch;
      return readRow(tokenizer, cells(tokens!), cells(targets!), documents && cells(documents));
    });
  } finally {
    await prepared.close?.();
  }
}

function readRow(tokenizer: Tokenizer, tokens: number[], targets: number[], documents?: number[]): PreviewRow {
  const isPadding = (at: number) =>
    documents === undefined ? tokens[at] === 0 && targets[at] === -1 : documents[at] === -1;
  const filled = tokens.findLastIndex((_, at) => !isPadding(at)) + 1;
  const starts = tokens.flatMap((_, at) =>
    at < filled && (at === 0 || (documents !== undefined && documents[at] !== documents[at - 1])) ? [at] : [],
  );
  return {
    context: tokens.length,
    filled,
    documents: starts.map((start, at) => {
      const end = starts[at + 1] ?? filled;
      const last = targets[end - 1]!; // a document's last token is a target alone
      const ids = [...tokens.slice(start, end), ...(last === -1 ? [] : [last])];
      return partsOf(tokenizer, ids, (place) => place > 0 && targets[start + place - 1] !== -1);
    }),
  };
}

function partsOf(tokenizer: Tokenizer, ids: readonly number[], isTrained: (place: number) => boolean): PreviewPart[] {
  const parts: PreviewPart[] = [];
  for (let from = 0; from < ids.length; ) {
    const trained = isTrained(from);
    let to = from + 1;
    while (to < ids.length && isTrained(to) === trained) to++;
    parts.push({ text: tokenizer.decode(ids.slice(from, to)), tokens: to - from, trained });
    from = to;
  }
  return parts;
}
