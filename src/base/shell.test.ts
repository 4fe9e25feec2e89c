// What a shell makes of the words of a command.
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { shellWord } from "./shell.ts";

test("a shell reads words back whole", () => {
  for (const word of ["plain-1.0", "two words", "it's", '$HOME `x` "y"', "lr={ a: 1 }", ""])
    expect(execFileSync("sh", ["-c", `printf %s ${shellWord(word)}`], { encoding: "utf8" })).toBe(word);
  expect(shellWord("runs/a-1")).toBe("runs/a-1");
});
