// The status line on a terminal and on a pipe: what it writes, byte for byte apart from the clock.
import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { StepEvent } from "../track/index.ts";
import { StatusLine } from "./status-line.ts";

let written: string[];
let now: number;
beforeEach(() => {
  written = [];
  now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

function statusLine(isTTY: boolean, columns = 200): StatusLine {
  const stream = { isTTY, columns, write: (text: string) => written.push(text) > 0 } as NodeJS.WriteStream;
  return new StatusLine({ steps: 100, flopsPerStep: 1e9, peakFlopsPerSecond: 2e9, stream });
}

const step = (at: number, loss: number): StepEvent => ({
  type: "step",
  step: at,
  loss,
  lr: 0.001,
  gradNorm: 1,
  tokens: at * 64,
  tokensPerSecond: 12_345,
});

/** Without the codes of a terminal: rewriting shows as a carriage return. */
const plain = () => written.map((text) => stripVTControlCharacters(text));

test("on a pipe: plain lines now and then, and the last step", () => {
  const line = statusLine(false);
  line.event(step(1, 2));
  now = 1000;
  line.event(step(2, 1)); // too soon
  now = 6000;
  line.event(step(3, 1));
  now = 6001;
  line.event(step(100, 1));
  line.end();
  expect(plain()).toEqual([
    "step 1/100  loss 2.0000 (2.0000)  lr 1.00e-3  12.3 k/s\n",
    // a second, then five: 0.95 · 1 + 0.05 · 5 = 1.2 seconds per step
    "step 3/100  loss 1.0000 (1.9604)  lr 1.00e-3  12.3 k/s  42% of peak  1m 56s left\n",
    expect.stringMatching(/^step 100\/100 .* 0ms left\n$/),
  ]);
});

test("on a terminal: one line that is rewritten, cut to its width, and lines above it", () => {
  const line = statusLine(true, 20);
  line.event(step(1, 2));
  line.event({ type: "eval", step: 1, loss: 1.5, perplexity: 4.4817, metrics: { accuracy: 0.5 } });
  now = 200;
  line.event(step(2, 2));
  line.event({ type: "checkpoint", step: 2, path: "runs/a" });
  now = 400;
  line.event(step(3, 2));
  line.end();
  line.end();
  const clear = "\r";
  expect(plain()).toEqual([
    `${clear}step 1/100  loss 2.`,
    `${clear}step 1  held-out loss 1.5000  perplexity 4.48  accuracy 0.5000\n`,
    `${clear}step 2/100  loss 2.`,
    `${clear}step 2  saved runs/a\n`,
    `${clear}step 3/100  loss 2.`,
    "\n",
  ]);
});

test("a step that was left out for its NaN does not spoil the smoothed loss", () => {
  const line = statusLine(false);
  line.event(step(1, 2));
  line.event(step(2, Number.NaN));
  now = 6000;
  line.event(step(3, 2));
  expect(plain()[1]).toContain("loss 2.0000 (2.0000)");
});

test("a sample goes on from its prompt, and an empty line shows nothing", () => {
  const line = statusLine(false);
  line.event({ type: "sample", step: 0, prompt: "Once upon", text: " a time" });
  line.event({ type: "sample", step: 9, prompt: "\n", text: "A new line" });
  expect(plain()).toEqual(["step 0  sample:\nOnce upon a time\n\n", "step 9  sample:\nA new line\n\n"]);
});

test("an evaluation without perplexity shows none", () => {
  statusLine(false).event({ type: "eval", step: 1, loss: 2, metrics: { meanAbsoluteError: 1 } });
  expect(plain()).toEqual(["step 1  held-out loss 2.0000  meanAbsoluteError 1.0000\n"]);
});

test("a run faster than the measured peak is at 100 % of what it reached itself", () => {
  const line = statusLine(false);
  line.event(step(1, 2));
  now = 5000;
  line.event(step(31, 2)); // 6 GFLOP/s where 2 were measured
  now = 10_000;
  line.event(step(61, 2));
  now = 70_000;
  line.event(step(62, 2)); // 0.95 / 6 + 0.05 · 60 = 3.158 s: 0.317 of 6 GFLOP/s
  expect(plain().map((text) => /\d+% of peak/.exec(text)?.[0])).toEqual([
    undefined,
    "100% of peak",
    "100% of peak",
    "5% of peak",
  ]);
});
