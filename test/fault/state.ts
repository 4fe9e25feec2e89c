// The state that the fault tests save: a function of the step alone, so that what is found can be told from what was meant.
import { RandomStream } from "../../src/base/index.ts";
import type { Checkpoint, CheckpointContent, TensorSource } from "../../src/checkpoint/index.ts";

/** 4 tensors of `rows` × 16 f32, a bf16 one and a count. */
export function stateAt(step: number, rows = 64): CheckpointContent {
  const random = new RandomStream(step, "fault");
  const tensors: TensorSource[] = ["h.0.weight", "h.1.weight", "adam.m.h.0.weight", "adam.v.h.0.weight"].map(
    (name, row) => ({
      name,
      dtype: "f32",
      shape: [rows, 16],
      data: Float32Array.from({ length: rows * 16 }, (_, i) => random.uniform(i, row)),
    }),
  );
  tensors.push({
    name: "e",
    dtype: "bf16",
    shape: [33],
    data: Uint16Array.from({ length: 33 }, (_, i) => random.word(i, 9)),
  });
  tensors.push({ name: "count", dtype: "i64", shape: [], data: BigInt64Array.of(BigInt(step)) });
  return {
    step,
    tensors,
    state: { clock: { step, samples: step * 12 } },
    files: { "recipe.yaml": `# step ${step}\nsteps: 300\n` },
    provenance: { codeVersion: "0.1.0", isa: "portable", recipeHash: "00" },
  };
}

/** Why a loaded checkpoint is not the state of its step; `undefined` when it is. */
export function difference(loaded: Checkpoint, rows = 64): string | undefined {
  const wanted = stateAt(loaded.step, rows);
  if (JSON.stringify(loaded.state) !== JSON.stringify(wanted.state)) return "state";
  for (const { name, dtype, shape, data } of wanted.tensors) {
    const got = loaded.tensors.get(name);
    if (got?.dtype !== dtype || String(got.shape) !== String(shape) || typeof data === "function") return name;
    if (!Buffer.from(got.data.buffer).equals(Buffer.from(data.buffer))) return name;
  }
  return undefined;
}
