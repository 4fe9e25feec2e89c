// Saving, finding, falling back, keeping: in one process. Crashes and disk errors are in test/pure and test/slow.
import { createHash } from "node:crypto";
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AthanorError, RandomStream } from "../base/index.ts";
import {
  type CheckpointContent,
  findCheckpoints,
  latestGood,
  loadCheckpoint,
  loadLatest,
  type SavePolicy,
  saveCheckpoint,
  scanCheckpoints,
  stateHash,
  type TensorSource,
  verifyCheckpoint,
} from "./index.ts";
import { processSpace } from "./process-identity.ts";

let run: string;
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), "athanor-checkpoint-"));
});
afterEach(async () => await rm(run, { recursive: true }));

/** A small state that differs from step to step: 3 parameters, 2 slots, a bool and a 64-bit count. */
function tensorsAt(step: number): TensorSource[] {
  const random = new RandomStream(step, "test");
  const floats = (count: number, row: number) => Float32Array.from({ length: count }, (_, i) => random.uniform(i, row));
  return [
    { name: "h.0.weight", dtype: "f32", shape: [40, 30], data: floats(1200, 0) },
    { name: "h.0.bias", dtype: "f32", shape: [30], data: floats(30, 1) },
    {
      name: "embedding",
      dtype: "bf16",
      shape: [17, 3],
      data: Uint16Array.from({ length: 51 }, (_, i) => random.word(i, 2)),
    },
    { name: "adam.m.h.0.weight", dtype: "f32", shape: [40, 30], data: floats(1200, 3) },
    { name: "adam.v.h.0.weight", dtype: "f32", shape: [40, 30], data: floats(1200, 4) },
    { name: "mask", dtype: "bool", shape: [5], data: Uint8Array.of(1, 0, 1, 0, 1) },
    { name: "count", dtype: "i64", shape: [], data: BigInt64Array.of(BigInt(step) << 40n) },
  ];
}

function contentAt(step: number, metrics: Record<string, number> = {}): CheckpointContent {
  return {
    step,
    tensors: tensorsAt(step),
    state: { clock: { step, samples: step * 12 }, loader: { epoch: 0, cursor: [step, 1] }, name: "火" },
    files: { "recipe.yaml": "steps: 300\n", "tokenizer.json": Buffer.from("{}") },
    provenance: { codeVersion: "0.1.0", isa: "avx2", recipeHash: "ab".repeat(32) },
    metrics,
  };
}

const save = (step: number, policy: SavePolicy = {}, metrics: Record<string, number> = {}) =>
  saveCheckpoint(run, contentAt(step, metrics), policy);

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof AthanorError) return error.code;
    throw error;
  }
  return "ok";
}

const listed = async () => (await readdir(join(run, "checkpoints"))).sort();

async function expectHolds(path: string, step: number): Promise<void> {
  const loaded = await loadCheckpoint(path);
  expect(loaded.step).toBe(step);
  expect(loaded.state).toEqual(contentAt(step).state);
  const wanted = tensorsAt(step);
  expect([...loaded.tensors.keys()].sort()).toEqual(wanted.map(({ name }) => name).sort());
  for (const { name, dtype, shape, data } of wanted) expect(loaded.tensors.get(name)).toEqual({ dtype, shape, data });
}

