// Entities by conlleval's rules: the example that seqeval publishes (F1 0.5), and cases worked out by hand from its rules.
import { expect, test } from "vitest";
import { entitiesOf, entityScores } from "./entities.ts";

test.each([
  ["B-x I-x O B-y", ["x 0-2", "y 3-4"]],
  ["I-x I-x O I-y I-x", ["x 0-2", "y 3-4", "x 4-5"]], // IOB1, and a type that changes
  ["B-x B-x I-x", ["x 0-1", "x 1-3"]],
  ["B-x I-y", ["x 0-1", "y 1-2"]],
  ["S-x B-x I-x E-x I-x", ["x 0-1", "x 1-4", "x 4-5"]], // IOBES
  ["I-x E-x E-x", ["x 0-2", "x 2-3"]],
  ["O O", []],
  ["B-per-son", ["per-son 0-1"]],
  ["B I", ["_ 0-2"]],
  ["", []],
])("%s", (labels, wanted) => {
  const found = entitiesOf(labels.split(" ").filter(Boolean));
  expect(found.map(({ type, start, end }) => `${type} ${start}-${end}`)).toEqual(wanted);
});

test("an entity whose ends are not both right counts on neither side", () => {
  const sentence = (predicted: string, truth: string) => ({ predicted: predicted.split(" "), truth: truth.split(" ") });
  const scores = entityScores([
    sentence("O O B-MISC I-MISC I-MISC I-MISC O", "O O O B-MISC I-MISC I-MISC O"),
    sentence("B-PER I-PER O", "B-PER I-PER O"),
  ]);
  expect(scores).toEqual({
    ...{ precision: 0.5, recall: 0.5, f1: 0.5, count: 2 },
    types: {
      MISC: { precision: 0, recall: 0, f1: 0, count: 1 },
      PER: { precision: 1, recall: 1, f1: 1, count: 1 },
    },
  });
  expect(entityScores([sentence("B-x O", "O O")])).toMatchObject({ precision: 0, recall: 0, f1: 0, count: 0 });
  expect(entityScores([sentence("B-x B-x B-y", "B-x B-y O")])).toMatchObject({
    precision: 1 / 3,
    recall: 0.5,
    f1: 0.4,
  });
  expect(() => entityScores([sentence("O", "O O")])).toThrow("sentence 1");
});
