// The manifest: what a checkpoint consists of, hash by hash. Written last, so a folder without one was never finished.
// The file is JSON, and its first line holds the SHA-256 of all that follows: a manifest vouches for itself first.
import { createHash } from "node:crypto";
import { z } from "zod";
import { byteSize, dtypes, fail } from "../base/index.ts";
import { checkedAdd, checkedBytes } from "./checked.ts";

export const manifestName = "manifest.json";
const format = "athanor-checkpoint";
const version = 1;
/** Room for a quarter of a million tensors; nothing larger is read into memory. */
export const maxManifestBytes = 64 * 1024 * 1024;

/** A plain name inside the checkpoint's own folder: no way out, nothing hidden. */
export function isFileName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$/.test(name) && name !== manifestName;
}

const count = z.int().nonnegative();
const hash = z.string().regex(/^[0-9a-f]{64}$/);

/** Where a state comes from. Another code version or instruction set on loading is said, not refused. */
const provenance = z.object({
  codeVersion: z.string(),
  /** The kernels' instruction-set path, such as `avx2`: equal bytes are promised only within one. */
  isa: z.string(),
  /** SHA-256 of the resolved recipe. */
  recipeHash: z.string(),
  /** Processes of the run. */
  worldSize: count.optional(),
});

const file = z.object({
  name: z.string().refine(isFileName),
  bytes: count,
  sha256: hash,
  /** Of a safetensors file: its part before the data. With the tensors' hashes this covers every byte. */
  header: z.object({ bytes: count, sha256: hash }).optional(),
});

const tensor = z.object({
  name: z.string(),
  dtype: z.enum(dtypes),
  shape: z.array(count).readonly(),
  file: z.string(),
  /** Bytes from the start of the file's data part. */
  begin: count,
  bytes: count,
  sha256: hash,
});

const manifest = z.object({
  step: count,
  /** For people. Nothing is ever ordered by it: clocks jump. */
  savedAt: z.string(),
  provenance: provenance.readonly(),
  /** Figures that "best" is judged by. */
  metrics: z.record(z.string(), z.number()).readonly(),
  files: z.array(file.readonly()).readonly(),
  tensors: z.array(tensor.readonly()).readonly(),
});

export type Provenance = Readonly<z.infer<typeof provenance>>;
export type ManifestFile = Readonly<z.infer<typeof file>>;
export type ManifestTensor = Readonly<z.infer<typeof tensor>>;
export type Manifest = Readonly<z.infer<typeof manifest>>;

export function encodeManifest(value: Manifest): string {
  const rows = (values: readonly object[]) => values.map((row) => `  ${JSON.stringify(row)}`).join(",\n");
  const { files, tensors, ...rest } = value;
  const fields = Object.entries({ format, version, ...rest }).map(
    ([key, field]) => ` "${key}": ${JSON.stringify(field)},\n`,
  );
  const body = `{\n${fields.join("")} "files": [\n${rows(files)}\n ],\n "tensors": [\n${rows(tensors)}\n ]\n}}\n`;
  return `{"sha256":"${sha256(body)}","manifest":\n${body}`;
}

/**
 * Reads a manifest that vouches for itself, and checks every number in it before anyone allocates from one.
 * Errors with `checkpoint/foreign`, `checkpoint/manifest` (damaged) or `checkpoint/version` (of a newer Athanor).
 */
export function decodeManifest(bytes: Uint8Array, where: string): Manifest {
  const text = Buffer.from(bytes).toString("utf8");
  const first = /^\{"sha256":"([0-9a-f]{64})","manifest":\n/.exec(text);
  if (first === null)
    return fail("checkpoint/foreign", "this is not a manifest of Athanor, or its start is damaged", {
      where,
      expected: '{"sha256":"...","manifest":',
      got: JSON.stringify(text.slice(0, 40)),
    });
  if (sha256(bytes.subarray(first[0].length)) !== first[1])
    return fail("checkpoint/manifest", "the manifest is damaged: it does not have the hash it states", {
      where,
      expected: first[1]!,
      got: sha256(bytes.subarray(first[0].length)),
      fix: "use another checkpoint of this run",
    });
  const value: unknown = JSON.parse(text.slice(first[0].length, text.lastIndexOf("}")));
  // what follows guards against a manifest that was made, not damaged
  const kind = z.object({ format: z.literal(format), version: z.unknown() }).safeParse(value);
  if (!kind.success) return wrong(where, "format", format);
  if (kind.data.version !== version)
    return fail("checkpoint/version", "this checkpoint has a format that this version does not know", {
      where,
      expected: `version ${version}`,
      got: String(kind.data.version),
      fix: "update athanor",
    });
  const read = manifest.safeParse(value);
  if (!read.success) {
    const issue = read.error.issues[0]!;
    return wrong(where, issue.path.join("."), issue.message);
  }
  checkTable(read.data, where);
  return read.data;
}

/** The tensors of a file must follow each other from 0 to its end, in the table's order, and no name comes twice. */
function checkTable({ files, tensors }: Manifest, where: string): void {
  const ends = new Map(files.map(({ name }) => [name, 0]));
  if (ends.size !== files.length) wrong(where, "files", "each name once");
  if (new Set(tensors.map(({ name }) => name)).size !== tensors.length) wrong(where, "tensors", "each name once");
  for (const { name, dtype, shape, file, begin, bytes } of tensors) {
    if (bytes !== checkedBytes(shape, byteSize(dtype))) wrong(where, `tensor ${name}`, "bytes that fit its shape");
    if (ends.get(file) !== begin) wrong(where, `tensor ${name}`, "to begin where the one before it ends");
    ends.set(file, checkedAdd(begin, bytes) ?? Number.POSITIVE_INFINITY);
  }
  for (const { name, bytes, header } of files) {
    const end = ends.get(name)!;
    if (header === undefined ? end > 0 : header.bytes + end !== bytes)
      wrong(where, `file ${name}`, "its tensors to fill it");
  }
}

function wrong(where: string, at: string, expected: string): never {
  return fail("checkpoint/manifest", `the manifest's ${at} is not possible`, { where, expected });
}

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