describe("save and load", () => {
  test("gives back tensors, state and files, and says what it wrote", async () => {
    const saved = await save(6);
    expect(saved.path).toBe(join(run, "checkpoints", "step-6"));
    expect(saved.problems).toEqual([]);
    await expectHolds(saved.path, 6);
    const { files, manifest } = await loadCheckpoint(saved.path);
    expect([...files].map(([name, bytes]) => [name, Buffer.from(bytes).toString()])).toEqual([
      ["recipe.yaml", "steps: 300\n"],
      ["tokenizer.json", "{}"],
    ]);
    expect(manifest.provenance).toEqual({
      codeVersion: "0.1.0",
      isa: "avx2",
      recipeHash: "ab".repeat(32),
      worldSize: 1,
    });
    for (const { name, bytes, sha256 } of manifest.files) {
      const content = await readFile(join(saved.path, name));
      expect([content.length, createHash("sha256").update(content).digest("hex")]).toEqual([bytes, sha256]);
    }
    expect(await listed()).toEqual(["latest", "step-6"]);
    expect(await readFile(join(run, "checkpoints", "latest"), "utf8")).toBe("step-6\n");
  });

  test("the manifest is JSON that other tools read", async () => {
    const { path } = await save(6);
    const { manifest } = JSON.parse(await readFile(join(path, "manifest.json"), "utf8"));
    expect([manifest.format, manifest.version, manifest.step, manifest.tensors.length]).toEqual([
      "athanor-checkpoint",
      1,
      6,
      7,
    ]);
  });

  test("reads only what is asked for, and does not touch the rest", async () => {
    const { path } = await save(6, { shardBytes: 4000 });
    const bare = join(run, "elsewhere, and renamed");
    await cp(path, bare, { recursive: true });
    const loaded = await loadCheckpoint(bare, { only: (name) => !name.startsWith("adam.") });
    expect([...loaded.tensors.keys()].sort()).toEqual(["count", "embedding", "h.0.bias", "h.0.weight", "mask"]);
  });

  test("divides into shards by name, a larger tensor alone", async () => {
    const { path } = await save(6, { shardBytes: 5000 });
    expect((await readdir(path)).filter((name) => name.endsWith(".safetensors")).length).toBe(3);
    await expectHolds(path, 6);
    const again = await save(7, { shardBytes: 1 });
    expect((await readdir(again.path)).filter((name) => name.endsWith(".safetensors"))).toContain(
      "tensors-00007-of-00007.safetensors",
    );
    await expectHolds(again.path, 7);
  });

  test("a second save waits for the first", async () => {
    const saved = await Promise.all([save(1), save(2), save(3)]);
    expect(saved.map(({ step }) => step)).toEqual([1, 2, 3]);
    expect((await findCheckpoints(run)).map(({ step }) => step)).toEqual([1, 2, 3]);
  });

  test("the same state of the same step is kept once; another one stands beside it and comes after it", async () => {
    const first = await save(5);
    expect((await save(5)).path).toBe(first.path);
    const other = await saveCheckpoint(run, { ...contentAt(5), tensors: tensorsAt(50) });
    expect(other.path).toBe(join(run, "checkpoints", "step-5-2"));
    expect((await latestGood(run))?.path).toBe(other.path);
    expect(await listed()).toEqual(["latest", "step-5", "step-5-2"]);
  });

  test("refuses what JSON would lose, foreign file names, a bad step, and leaves nothing behind", async () => {
    const refused = (change: Partial<CheckpointContent>) => codeOf(saveCheckpoint(run, { ...contentAt(1), ...change }));
    expect(await refused({ state: { lr: Number.NaN } })).toBe("checkpoint/state");
    expect(await refused({ state: { at: new Date(0) } })).toBe("checkpoint/state");
    expect(await refused({ state: [undefined] })).toBe("checkpoint/state");
    expect(await refused({ state: { big: 1n } })).toBe("checkpoint/state");
    expect(await refused({ files: { "../x": "" } })).toBe("checkpoint/file");
    expect(await refused({ files: { "manifest.json": "" } })).toBe("checkpoint/file");
    expect(await refused({ files: { "state.json": "" } })).toBe("checkpoint/file");
    expect(await refused({ step: -1 })).toBe("checkpoint/step");
    expect(await refused({ step: 1.5 })).toBe("checkpoint/step");
    expect(await refused({ tensors: [...tensorsAt(1), tensorsAt(1)[0]!] })).toBe("safetensors/duplicate-key");
    const failing: TensorSource = {
      name: "z",
      dtype: "f32",
      shape: [1],
      data: () => Promise.reject(new Error("engine gone")),
    };
    await expect(saveCheckpoint(run, { ...contentAt(1), tensors: [...tensorsAt(1), failing] })).rejects.toThrow(
      "engine gone",
    );
    expect(await listed()).toEqual([]);
    await save(1);
    expect((await latestGood(run))?.step).toBe(1);
  });
});

