// Entities in labels of words (B-person, I-person, O), and how well they are found: the rules of conlleval (Tjong Kim Sang 2000), which seqeval
// follows: an entity counts when its type and both its ends are right.
import { fail } from "../base/index.ts";

/** Words `start` to before `end`. */
export interface Entity {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

/**
 * Entities of one sentence's labels in IOB1, IOB2, IOE or IOBES. A label without a beginning before it, as I-x after O or after I-y, begins one.
 */
export function entitiesOf(labels: readonly string[]): Entity[] {
  const entities: Entity[] = [];
  let open: { type: string; start: number } | undefined;
  let before = "O";
  for (const [at, label] of [...labels, "O"].entries()) {
    const [place, type] = [label[0] ?? "O", label.replace(/^.-?/, "") || "_"];
    const goesOn = "IE".includes(place) && !"OES".includes(before) && open?.type === type;
    if (!goesOn) {
      if (open !== undefined) entities.push({ ...open, end: at });
      open = place === "O" ? undefined : { type, start: at };
    }
    before = place;
  }
  return entities;
}

export interface EntityScores {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  /** True entities. */
  readonly count: number;
}

/**
 * Precision, recall and F1 over all entities of all sentences (micro), 0 where there is nothing to divide by; and of each type. Errors with
 * `shape/metric` where a sentence's labels are not as many.
 */
export function entityScores(
  sentences: readonly { readonly predicted: readonly string[]; readonly truth: readonly string[] }[],
): EntityScores & { readonly types: { readonly [type: string]: EntityScores } } {
  const counts = new Map<string, { right: number; predicted: number; true: number }>();
  const of = (type: string) => counts.get(type) ?? counts.set(type, { right: 0, predicted: 0, true: 0 }).get(type)!;
  sentences.forEach(({ predicted, truth }, at) => {
    if (predicted.length !== truth.length)
      fail("shape/metric", "predictions and targets do not go together", {
        where: `entityScores, sentence ${at + 1}`,
        expected: `${truth.length} labels`,
        got: `${predicted.length} labels`,
        fix: "give one label per word",
      });
    const key = ({ type, start, end }: Entity) => `${start} ${end} ${type}`;
    const wanted = entitiesOf(truth);
    const keys = new Set(wanted.map(key));
    for (const { type } of wanted) of(type).true++;
    for (const entity of entitiesOf(predicted)) {
      of(entity.type).predicted++;
      if (keys.has(key(entity))) of(entity.type).right++;
    }
  });
  const scoresOf = (some: readonly { right: number; predicted: number; true: number }[]): EntityScores => {
    const sum = (name: "right" | "predicted" | "true") => some.reduce((total, one) => total + one[name], 0);
    const share = (of: number) => (of === 0 ? 0 : sum("right") / of);
    const [precision, recall] = [share(sum("predicted")), share(sum("true"))];
    const f1 = precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);
    return { precision, recall, f1, count: sum("true") };
  };
  const types = Object.fromEntries([...counts].sort().map(([type, one]) => [type, scoresOf([one])]));
  return { ...scoresOf([...counts.values()]), types };
}
