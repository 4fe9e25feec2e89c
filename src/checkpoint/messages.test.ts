// What people read when a checkpoint cannot be used: reviewed like code.
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { latestGood, loadCheckpoint, lockRun, saveCheckpoint } from "./index.ts";

let run: string;
let path: string;
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), "athanor-messages-"));
  ({ path } = await saveCheckpoint(run, {
    step: 300,
    tensors: [{ name: "h.0.attn.c_attn.weight", dtype: "f32", shape: [64, 192], data: new Float32Array(64 * 192) }],
    state: {},
    provenance: { codeVersion: "0.1.0", isa: "avx2", recipeHash: "" },
  }));
});
afterEach(async () => await rm(run, { recursive: true }));

async function messageOf(work: Promise<unknown>): Promise<string> {
  const message = await work.then(
    () => "nothing was thrown",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  return message
    .replaceAll(run, "RUN")
    .replace(/[0-9a-f]{64}/g, "HASH")
    .replace(/process \d+ on \S+ since .*/, "process PID on HOST, since TIME")
    .replace(/kill \d+/, "kill PID");
}

test("a flipped bit", async () => {
  const file = join(path, "tensors.safetensors");
  const bytes = await readFile(file);
  bytes[bytes.length - 100]! ^= 1;
  await writeFile(file, bytes);
  expect(await messageOf(loadCheckpoint(path))).toMatchInlineSnapshot(`
    "[checkpoint/hash] the bytes are not those that were saved
      at        RUN/checkpoints/step-300/tensors.safetensors, tensor "h.0.attn.c_attn.weight"
      expected  SHA-256 HASH
      got       SHA-256 HASH
      fix       use another checkpoint of this run, or copy this one again"
  `);
  expect(await messageOf(latestGood(run))).toMatchInlineSnapshot(`
    "[checkpoint/none-good] every checkpoint of this run is damaged
      at        RUN/checkpoints
      got       RUN/checkpoints/step-300: [checkpoint/hash] the bytes are not those that were saved
      fix       restore one from a copy, or start the run anew"
  `);
});

test("a file that was cut off", async () => {
  await truncate(join(path, "tensors.safetensors"), 1000);
  expect(await messageOf(loadCheckpoint(path))).toMatchInlineSnapshot(`
    "[checkpoint/truncated] a file is shorter than it was saved
      at        RUN/checkpoints/step-300/tensors.safetensors, tensor "h.0.attn.c_attn.weight"
      expected  49248 bytes
      got       1000 bytes
      fix       use another checkpoint of this run, or copy this one again"
  `);
});

test("a folder that is no checkpoint", async () => {
  expect(await messageOf(loadCheckpoint(run))).toMatchInlineSnapshot(`
    "[checkpoint/missing] there is no checkpoint here: the folder has no manifest
      at        RUN/manifest.json
      fix       give the folder of a run that has saved one, or of a checkpoint, such as RUN/checkpoints/step-300"
  `);
});

test("a damaged manifest", async () => {
  const file = join(path, "manifest.json");
  await writeFile(file, (await readFile(file, "utf8")).replace('"step": 300', '"step": 200'));
  expect(await messageOf(loadCheckpoint(path))).toMatchInlineSnapshot(`
    "[checkpoint/manifest] the manifest is damaged: it does not have the hash it states
      at        RUN/checkpoints/step-300/manifest.json
      expected  HASH
      got       HASH
      fix       use another checkpoint of this run"
  `);
});

test("a state that JSON would lose", async () => {
  const content = {
    step: 1,
    tensors: [],
    state: { schedule: { best: Number.NaN } },
    provenance: { codeVersion: "", isa: "", recipeHash: "" },
  };
  expect(await messageOf(saveCheckpoint(run, content))).toMatchInlineSnapshot(`
    "[checkpoint/state] the state holds a value that JSON cannot give back
      at        state.schedule.best
      expected  null, booleans, finite numbers, text, arrays and plain objects
      got       NaN
      fix       save it as a tensor, or as text"
  `);
});

test("a run folder in use", async () => {
  const lock = await lockRun(run);
  expect(await messageOf(lockRun(run))).toMatchInlineSnapshot(`
    "[run/locked] another run is using this folder
      at        RUN/run.lock
      got       process PID on HOST, since TIME
      fix       wait for it, stop it (kill PID), or choose another run folder"
  `);
  await lock.release();
});

test("a run folder that is gone", async () => {
  const content = { step: 1, tensors: [], state: {}, provenance: { codeVersion: "", isa: "", recipeHash: "" } };
  expect(await messageOf(saveCheckpoint(join(run, "gone"), content))).toMatchInlineSnapshot(`
    "[checkpoint/missing] saving a checkpoint: no such file or folder
      at        RUN/gone/checkpoints
      got       ENOENT: no such file or directory, mkdir 'RUN/gone/checkpoints'
      fix       check the path"
  `);
});