describe("find", () => {
  test("orders by step, never by name or clock", async () => {
    for (const step of [1000, 90, 9, 300]) await save(step, { keep: 10 });
    expect((await findCheckpoints(run)).map(({ step }) => step)).toEqual([9, 90, 300, 1000]);
    expect((await latestGood(run))?.step).toBe(1000);
  });

  test("an empty run has none; a run with nothing but damage is an error", async () => {
    expect(await findCheckpoints(run)).toEqual([]);
    expect(await latestGood(run)).toBeUndefined();
    const { path } = await save(3);
    await truncate(join(path, "tensors.safetensors"), 100);
    expect(await codeOf(latestGood(run))).toBe("checkpoint/none-good");
    expect(await codeOf(loadLatest(run))).toBe("checkpoint/none-good");
  });

  test("falls back to the previous good one and says what it skipped", async () => {
    for (const step of [1, 2, 3, 4]) await save(step, { keep: 9 });
    const at = (step: number) => join(run, "checkpoints", `step-${step}`);
    await rm(join(at(4), "manifest.json"));
    const shard = await readFile(join(at(3), "tensors.safetensors"));
    shard[shard.length - 9]! ^= 4;
    await writeFile(join(at(3), "tensors.safetensors"), shard);
    const found = await loadLatest(run);
    expect(found?.checkpoint.step).toBe(2);
    expect(found?.skipped.map(({ path, error }) => [path, error.code])).toEqual([
      [at(4), "checkpoint/missing"],
      [at(3), "checkpoint/hash"],
    ]);
    expect((await latestGood(run))?.skipped.length).toBe(2);
    expect(found?.skipped[1]?.error.where).toContain(join(at(3), "tensors.safetensors"));
    expect(found?.skipped[1]?.error.where).toMatch(/tensor ".+"/);
    // and saving the same steps again works beside the damage, without touching it
    expect((await save(3, { keep: 9 })).path).toBe(`${at(3)}-2`);
    expect((await latestGood(run))?.path).toBe(`${at(3)}-2`);
  });

  test("a folder under another step's name, a file and foreign folders are not checkpoints", async () => {
    const { path } = await save(3);
    await cp(path, join(run, "checkpoints", "step-9"), { recursive: true });
    await writeFile(join(run, "checkpoints", "step-10"), "");
    await mkdir(join(run, "checkpoints", "step-11"));
    await mkdir(join(run, "checkpoints", "step-012"));
    await mkdir(join(run, "checkpoints", "mine"));
    const { checkpoints, broken } = await scanCheckpoints(run);
    expect(checkpoints.map(({ name }) => name)).toEqual(["step-3"]);
    expect(broken.map(({ error }) => error.code)).toEqual([
      "checkpoint/foreign",
      "checkpoint/path",
      "checkpoint/missing",
    ]);
  });
});

describe("damage has a code that says what and where", () => {
  const damaged = async (name: string, change: (bytes: Buffer) => Buffer | undefined) => {
    const { path } = await save(6);
    const file = join(path, name);
    const bytes = change(await readFile(file));
    if (bytes === undefined) await rm(file);
    else await writeFile(file, bytes);
    try {
      await loadCheckpoint(path);
    } catch (error) {
      if (!(error instanceof AthanorError)) throw error;
      expect(error.where).toContain(name);
      expect(await codeOf(verifyCheckpoint(path))).toBe(error.code);
      return error;
    }
    throw new Error("nothing was noticed");
  };
  const flip = (at: number) => (bytes: Buffer) => {
    bytes[at < 0 ? bytes.length + at : at]! ^= 1;
    return bytes;
  };

  test("a tensor's bytes", async () => {
    const error = await damaged("tensors.safetensors", flip(-2));
    expect(error.code).toBe("checkpoint/hash");
    expect(error.where).toContain('tensor "mask"');
  });
  test("a header's padding", async () =>
    expect((await damaged("tensors.safetensors", flip(20))).where).toContain("header"));
  test("cut, naming the tensor", async () => {
    const error = await damaged("tensors.safetensors", (bytes) => bytes.subarray(0, bytes.length - 3));
    expect([error.code, error.where?.includes('tensor "mask"')]).toEqual(["checkpoint/truncated", true]);
  });
  test("grown", async () =>
    expect((await damaged("tensors.safetensors", (bytes) => Buffer.concat([bytes, Buffer.of(0)]))).code).toBe(
      "checkpoint/size",
    ));
  test("missing file", async () =>
    expect((await damaged("tensors.safetensors", () => undefined)).code).toBe("checkpoint/missing"));
  test("state", async () => expect((await damaged("state.json", flip(5))).code).toBe("checkpoint/hash"));
  test("manifest missing", async () =>
    expect((await damaged("manifest.json", () => undefined)).code).toBe("checkpoint/missing"));
  test("manifest flipped", async () =>
    expect((await damaged("manifest.json", flip(200))).code).toBe("checkpoint/manifest"));
  test("manifest of something else", async () =>
    expect((await damaged("manifest.json", () => Buffer.from("{}"))).code).toBe("checkpoint/foreign"));
  test("a manifest of a later format", async () => {
    const later = (bytes: Buffer) => {
      const body = bytes.toString().replace(/^.*\n/, "").replace('"version": 1', '"version": 2');
      return Buffer.from(`{"sha256":"${createHash("sha256").update(body).digest("hex")}","manifest":\n${body}`);
    };
    expect((await damaged("manifest.json", later)).code).toBe("checkpoint/version");
  });
  test.each([
    ["a file outside", '"name":"state.json"', '"name":"../state.json"'],
    ["a size that does not fit the shape", '"shape":[5]', '"shape":[6]'],
    ["a negative dimension", '"shape":[5]', '"shape":[-5]'],
    ["a hole", /"begin":\d{2,}/, '"begin":1'],
    ["a dtype", '"dtype":"bool"', '"dtype":"bit"'],
    ["an unlisted file", '"file":"tensors.safetensors"', '"file":"other.safetensors"'],
    ["a name twice", '"name":"mask"', '"name":"count"'],
  ])("a made-up manifest with %s", async (_, from, to) => {
    const forge = (bytes: Buffer) => {
      const body = bytes.toString().replace(/^.*\n/, "").replace(from, to);
      return Buffer.from(`{"sha256":"${createHash("sha256").update(body).digest("hex")}","manifest":\n${body}`);
    };
    expect((await damaged("manifest.json", forge)).code).toBe("checkpoint/manifest");
  });

  test("no such folder, and a folder that is none", async () => {
    expect(await codeOf(loadCheckpoint(join(run, "absent")))).toBe("checkpoint/missing");
    await writeFile(join(run, "file"), "");
    expect(await codeOf(loadCheckpoint(join(run, "file")))).toBe("checkpoint/path");
  });
});

