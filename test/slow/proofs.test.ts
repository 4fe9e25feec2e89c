// Every proof that `athanor prove` knows, by its command. Those of speed need a machine with nothing else to do.
import { loadavg } from "node:os";
import { expect, test } from "vitest";
import { proofs } from "../../src/study/index.ts";
import { noTimings } from "../amount.ts";
import { runCli, scratchFolder } from "../support/cli.ts";

test.for(proofs.map(({ id, isLong = false }) => [id, isLong] as const))("%s", async ([id, isLong], { skip }) => {
  if (id === "par.threads" && noTimings !== undefined) skip(noTimings);
  if (isLong && noTimings !== undefined) skip("a long proof is shown in the whole run alone (npm run test:full)");
  const folder = scratchFolder();
  const load = loadavg()[0]!;
  try {
    const { code, stdout, stderr } = await runCli(["prove", id], folder.path);
    expect(code, `load ${load.toFixed(1)}\n${stdout}${stderr}`).toBe(0);
  } finally {
    folder.remove();
  }
});
