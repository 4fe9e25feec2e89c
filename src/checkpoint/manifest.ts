// The manifest: what a checkpoint consists of, hash by hash. Written last, so a folder without one was never finished.
// The file is JSON, and its first line holds the SHA-256 of all that follows: a manifest vouches for itself first.
import { createHash } from "node:crypto";
import { byteSize, type DType, fail, isDType } from "../base/index.ts";
import { checkedAdd, checkedBytes, isCount } from "./checked.ts";

export const manifestName = "manifest.json";
const format = "athanor-checkpoint";
const version = 1;
/** Room for a quarter of a million tensors; nothing larger is read into memory. */
export const maxManifestBytes = 64 * 1024 * 1024;

/** Where a state comes from. Another code version or instruction set on loading is said, not refused. */
export interface Provenance {
  readonly codeVersion: string;
  /** The kernels' instruction-set path, such as `avx2`: equal bytes are promised only within one. */
  readonly isa: string;
  /** SHA-256 of the resolved recipe. */
  readonly recipeHash: string;
  /** Processes of the run; 1 when left out. */
  readonly worldSize?: number;
}

export interface ManifestFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Of a safetensors file: its part before the data. With the tensors' hashes this covers every byte. */
  readonly header?: { readonly bytes: number; readonly sha256: string };
}

export interface ManifestTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly file: string;
  /** Bytes from the start of the file's data part. */
  readonly begin: number;
  readonly bytes: number;
  readonly sha256: string;
}

export interface Manifest {
  readonly step: number;
  /** For people. Nothing is ever ordered by it: clocks jump. */
  readonly savedAt: string;
  readonly provenance: Provenance;
  /** Figures that "best" is judged by. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly files: readonly ManifestFile[];
  readonly tensors: readonly ManifestTensor[];
}

export function encodeManifest(manifest: Manifest): string {
  const rows = (values: readonly object[]) => values.map((value) => `  ${JSON.stringify(value)}`).join(",\n");
  const { files, tensors, ...rest } = manifest;
  const fields = Object.entries({ format, version, ...rest }).map(
    ([key, value]) => ` "${key}": ${JSON.stringify(value)},\n`,
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
  const reader = new ManifestReader(value, where);
  return reader.read();
}

/** Every check past the self-hash guards against a manifest that was made, not damaged. */
class ManifestReader {
  private readonly value: unknown;
  private readonly where: string;

  constructor(value: unknown, where: string) {
    this.value = value;
    this.where = where;
  }

  read(): Manifest {
    const root = this.object(this.value, "manifest");
    if (root.format !== format) this.wrong("format", JSON.stringify(format), root.format);
    if (root.version !== version)
      fail("checkpoint/version", "this checkpoint has a format that this version does not know", {
        where: this.where,
        expected: `version ${version}`,
        got: String(root.version),
        fix: "update athanor",
      });
    const files = this.list(root.files, "files").map((row, i) => this.file(row, `files[${i}]`));
    const tensors = this.list(root.tensors, "tensors").map((row, i) => this.tensor(row, `tensors[${i}]`));
    this.checkTable(files, tensors);
    const metrics: Record<string, number> = {};
    for (const [name, metric] of Object.entries(this.object(root.metrics, "metrics"))) {
      if (typeof metric !== "number") return this.wrong(`metrics.${name}`, "a number", metric);
      metrics[name] = metric;
    }
    return {
      step: this.count(root.step, "step"),
      savedAt: this.text(root.savedAt, "savedAt"),
      provenance: this.provenance(root.provenance),
      metrics,
      files,
      tensors,
    };
  }

  private provenance(value: unknown): Provenance {
    const row = this.object(value, "provenance");
    return {
      codeVersion: this.text(row.codeVersion, "provenance.codeVersion"),
      isa: this.text(row.isa, "provenance.isa"),
      recipeHash: this.text(row.recipeHash, "provenance.recipeHash"),
      worldSize: this.count(row.worldSize ?? 1, "provenance.worldSize"),
    };
  }