describe("what stays", () => {
  const steps = async () => (await findCheckpoints(run)).map(({ step }) => step);

  test("the last k", async () => {
    for (let step = 1; step <= 6; step++) await save(step, { keep: 3 });
    expect(await steps()).toEqual([4, 5, 6]);
  });

  test("never fewer than two, also when one is asked for", async () => {
    for (let step = 1; step <= 4; step++) await save(step, { keep: 1 });
    expect(await steps()).toEqual([3, 4]);
  });

  test("and the best k by a figure, either way round", async () => {
    const losses = [5, 1, 4, 2, 3, 9, 8];
    for (const [i, loss] of losses.entries())
      await save(i + 1, { keep: 2, best: { metric: "evalLoss", mode: "min", keep: 2 } }, { evalLoss: loss });
    expect(await steps()).toEqual([2, 4, 6, 7]);
    await save(8, { keep: 2, best: { metric: "evalLoss", mode: "max", keep: 1 } }, { evalLoss: 0 });
    expect(await steps()).toEqual([6, 7, 8]);
  });

  test("and that of a step which is asked for, though another has the same figure", async () => {
    const best = { metric: "evalLoss", mode: "min", keep: 1 } as const;
    for (let step = 1; step <= 6; step++)
      await save(step, { keep: 2, best, steps: [2] }, { evalLoss: Math.max(0, 4 - step) });
    expect(await steps()).toEqual([2, 5, 6]);
  });

  test("a figure that is not finite does not stop a save and is never the best", async () => {
    for (const [i, loss] of [3, Number.NaN, Number.NEGATIVE_INFINITY, 4, 5].entries())
      await save(i + 1, { keep: 2, best: { metric: "evalLoss", mode: "min", keep: 1 } }, { evalLoss: loss });
    expect(await steps()).toEqual([1, 4, 5]);
  });

  test("a damaged one does not count as good: an older good one stays for it", async () => {
    for (const step of [1, 2, 3]) await save(step, { keep: 3 });
    const moved = join(run, "moved"); // as another process would meet it, which did not verify step 3 itself
    await cp(join(run, "checkpoints"), join(moved, "checkpoints"), { recursive: true });
    const shard = join(moved, "checkpoints", "step-3", "tensors.safetensors");
    const bytes = await readFile(shard);
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(shard, bytes);
    await saveCheckpoint(moved, contentAt(4), { keep: 2 });
    expect((await findCheckpoints(moved)).map(({ step }) => step)).toEqual([2, 3, 4]);
    await saveCheckpoint(moved, contentAt(5), { keep: 2 });
    expect((await findCheckpoints(moved)).map(({ step }) => step)).toEqual([4, 5]);
  });

  test("nothing is deleted, damaged ones neither, while the new one is the only good one", async () => {
    for (const step of [1, 2]) await save(step);
    const moved = join(run, "moved");
    await cp(join(run, "checkpoints"), join(moved, "checkpoints"), { recursive: true });
    for (const step of [1, 2]) {
      const shard = join(moved, "checkpoints", `step-${step}`, "tensors.safetensors");
      await writeFile(shard, Buffer.concat([(await readFile(shard)).subarray(0, -1), Buffer.of(7)]));
    }
    await saveCheckpoint(moved, contentAt(3), { keep: 1 });
    expect((await findCheckpoints(moved)).map(({ step }) => step)).toEqual([1, 2, 3]);
  });

  test("what is not recognised is never deleted; leftovers of dead writers are", async () => {
    await save(1);
    const folder = join(run, "checkpoints");
    const dead = ".tmp-2-999999999.1.";
    const space = "00000000";
    await mkdir(join(folder, `${dead}${processSpace()}.00000000`)); // no such process here: its leftover
    await mkdir(join(folder, `.tmp-3-${process.pid}.1.${processSpace()}.00000000`)); // our id, but of an earlier process
    await mkdir(join(folder, ".tmp-mine"));
    await mkdir(join(folder, `${dead}${space}.00000000`)); // another machine's: cannot be judged from here
    await mkdir(join(folder, "step-0"));
    await writeFile(join(folder, "notes.txt"), "");
    for (let step = 2; step < 6; step++) await save(step, { keep: 2 });
    expect(await listed()).toEqual(
      [`${dead}${space}.00000000`, ".tmp-mine", "latest", "notes.txt", "step-0", "step-4", "step-5"].sort(),
    );
  });
});

