// Safetensors against the reference library's own file and its verdict on valid and hostile ones, and against big sizes.
// The figures come from test/golden/safetensors_files.py.

import { createHash } from "node:crypto";
import { mkdtemp, open, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import golden from "../../test/golden/safetensors_files.json" with { type: "json" };
import { AthanorError, allocate, byteSize, type DType, dtypes, type HostData, sizeOf, viewOf } from "../base/index.ts";
import { SafetensorsFile, type TensorSource, writeSafetensors } from "./index.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "athanor-safetensors-"));
});
afterAll(async () => await rm(folder, { recursive: true }));

const bytesOf = (data: HostData) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

function fromHex(dtype: DType, hex: string): HostData {
  const bytes = Uint8Array.from(Buffer.from(hex, "hex"));
  return viewOf(dtype, bytes.buffer, 0, bytes.length / byteSize(dtype));
}

const goldenTensors: TensorSource[] = golden.tensors.map(({ name, dtype, shape, hex }) => ({
  name,
  dtype: dtype as DType,
  shape,
  data: fromHex(dtype as DType, hex),
}));

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof AthanorError) return error.code;
    throw error;
  }
  return "ok";
}

async function openAndReadAll(path: string): Promise<void> {
  const file = await SafetensorsFile.open(path);
  try {
    for (const name of file.names) await file.read(name);
  } finally {
    await file.close();
  }
}

describe("the reference library", () => {
  test("its file reads back: every dtype, empty, scalar, escaped name", async () => {
    const path = join(folder, "reference.safetensors");
    await writeFile(path, Buffer.from(golden.file, "base64"));
    const file = await SafetensorsFile.open(path);
    expect([...file.names].sort()).toEqual(golden.tensors.map(({ name }) => name).sort());
    expect([...file.metadata]).toEqual([["format", "pt"]]);
    for (const { name, dtype, shape, hex } of golden.tensors) {
      const tensor = await file.read(name);
      expect({ dtype: tensor.dtype, shape: tensor.shape, hex: bytesOf(tensor.data).toString("hex") }).toEqual({
        dtype,
        shape,
        hex,
      });
    }
    await file.close();
  });

  test("our file has the same bytes as its file", async () => {
    const path = join(folder, "ours.safetensors");
    const written = await writeSafetensors(path, goldenTensors.toReversed(), { metadata: { format: "pt" } });
    const ours = await readFile(path);
    expect(ours.toString("base64")).toBe(golden.file);
    expect(written.bytes).toBe(ours.length);
    expect(written.sha256).toBe(createHash("sha256").update(ours).digest("hex"));
    for (const tensor of written.tensors) {
      const { hex } = golden.tensors.find(({ name }) => name === tensor.name)!;
      expect(tensor.sha256).toBe(createHash("sha256").update(Buffer.from(hex, "hex")).digest("hex"));
    }
  });
});

describe("hostile headers", () => {
  // where we refuse what the reference takes: a key that means two things, a dtype without a host array, and a first
  // character that the format forbids
  const stricter: Record<string, string> = {
    "duplicate key, same place": "safetensors/duplicate-key",
    "duplicate key, other place": "safetensors/duplicate-key",
    "duplicate key by escape": "safetensors/duplicate-key",
    "dtype not held here": "safetensors/dtype",
    "space before the object": "safetensors/json",
  };

  test.each(golden.vectors.map((vector) => [vector.name, vector] as const))("%s", async (name, vector) => {
    const path = join(folder, "vector.safetensors");
    await writeFile(path, Buffer.from(vector.base64, "base64"));
    const code = await codeOf(openAndReadAll(path));
    if (name in stricter) {
      expect(vector.reference).toBe("ok");
      expect(code).toBe(stricter[name]);
    } else if (vector.reference === "ok") expect(code).toBe("ok");
    else expect(code).toMatch(/^safetensors\//);
  });

  test("each kind of damage has its own code", async () => {
    const codes: Record<string, string> = {};
    for (const { name, base64 } of golden.vectors) {
      const path = join(folder, "vector.safetensors");
      await writeFile(path, Buffer.from(base64, "base64"));
      codes[name] = await codeOf(openAndReadAll(path));
    }
    expect(codes).toMatchObject({
      "length 0": "safetensors/header-length",
      "length 2^63": "safetensors/header-length",
      "length file+1": "safetensors/header-length",
      "overflow to 4 in 64 bits": "safetensors/number", // 2^62 + 1 is no exact double: refused before the product
      "overflow by product": "safetensors/overflow",
      "overflow before a zero": "safetensors/overflow",
      "dimension negative": "safetensors/number",
      "dimension float": "safetensors/number",
      "dimension 1e400": "safetensors/number",
      "end before begin": "safetensors/offsets",
      overlap: "safetensors/overlap",
      "hole in the middle": "safetensors/hole",
      "empty tensor inside another": "safetensors/overlap",
      "trailing bytes": "safetensors/trailing",
      "data cut": "safetensors/truncated",
      "unknown dtype": "safetensors/dtype",
      "not UTF-8": "safetensors/utf8",
      "deep arrays": "safetensors/depth",
      "size does not match shape": "safetensors/size",
    });
  });

  test("a million levels of nesting are refused without a stack overflow", async () => {
    const path = join(folder, "deep.safetensors");
    const header = Buffer.from(`{"a":${"[".repeat(1_000_000)}`);
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(header.length));
    await writeFile(path, Buffer.concat([prefix, header]));
    expect(await codeOf(openAndReadAll(path))).toBe("safetensors/depth");
  });

  test("a header above its memory budget is refused before it is read", async () => {
    const path = join(folder, "budget.safetensors");
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(90_000_000n);
    await writeFile(path, prefix);
    await truncate(path, 90_000_008);
    expect(await codeOf(SafetensorsFile.open(path))).toBe("safetensors/header-budget");
    expect(await codeOf(SafetensorsFile.open(path, { maxHeaderBytes: 100_000_000 }))).toBe("safetensors/json");
  });

  test("a bool byte of 2, a folder and a missing file have their codes", async () => {
    const path = join(folder, "bool.safetensors");
    await writeSafetensors(path, [{ name: "b", dtype: "bool", shape: [2], data: Uint8Array.of(1, 2) }]);
    expect(await codeOf(openAndReadAll(path))).toBe("safetensors/bool");
    expect(await codeOf(SafetensorsFile.open(folder))).toBe("checkpoint/foreign");
    expect(await codeOf(SafetensorsFile.open(join(folder, "absent")))).toBe("checkpoint/missing");
  });
});

