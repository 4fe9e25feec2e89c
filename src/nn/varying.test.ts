// Courses inside a trace: one scalar feed each, and what layers and losses make of its value, against PyTorch's figures.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { prepare } from "../../test/support/run-reference.ts";
import { type Course, clockStart, fromNumbers, valueAt } from "../base/index.ts";
import { courseOfFeed, gradients, markOutput, trace, varying } from "../core/index.ts";
import { crossEntropy, Dropout } from "./index.ts";

const { smoothing } = JSON.parse(readFileSync("test/golden/courses.json", "utf8")) as {
  smoothing: {
    course: Course;
    logits: number[][];
    target: number[];
    records: { step: number; loss: number; grad: number[] }[];
  };
};

test("one feed for each course, however often it is asked for, which tells what it is", () => {
  const rise: Course = { linear: { from: 0, to: 1, start: 0, end: 10, unit: "samples" } };
  const graph = trace({ x: { dtype: "f32", shape: [2] } }, ({ x }) =>
    x
      .mul(varying(rise))
      .add(varying({ ...rise }))
      .add(varying(0.5)),
  );
  const feeds = graph.nodes
    .filter(({ op }) => op.name === "input")
    .map(({ attrs }) => (attrs as { name: string }).name);
  expect(feeds.filter((name) => courseOfFeed(name) !== undefined)).toHaveLength(1);
  expect(courseOfFeed(feeds.at(-1)!)).toEqual(rise);
  expect(courseOfFeed("x")).toBeUndefined();
});

test("label smoothing that changes has PyTorch's losses and gradients at each step", () => {
  const { course, logits, target, records } = smoothing;
  const shape = [logits.length, logits[0]!.length];
  const graph = trace(
    { logits: { dtype: "f64", shape }, target: { dtype: "i32", shape: [target.length] } },
    (given) => {
      const loss = crossEntropy(given.logits, given.target, { labelSmoothing: course });
      const [grad] = gradients([loss], [given.logits]);
      markOutput("grad", grad!);
      return { loss };
    },
    { floatDType: "f64" },
  );
  const program = prepare(graph);
  for (const { step, loss, grad } of records) {
    const smoothed = fromNumbers("f64", [], [valueAt(course, { ...clockStart, step })]);
    const feeds = {
      logits: fromNumbers("f64", shape, logits.flat()),
      target: fromNumbers("i32", [target.length], target),
      [`course ${JSON.stringify(course)}`]: smoothed,
    };
    const found = program(feeds);
    assertClose(found.loss!, [loss], { absolute: 1e-14, what: "loss" });
    assertClose(found.grad!, grad, { absolute: 1e-14, what: "grad" });
  }
});

test("dropout whose rate changes drops what dropout of that rate does", () => {
  const course: Course = { piecewise: { values: [0.2, 0.7, 0], boundaries: [5, 9], unit: "steps" } };
  const layer = (rate: number | Course) =>
    prepare(
      trace(
        {
          x: { dtype: "f64", shape: [3, 40] },
          key: { dtype: "i32", shape: [3] },
          rows: { dtype: "i32", shape: [3] },
        },
        ({ x }) => new Dropout(rate).forward(x),
        { mode: "train", floatDType: "f64", random: ({ key, rows }) => ({ key: key!, rows: rows! }) },
      ),
    );
  const varied = layer(course);
  for (const [step, rate] of [
    [0, 0.2],
    [5, 0.7],
    [9, 0],
  ] as const) {
    const feeds = {
      x: fromNumbers(
        "f64",
        [3, 40],
        Array.from({ length: 120 }, (_, at) => at + 1),
      ),
      key: fromNumbers("i32", [3], [1, 2, step]),
      rows: fromNumbers("i32", [3], [4, 5, 6]),
    };
    const value = fromNumbers("f64", [], [valueAt(course, { ...clockStart, step })]);
    const { result } = varied({ ...feeds, [`course ${JSON.stringify(course)}`]: value });
    expect(result).toEqual(layer(rate)(feeds).result);
  }
  expect(() => new Dropout({ piecewise: { values: [0.2, 1], boundaries: [5], unit: "steps" } })).toThrow(
    /nn\/dropout[\s\S]*0\.2, 1/,
  );
});
