// Images as rows of numbers, with a class each: read from a pair of IDX files, standardized as a whole. Pixels stay bytes in memory and
// become floats batch by batch.
import { createHash } from "node:crypto";
import { z } from "zod";
import { fail, sizeOf } from "../base/index.ts";
import type { Dataset } from "./batch.ts";
import { type IdxArray, type IdxOptions, readIdx } from "./idx.ts";
import { type Split, splitRows } from "./split.ts";
import type { TableBatch } from "./table-dataset.ts";
import { parseEncoder } from "./table-encoder-check.ts";

const encoderSchema = z.strictObject({
  format: z.literal("athanor-image-encoder"),
  version: z.literal(1),
  shape: z.array(z.number().int().positive()).min(1).max(3),
  mean: z.number(),
  scale: z.number().positive(),
  classes: z.array(z.string()).min(2),
});

/**
 * How images of a shape, such as [28, 28], become numbers, `(pixel − mean) / scale` with mean and deviation of all pixels of the training:
 * what is saved beside a model.
 */
export type ImageEncoder = z.output<typeof encoderSchema>;

/** An encoder from its JSON text, of which nothing is believed. Errors with `data/encoder`. */
export function readImageEncoder(json: string): ImageEncoder {
  const { data, error } = encoderSchema.safeParse(parseEncoder(json, "images.json"));
  if (data !== undefined) return data;
  const [issue] = error.issues;
  return fail("data/encoder", "this is not an image encoder that this version can read", {
    where: `images.json: ${issue!.path.join(".")}`,
    expected: issue!.message,
    got: json.slice(0, 80),
    fix: "use the file that was saved with the model",
  });
}

export interface ImageOptions extends IdxOptions {
  /** Share of the images that is held out, 0 to 1; classes keep their share. Default 0. */
  readonly validation?: number;
  readonly seed?: number;
  /** As fitted to other images. Default: fitted to the training part. */
  readonly encoder?: ImageEncoder;
}

export interface ImageData {
  /** Batches `features` f32 [B, pixels] and `targets` i32 [B]. */
  readonly train: Dataset<TableBatch>;
  readonly validation: Dataset<TableBatch>;
  readonly encoder: ImageEncoder;
  /** Of both files. */
  readonly sha256: string;
}

/**
 * Reads the images at `path` and the labels beside them: the file of the same name with `labels-idx1` for `images-idx3`. Errors with
 * `data/images`, `data/idx`, `data/split`, and those of reading bytes.
 */
export async function prepareImages(path: string, options: ImageOptions = {}): Promise<ImageData> {
  const { validation = 0, seed = 0 } = options;
  const labelsPath = path.replace(/images([-.])idx3(?=[^/]*$)/, "labels$1idx1");
  if (labelsPath === path)
    wrong("the labels of these images cannot be told from their name", path, "a name with images-idx3 in it", path);
  const images = await readIdx(path, options);
  const labels = await readIdx(labelsPath, options);
  const [count, ...shape] = images.shape as [number, ...number[]];
  const width = sizeOf(shape);
  if (shape.length === 0 || images.data.length === 0)
    wrong("there are no images", path, "images of a pixel or more", images.shape.join(" × "));
  if (labels.shape.length !== 1 || labels.shape[0] !== count)
    wrong("there is not one label for each image", labelsPath, `${count} labels`, labels.shape.join(" × "));
  const split = splitRows(count, { validation, seed }, labels.data);
  const encoder = options.encoder ?? fitEncoder(path, images, labels, split.train);
  const [size, known, most] = [shape.join(" × "), encoder.shape.join(" × "), encoder.classes.length - 1];
  if (size !== known) wrong("the images have another size than those of the training", path, known, size);
  const strange = labels.data.find((label) => label > most);
  if (strange !== undefined)
    wrong("a label is beyond the classes of the training", labelsPath, `0 to ${most}`, String(strange));
  const sha256 = createHash("sha256").update(`${images.sha256}/${labels.sha256}`).digest("hex");
  const values = Float32Array.from({ length: 256 }, (_, pixel) => (pixel - encoder.mean) / encoder.scale);
  const part = (name: keyof Split): Dataset<TableBatch> => ({
    unit: "image",
    length: split[name].length,
    fingerprint: createHash("sha256").update(`${sha256}/${split[name].join()}`).digest("hex").slice(0, 16),
    collate: (positions) => {
      const rows = positions.map((position) => split[name][position]!);
      const features = new Float32Array(rows.length * width);
      for (const [place, row] of rows.entries())
        for (let at = 0; at < width; at++) features[place * width + at] = values[images.data[row * width + at]!]!;
      return {
        features: { dtype: "f32", shape: [rows.length, width], data: features },
        targets: { dtype: "i32", shape: [rows.length], data: Int32Array.from(rows, (row) => labels.data[row]!) },
      };
    },
  });
  return { train: part("train"), validation: part("validation"), encoder, sha256 };
}

function fitEncoder(path: string, images: IdxArray, labels: IdxArray, rows: readonly number[]): ImageEncoder {
  const [, ...shape] = images.shape;
  const width = sizeOf(shape);
  const counts = new Float64Array(256);
  for (const row of rows) for (let at = row * width; at < (row + 1) * width; at++) counts[images.data[at]!]! += 1;
  const meanOf = (value: (pixel: number) => number) =>
    counts.reduce((sum, count, pixel) => sum + count * value(pixel), 0) / (rows.length * width);
  const mean = meanOf((pixel) => pixel);
  const scale = Math.sqrt(meanOf((pixel) => (pixel - mean) ** 2));
  if (!(scale > 0)) wrong("all pixels of all images are the same", path, "images that differ", String(mean));
  const numClasses = labels.data.reduce((most, label) => Math.max(most, label), 0) + 1;
  if (numClasses < 2) wrong("all images have the same label", path, "two classes or more", "0 alone");
  const classes = Array.from({ length: numClasses }, (_, id) => String(id));
  return { format: "athanor-image-encoder", version: 1, shape, mean, scale, classes };
}

function wrong(what: string, where: string, expected: string, got: string): never {
  fail("data/images", what, {
    where,
    expected,
    got,
    fix: "give data.path an images-idx3-ubyte file with its labels beside it",
  });
}
