// Hostile files: none is executed, none crashes, each is refused by name; what was saved and changed since is refused too.
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { load, train } from "../../api/index.ts";
import { AthanorError, RandomStream } from "../../base/index.ts";
import { findCheckpoints, loadCheckpoint, SafetensorsFile } from "../../checkpoint/index.ts";
import { loadTokenizer } from "../../data/index.ts";
import { readHubModel } from "../../hub/index.ts";
import { equal, type Figure, type Proof, type ProofContext } from "../proof.ts";
import { publishedFolders } from "./hub.generated.ts";

/** The code of the error that `work` ends in. */
async function refusedWith(name: string, code: string, work: Promise<unknown>): Promise<Figure> {
  const got = await work.then(
    () => "accepted",
    (error: unknown) => (error instanceof AthanorError ? error.code : String(error)),
  );
  return equal(name, got, code);
}

/** A pickle of which `pickle.load` would make the file `path`. */
const pickle = (path: string) => `cos\nsystem\n(S'touch ${path}'\ntR.`;

/** A safetensors file: the header's length as told, the header, and some data. */
function safetensors(header: object | string, told?: bigint): Buffer {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(told ?? BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(8)]);
}

const tensor = (begin: number, end: number) => ({
  dtype: "F32",
  shape: [(end - begin) / 4],
  data_offsets: [begin, end],
});

async function files({ folder }: ProofContext): Promise<Figure[]> {
  const config = Buffer.from(publishedFolders.gpt2.files["config.json"], "base64").toString();
  let made = 0;
  const read = async (changes: { readonly [name: string]: string | Buffer }) => {
    const at = join(folder, `hostile-${made++}`);
    await mkdir(at);
    for (const [name, content] of Object.entries({ "config.json": config, ...changes }))
      await writeFile(join(at, name), content);
    return await readHubModel(at);
  };
  const header = async (content: Buffer) => {
    const path = join(folder, `hostile-${made++}.safetensors`);
    await writeFile(path, content);
    await (await SafetensorsFile.open(path)).close();
  };
  const executed = join(folder, "executed");
  const deep = `{"a":${"[".repeat(100_000)}`;
  const index = (name: string) => JSON.stringify({ weight_map: { a: name } });
  return [
    await refusedWith(
      "a pickle that would run a program",
      "hub/pickle",
      read({ "pytorch_model.bin": pickle(executed) }),
    ),
    await refusedWith(
      "the same, as model.safetensors",
      "safetensors/header-length",
      read({ "model.safetensors": pickle(executed) }),
    ),
    equal("programs that were run", existsSync(executed) ? 1 : 0, 0),
    await refusedWith(
      "shards outside the folder",
      "hub/files",
      read({ "model.safetensors.index.json": index("../../secret.safetensors") }),
    ),
    await refusedWith(
      "shards by an absolute path",
      "hub/files",
      read({ "model.safetensors.index.json": index("/etc/passwd") }),
    ),
    await refusedWith("a header of 2⁶⁰ bytes", "safetensors/header-length", header(safetensors({}, 2n ** 60n))),
    await refusedWith("a header nested 100,000 deep", "safetensors/depth", header(safetensors(deep))),
    await refusedWith("tensors beyond the file", "safetensors/truncated", header(safetensors({ a: tensor(0, 4096) }))),
    await refusedWith(
      "tensors that overlap",
      "safetensors/overlap",
      header(safetensors({ a: tensor(0, 8), b: tensor(4, 8) })),
    ),
    await refusedWith(
      "a configuration of NaN",
      "hub/config",
      read({ "config.json": '{"model_type": "gpt2", "n_embd": NaN}' }),
    ),
    await refusedWith(
      "a tokenizer of NaN",
      "tokenizer/file",
      (async () => {
        await writeFile(join(folder, "nan.json"), '{"model": NaN}');
        return await loadTokenizer(join(folder, "nan.json"));
      })(),
    ),
  ];
}

/** Weights of NaN, and a checkpoint changed after it was saved. */
async function states({ folder }: ProofContext): Promise<Figure[]> {
  const recipe = {
    data: { rows: ["to be or not to be, that is the question. ".repeat(20)] },
    model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } },
    batch: 2,
    steps: 2,
  };
  const run = join(folder, "run");
  await train(recipe, { runDir: run }).outcome;
  const model = await load(run);
  await model.save(join(folder, "mine"));
  const weights = join(folder, "mine", "model.safetensors");
  const file = await SafetensorsFile.open(weights);
  const { dataStart } = file.header;
  await file.close();
  const bytes = await readFile(weights);
  bytes.fill(0xff, dataStart); // every number a NaN
  await writeFile(weights, bytes);
  const damaged = await refusedWith(
    "weights that are not those of their sums",
    "model/damaged",
    load(join(folder, "mine")),
  );
  const [newest] = await findCheckpoints(run);
  const [shard] = (await readdir(newest!.path)).filter((name) => name.endsWith(".safetensors"));
  const path = join(newest!.path, shard!);
  const saved = await readFile(path);
  saved[saved.length - 1]! ^= 1;
  await writeFile(path, saved);
  return [
    damaged,
    await refusedWith("a checkpoint with one bit changed", "checkpoint/hash", loadCheckpoint(newest!.path)),
  ];
}

/** Bytes changed by chance in files that are read. */
async function mutated({ folder }: ProofContext): Promise<Figure> {
  const at = join(folder, "mutated");
  await mkdir(at);
  const given = Object.entries(publishedFolders.gpt2.files).map(
    ([name, text]) => [name, Buffer.from(text, "base64")] as const,
  );
  const stream = new RandomStream(1, "mutations");
  let worse = 0;
  for (let round = 0; round < 500; round++) {
    for (const [at2, [name, bytes]] of given.entries()) {
      const copy = Buffer.from(bytes);
      if (at2 === round % 2)
        for (let i = 0; i < 3; i++)
          copy[stream.below(Math.min(copy.length, 3000), round, i)] = stream.below(256, round, i + 3);
      await writeFile(join(at, name), copy);
    }
    await readHubModel(at).catch((error: unknown) => {
      if (!(error instanceof AthanorError)) worse++;
    });
  }
  return equal("of 500 folders with bytes changed by chance, worse than an error", worse, 0);
}

export const safetyProofs: readonly Proof[] = [
  {
    id: "security.safe",
    doc: "hostile files (pickles, paths out of the folder, headers, NaN) run nothing and are refused by name; so is what changed since it was saved",
    run: async (context) => [...(await files(context)), ...(await states(context)), await mutated(context)],
  },
];
