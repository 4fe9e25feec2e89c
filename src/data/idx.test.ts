// IDX files and images of them: what is read, and headers that lie.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AthanorError } from "../base/index.ts";
import { readIdx } from "./idx.ts";
import { prepareImages, readImageEncoder } from "./image-dataset.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-idx-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function header(shape: readonly number[], { type = 8, rank = shape.length } = {}): Buffer {
  const bytes = Buffer.alloc(4 + 4 * shape.length);
  bytes.set([0, 0, type, rank]);
  shape.forEach((size, axis) => bytes.writeUInt32BE(size, 4 + 4 * axis));
  return bytes;
}
function file(name: string, ...parts: Uint8Array[]): string {
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

test("a file of bytes, plain and compressed, is read whole", async () => {
  const data = Uint8Array.from({ length: 24 }, (_, at) => 10 * at);
  const expected = { shape: [2, 3, 4], data: Buffer.from(data) };
  const plain = await readIdx(file("a-idx3-ubyte", header([2, 3, 4]), data));
  expect(plain).toMatchObject(expected);
  expect(await readIdx(file("a.gz", gzipSync(Buffer.concat([header([2, 3, 4]), data]))))).toEqual(plain);
  expect(await readIdx(file("none", header([0, 28])))).toMatchObject({ shape: [0, 28], data: Buffer.alloc(0) });
});

test.each<[string, Uint8Array[], string]>([
  ["another kind of file", [Buffer.from("x,y\n1,2\n")], "this is no IDX file"],
  ["floats", [header([1], { type: 0x0d })], "type 0x0d"],
  ["no dimension", [header([], { rank: 0 })], "rank of an IDX file is out of range"],
  ["255 dimensions", [header([1], { rank: 255 })], "rank of an IDX file is out of range"],
  ["a header cut off", [header([1, 2], { rank: 3 })], "ends within its header"],
  ["nothing", [], "ends within its header"],
  ["fewer bytes than said", [header([2, 3]), Buffer.alloc(5)], "not as long as its header says"],
  ["more bytes than said", [header([2, 3]), Buffer.alloc(7)], "not as long as its header says"],
  ["4 GiB and more", [header([65536, 65536, 2])], "larger than it may be"],
  [
    "a size beyond all numbers",
    [header([2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1])],
    "larger than it may be",
  ],
  ["4 GiB in a file of 20 bytes", [header([65535, 65535, 1])], "not as long as its header says"],
])("%s is refused", async (_, parts, message) => {
  await expect(readIdx(file("bad", ...parts))).rejects.toThrow(message);
  await expect(readIdx(file("bad.gz", gzipSync(Buffer.concat(parts))))).rejects.toThrow(message);
});

test("any bytes are an array as its header says, or an error with a code", async () => {
  const start = fc
    .uint8Array({ minLength: 4, maxLength: 24 })
    .map((bytes) => Uint8Array.of(0, 0, 8, ...bytes.slice(3)));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 40 }), start), async (bytes) => {
      try {
        const { shape, data } = await readIdx(file("any", bytes));
        expect(data.length).toBe(shape.reduce((product, size) => product * size, 1));
        expect(data.length + 4 + 4 * shape.length).toBe(bytes.length);
      } catch (error) {
        expect(error).toBeInstanceOf(AthanorError);
        expect((error as AthanorError).code).toBe("data/idx");
      }
    }),
    { numRuns: 300 },
  );
});

describe("images", () => {
  const pixels = Uint8Array.of(0, 100, 0, 200, 50, 50, 255, 255);
  const pair = (name: string, labels: readonly number[], shape = [4, 1, 2]) => {
    file(name.replace("images-idx3", "labels-idx1"), header([labels.length]), Uint8Array.from(labels));
    return file(name, header(shape), pixels);
  };

  test("become rows standardized as a whole, with their labels", async () => {
    const { train, encoder } = await prepareImages(pair("train-images-idx3-ubyte", [1, 0, 2, 1]));
    const mean = pixels.reduce((sum, pixel) => sum + pixel, 0) / 8;
    const scale = Math.sqrt(pixels.reduce((sum, pixel) => sum + (pixel - mean) ** 2, 0) / 8);
    expect(encoder).toEqual({ ...encoder, shape: [1, 2], classes: ["0", "1", "2"] });
    expect(encoder.mean).toBeCloseTo(mean, 12);
    expect(encoder.scale).toBeCloseTo(scale, 12);
    const { features, targets } = await train.collate([3, 0]);
    expect([...targets.data]).toEqual([1, 1]);
    expect(features.shape).toEqual([2, 2]);
    [255, 255, 0, 100].forEach((pixel, at) => expect(features.data[at]).toBeCloseTo((pixel - mean) / scale, 6));
  });

  test("of a test set are read as those of the training; other sizes and classes are refused", async () => {
    const { encoder } = await prepareImages(pair("train-images-idx3-ubyte", [1, 0, 2, 1]));
    const again = readImageEncoder(JSON.stringify(encoder));
    const { train } = await prepareImages(pair("t10k-images-idx3-ubyte", [0, 0, 0, 2]), { encoder: again });
    expect([...(await train.collate([3])).targets.data]).toEqual([2]);
    const strange = pair("odd-images-idx3-ubyte", [0, 0, 3, 0]);
    await expect(prepareImages(strange, { encoder })).rejects.toThrow("beyond the classes of the training");
    const wide = pair("wide-images-idx3-ubyte", [0, 1], [2, 2, 2]);
    await expect(prepareImages(wide, { encoder })).rejects.toThrow("another size than those of the training");
  });

  test("hold out a share in proportion", async () => {
    const { train, validation } = await prepareImages(pair("train-images-idx3-ubyte", [1, 0, 0, 1]), {
      validation: 0.5,
    });
    const labels = async ({ length, collate }: typeof train) => [
      ...(await collate(Array.from({ length }, (_, at) => at))).targets.data,
    ];
    expect((await labels(train)).sort()).toEqual([0, 1]);
    expect((await labels(validation)).sort()).toEqual([0, 1]);
    expect(train.fingerprint).not.toBe(validation.fingerprint);
  });

  test.each<[string, () => string, string]>([
    [
      "labels that are missing",
      () => file("lonely-images-idx3-ubyte", header([1, 1]), Uint8Array.of(1)),
      "cannot be found|cannot be read",
    ],
    ["too few labels", () => pair("few-images-idx3-ubyte", [0, 1]), "not one label for each image"],
    ["a name without images-idx3", () => file("pictures-ubyte", header([1])), "cannot be told from their name"],
    ["one class", () => pair("same-images-idx3-ubyte", [0, 0, 0, 0]), "the same label"],
    ["no images", () => pair("no-images-idx3-ubyte", [], [0, 1, 2]), "not as long|no images"],
  ])("%s are refused", async (_, make, message) => {
    await expect(prepareImages(make())).rejects.toThrow(new RegExp(message));
  });

  test("an encoder that was tampered with is refused", () => {
    const encoder = { format: "athanor-image-encoder", version: 1, shape: [2], mean: 1, scale: 0, classes: ["0", "1"] };
    expect(() => readImageEncoder(JSON.stringify(encoder))).toThrow("images.json: scale");
    expect(() => readImageEncoder("[]")).toThrow("not an image encoder");
    expect(() => readImageEncoder('{"format":')).toThrow(/data\/encoder[\s\S]*images\.json[\s\S]*expected *JSON/);
  });
});
