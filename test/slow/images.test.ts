// Acceptance on MNIST: the shipped recipe reaches 98.2 % of its test images. Not run without ATHANOR_DATA, the folder that holds img_mnist/.
import { join } from "node:path";
import { expect, test } from "vitest";
import { runCli, scratchFolder } from "../support/cli.ts";

const dataFolder = process.env.ATHANOR_DATA;
const recipe = new URL("../../recipes/mnist-mlp.yaml", import.meta.url).pathname;

test("ten epochs reach 98.2 % of the test images", async ({ skip }) => {
  if (dataFolder === undefined) skip("ATHANOR_DATA is not set: it names the folder that holds img_mnist/");
  const folder = scratchFolder();
  try {
    const file = (part: string) => join(dataFolder!, "img_mnist", `${part}-images-idx3-ubyte.gz`);
    const data = ["--set", `data.path=${file("train")}`, "--set", `data.heldOutPath=${file("t10k")}`];
    const { records, code, stderr } = await runCli(
      ["train", recipe, ...data, "--run-dir", "run", "--json"],
      folder.path,
    );
    expect(code, stderr).toBe(0);
    const last = records.filter(({ event }) => event === "eval").at(-1) as { step: number; accuracy: number };
    expect(last.step).toBe(4690);
    expect(last.accuracy).toBeGreaterThanOrEqual(0.982);
  } finally {
    folder.remove();
  }
});