describe("stateHash", () => {
  test("is SHA-256 over name, dtype, shape and bytes in name order", async () => {
    const a = { name: "b", dtype: "f32", shape: [2], data: Float32Array.of(1, 2) } as const;
    const b = { name: "a", dtype: "u8", shape: [], data: Uint8Array.of(7) } as const;
    const text = createHash("sha256").update('"a" u8[]\n').update(Buffer.of(7)).update('"b" f32[2]\n');
    const expected = text.update(Buffer.from(a.data.buffer)).digest("hex");
    expect(await stateHash([a, b])).toBe(expected);
    expect(await stateHash([b, { ...a, data: async () => a.data }])).toBe(expected);
    expect(await stateHash([b, { ...a, shape: [2, 1] }])).not.toBe(expected);
    expect(await stateHash([b, { ...a, name: "c" }])).not.toBe(expected);
    expect(await stateHash([b, { ...a, data: Float32Array.of(1, -2) }])).not.toBe(expected);
  });

  test("survives a save", async () => {
    const { path } = await save(12);
    const { tensors } = await loadCheckpoint(path);
    const loaded = [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
    expect(await stateHash(loaded)).toBe(await stateHash(tensorsAt(12)));
  });
});

test("the JavaScript thread stays free while a large state is saved, verified and hashed", async () => {
  const data = new Float32Array(12 * 2 ** 20).fill(0.5); // 48 MiB
  const tensors: TensorSource[] = [{ name: "w", dtype: "f32", shape: [data.length], data }];
  // counted in turns of the event loop, not in time, which a busy machine stretches: one turn at least for each MiB
  let turns = 0;
  let running = true;
  const turn = () => {
    turns++;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  await saveCheckpoint(run, { ...contentAt(1), tensors });
  expect(turns).toBeGreaterThan(2 * 48); // written, then read back
  turns = 0;
  await stateHash(tensors);
  expect(turns).toBeGreaterThanOrEqual(48);
  turns = 0;
  await loadCheckpoint(join(run, "checkpoints", "step-1"));
  expect(turns).toBeGreaterThanOrEqual(48);
  running = false;
});

test("appended bytes to a small file are noticed", async () => {
  const { path } = await save(2);
  await appendFile(join(path, "recipe.yaml"), "#");
  expect(await codeOf(loadCheckpoint(path))).toBe("checkpoint/size");
});
