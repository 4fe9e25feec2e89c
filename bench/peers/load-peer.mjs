// The packages of peers in JavaScript, from the folder that they were installed in: nothing of ours depends on them.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { "peers-dir": { type: "string" }, backend: { type: "string", default: "wasm" } },
});

/** What the command line asks for. */
export const shape = JSON.parse(positionals[0]);
export const { backend } = values;

const require = createRequire(join(values["peers-dir"], "peers.js"));

/** The module, and the folder that it lies in. */
export async function loadPeer(name) {
  const path = require.resolve(name);
  const module = await import(pathToFileURL(path).href);
  const { version } = JSON.parse(readFileSync(join(packageFolder(name), "package.json"), "utf8"));
  return { module: module.default ?? module, version, folder: dirname(path) };
}

/** Packages may hide their package.json: it is looked for in the folders where node looks. */
function packageFolder(name) {
  const folders = require.resolve.paths(name).map((folder) => join(folder, name));
  return folders.find((folder) => {
    try {
      return readFileSync(join(folder, "package.json")).length > 0;
    } catch {
      return false;
    }
  });
}

/** Random numbers of mean 0: the sum of four uniform ones is normal enough for timing. */
export function noise(length, std) {
  const uniform = () => Math.random() - 0.5;
  return Float32Array.from({ length }, () => std * Math.sqrt(3) * (uniform() + uniform() + uniform() + uniform()));
}

/** Rows (count, classes) with a one at a random place each. */
export function oneHot(count, classes) {
  const rows = new Float32Array(count * classes);
  for (let row = 0; row < count; row++) rows[row * classes + Math.floor(Math.random() * classes)] = 1;
  return rows;
}

/** Widths of a perceptron's layers. */
export const layerDims = ({ context, layers, width, vocab }) => [
  context,
  ...Array.from({ length: layers }, (_, at) => width >> at),
  vocab,
];