describe("sizes", () => {
  test("offsets beyond 4 GiB: a tensor near the end of a sparse 5 GiB file", async () => {
    const path = join(folder, "big.safetensors");
    const big = 5 * 2 ** 30;
    const text = `{"a":{"dtype":"U8","shape":[${big}],"data_offsets":[0,${big}]},"z":{"dtype":"I32","shape":[2],"data_offsets":[${big},${big + 8}]}}`;
    const header = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
    const handle = await open(path, "wx");
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(header.length));
    await handle.write(Buffer.concat([prefix, header]));
    await handle.write(Buffer.from(Int32Array.of(-7, 2 ** 30).buffer), 0, 8, 8 + header.length + big);
    await handle.close();
    const file = await SafetensorsFile.open(path);
    expect([...((await file.read("z")).data as Int32Array)]).toEqual([-7, 2 ** 30]);
    expect([...((await file.readRange("z", 1, 1)) as Int32Array)]).toEqual([2 ** 30]);
    expect([...((await file.readRange("a", big - 2, 2)) as Uint8Array)]).toEqual([0, 0]);
    expect(await codeOf(file.readRange("z", 1, 2))).toBe("checkpoint/range");
    expect(await codeOf(file.readRange("z", -1, 1))).toBe("checkpoint/range");
    await file.close();
    await rm(path);
  });

  test("tensors larger than a slice and many small ones survive, read whole and by range", async () => {
    const path = join(folder, "many.safetensors");
    const tensors: TensorSource[] = [];
    for (let i = 0; i < 300; i++) {
      const dtype = dtypes[i % dtypes.length]!;
      const shape = i === 7 ? [700, 1001] : [i % 5, 3];
      const data = allocate(dtype, sizeOf(shape));
      const view = bytesOf(data);
      for (let at = 0; at < view.length; at++) view[at] = dtype === "bool" ? at & 1 : (at * 31 + i) & 0xff;
      tensors.push({ name: `t.${i}`, dtype, shape, data });
    }
    await writeSafetensors(
      path,
      tensors.map((tensor) => ({ ...tensor, data: async () => tensor.data as HostData })),
    );
    const file = await SafetensorsFile.open(path);
    for (const { name, dtype, shape, data } of tensors) {
      const { begin } = file.entry(name);
      expect((file.header.dataStart + begin) % byteSize(dtype), "aligned").toBe(0);
      const read = await file.read(name);
      expect(read.shape).toEqual(shape);
      expect(bytesOf(read.data).equals(bytesOf(data as HostData)), name).toBe(true);
      if (sizeOf(shape) < 2) continue;
      const part = await file.readRange(name, 1, sizeOf(shape) - 2);
      expect(bytesOf(part).equals(bytesOf((data as Uint8Array).subarray(1, 1 + part.length))), name).toBe(true);
    }
    await file.close();
  });
});

describe("what cannot be written", () => {
  const one = (change: Partial<TensorSource>) =>
    codeOf(
      writeSafetensors(join(folder, "never.safetensors"), [
        { name: "a", dtype: "f32", shape: [1], data: new Float32Array(1), ...change },
      ]),
    );

  test("names, types and shapes are checked before a file appears", async () => {
    expect(await one({ name: "__metadata__" })).toBe("safetensors/name");
    expect(await one({ name: "" })).toBe("safetensors/name");
    expect(await one({ name: "\ud800" })).toBe("safetensors/name");
    expect(await one({ data: new Float64Array(1) })).toBe("safetensors/data");
    expect(await one({ data: new Float32Array(2) })).toBe("safetensors/data");
    expect(await one({ shape: [-1] })).toBe("safetensors/data");
    expect(await one({ shape: [2 ** 40, 2 ** 40], data: () => new Float32Array(1) })).toBe("safetensors/overflow");
    expect(
      await codeOf(writeSafetensors(join(folder, "never.safetensors"), [goldenTensors[0]!, goldenTensors[0]!])),
    ).toBe("safetensors/duplicate-key");
    await expect(readFile(join(folder, "never.safetensors"))).rejects.toThrow("ENOENT");
    expect(await codeOf(writeSafetensors(join(folder, "absent", "x"), goldenTensors))).toBe("checkpoint/missing");
  });
});