  private file(value: unknown, at: string): ManifestFile {
    const row = this.object(value, at);
    const name = this.text(row.name, `${at}.name`);
    if (!isFileName(name)) return this.wrong(`${at}.name`, "a file name without a folder", name);
    const file = { name, bytes: this.count(row.bytes, `${at}.bytes`), sha256: this.hash(row.sha256, `${at}.sha256`) };
    if (row.header === undefined) return file;
    const header = this.object(row.header, `${at}.header`);
    return {
      ...file,
      header: {
        bytes: this.count(header.bytes, `${at}.header.bytes`),
        sha256: this.hash(header.sha256, `${at}.header`),
      },
    };
  }

  private tensor(value: unknown, at: string): ManifestTensor {
    const row = this.object(value, at);
    const { dtype } = row;
    if (!isDType(dtype)) return this.wrong(`${at}.dtype`, "a dtype", dtype);
    const shape = this.list(row.shape, `${at}.shape`).map((dim) => this.count(dim, `${at}.shape`));
    const bytes = this.count(row.bytes, `${at}.bytes`);
    const wanted = checkedBytes(shape, byteSize(dtype));
    if (bytes !== wanted) return this.wrong(`${at}.bytes`, String(wanted ?? "a size below 2^53"), bytes);
    return {
      name: this.text(row.name, `${at}.name`),
      dtype,
      shape,
      file: this.text(row.file, `${at}.file`),
      begin: this.count(row.begin, `${at}.begin`),
      bytes,
      sha256: this.hash(row.sha256, `${at}.sha256`),
    };
  }

  /** The tensors of a file must follow each other from 0 to its end, in the table's order, and no name comes twice. */
  private checkTable(files: readonly ManifestFile[], tensors: readonly ManifestTensor[]): void {
    const ends = new Map<string, number>();
    for (const file of files) {
      if (ends.has(file.name)) this.wrong("files", "each name once", file.name);
      ends.set(file.name, 0);
    }
    const names = new Set<string>();
    for (const { name, file, begin, bytes } of tensors) {
      if (names.has(name)) this.wrong("tensors", "each name once", name);
      names.add(name);
      if (ends.get(file) !== begin)
        this.wrong(`tensor ${name}`, `begin ${ends.get(file) ?? "of a listed file"}`, begin);
      ends.set(file, checkedAdd(begin, bytes) ?? Number.POSITIVE_INFINITY);
    }
    for (const { name, bytes, header } of files) {
      const end = ends.get(name)!;
      if (header === undefined ? end > 0 : header.bytes + end !== bytes)
        this.wrong(`file ${name}`, `${bytes} bytes`, end);
    }
  }

  private object(value: unknown, at: string): Record<string, unknown> {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return this.wrong(at, "an object", value);
    return value as Record<string, unknown>;
  }

  private list(value: unknown, at: string): readonly unknown[] {
    return Array.isArray(value) ? value : this.wrong(at, "a list", value);
  }

  private text(value: unknown, at: string): string {
    return typeof value === "string" ? value : this.wrong(at, "text", value);
  }

  private count(value: unknown, at: string): number {
    return isCount(value) ? value : this.wrong(at, "a count", value);
  }

  private hash(value: unknown, at: string): string {
    return typeof value === "string" && /^[0-9a-f]{64}$/.test(value) ? value : this.wrong(at, "a SHA-256", value);
  }

  private wrong(at: string, expected: string, got: unknown): never {
    return fail("checkpoint/manifest", `the manifest's ${at} is not possible`, {
      where: this.where,
      expected,
      got: String(JSON.stringify(got)),
    });
  }
}

/** A plain name inside the checkpoint's own folder: no way out, no device of another system, nothing hidden. */
export function isFileName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$/.test(name) && name !== manifestName;
}

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
