// The page of a search: well-formed, with every trial where its settings and its figure say.
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { elements } from "../../../test/support/xml.ts";
import type { Search } from "./plan.ts";
import { planSchema } from "./plan.ts";
import { searchPage } from "./search-page.ts";
import { parseSpace } from "./space.ts";
import type { Trial } from "./trials.ts";

const space = parseSpace({ "optimizer.adamw.lr": "log:1e-3..1e-1", "model.mlp.<b>": ["a", "<script>", "c"] });
const plan = planSchema.parse({
  recipe: "r&s.yaml",
  set: ["data.path=it's here.csv"],
  over: Object.fromEntries([...space.keys()].map((key) => [key, "1,2"])),
});
const search: Pick<Search, "plan" | "space" | "goal"> = { plan, space, goal: "min" };
const trial = (number: number, lr: number, kind: string, ...values: readonly number[]): Trial => ({
  trial: number,
  point: { "optimizer.adamw.lr": lr, "model.mlp.<b>": kind },
  reports: values.map((value, at) => ({ step: 10 * (at + 1), value, seconds: 3 })),
});

test("is well-formed, and fetches and runs nothing, whatever the settings are", () => {
  const page = searchPage(search, [trial(0, 0.01, "<script>", 1, 0.5), trial(1, 0.1, "a", 2)]);
  expect(elements(page).filter((name) => name === "svg")).toHaveLength(1);
  expect(elements(page)).not.toContain("script");
  expect(page).toContain("&#60;script&#62;");
  const command = /<pre>(.*)<\/pre>/.exec(page)![1]!.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code));
  const read = execFileSync("sh", ["-c", `npx() { printf '%s\\n' "$@"; }; ${command}`], { encoding: "utf8" });
  expect(read.trimEnd().split("\n")).toEqual([
    ...["athanor", "train", "r&s.yaml", "--set", "data.path=it's here.csv", "--set", "optimizer.adamw.lr=0.01"],
    ...["--set", 'model.mlp.<b>="<script>"'],
  ]);
  expect(page).toContain("Too few trials to tell.");
  expect(page).not.toMatch(/NaN|Infinity|undefined/);
});

test("a line has a place on every axis: low at the bottom, the better figure on top, failed ones without a figure", () => {
  const failed: Trial = { ...trial(2, 0.1, "c"), failure: { code: "train/non-finite", message: "a NaN" } };
  const page = searchPage(search, [trial(0, 0.01, "<script>", 1, 0.5), trial(1, 0.1, "a", 2), failed]);
  // axes at 70, 220 and 370, from 34 (top) to 288
  expect(page).toContain('class="best" d="M70 161L220 161L370 34"');
  expect(page).toContain('d="M70 34L220 288L370 288"');
  expect(page).toContain('class="failed" d="M70 34L220 34"');
  expect(page).toContain("Best: trial 0, loss 0.5 after 20 steps.");
  expect(page).toContain("failed: a NaN");
});

test("importance is drawn with what chance gives", () => {
  const trials = Array.from({ length: 12 }, (_, at) => trial(at, 10 ** (-3 + at / 6), "a", at));
  const page = searchPage(search, trials);
  expect(elements(page).filter((name) => name === "rect")).toHaveLength(2);
  expect(page).toMatch(/optimizer\.adamw\.lr<\/text><rect class="bar" x="260" y="5" width="2\d\d/);
  expect(page).toContain('width="0" height="16"'); // all have the same kind
});
