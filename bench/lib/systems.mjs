// Which systems run a workload, each in the settings that can be its best, and which are missing here. Starts no timing.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { lastWords } from "./line-process.mjs";

const peers = join(import.meta.dirname, "..", "peers");
const script = (name) => join(peers, name);

/** Shapes that a peer in JavaScript runs in bearable time: the perceptrons and c2. */
const bearable = ({ model, width }) => model === "mlp" || (model === "gpt" && width <= 128);

/**
 * The systems that are here, and why the others are not.
 *
 * @param options `python`, an interpreter; `peersDir`, a folder with node_modules of other systems
 */
export function findSystems({ python, peersDir }) {
  const missing = [];
  const here = new Set();
  const look = (name, problem) => (problem === undefined ? here.add(name) : missing.push({ name, why: problem }));
  look("PyTorch", pythonLacks(python, "torch"));
  look("JAX", pythonLacks(python, "jax"));
  look("numpy", pythonLacks(python, "numpy"));
  look("jax-js", packagesLack(peersDir, ["@jax-js/jax"]));
  look("tfjs wasm", packagesLack(peersDir, ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"]));
  look("tfjs node", packagesLack(peersDir, ["@tensorflow/tfjs", "@tensorflow/tfjs-node"]));
  return { python, peersDir, here, missing };
}

function pythonLacks(python, module) {
  const { status, stderr, error } = spawnSync(python, ["-c", `import ${module}`], { encoding: "utf8" });
  if (error !== undefined) return `${python} cannot be started (${error.code})`;
  return status === 0 ? undefined : lastWords(stderr);
}

function packagesLack(folder, names) {
  const require = createRequire(join(folder, "peers.js"));
  const lacking = names.filter((name) => {
    try {
      require.resolve(name);
      return false;
    } catch {
      return true;
    }
  });
  return lacking.length === 0 ? undefined : `${lacking.join(", ")} not in the folder of peers`;
}

/**
 * Systems and settings for a training step: `{ name, setting, command, env }`, ours first.
 *
 * @param options `quick`: one setting each
 */
export function stepSystems(found, { shape, large }, { precision, quick }) {
  const { here, python, peersDir } = found;
  const json = JSON.stringify(shape);
  const inPrecision = ["--precision", precision];
  const systems = [ours(json, inPrecision)];
  const tiny = shape.model === "mlp" || shape.model === "logreg";
  if (here.has("PyTorch")) {
    const torch = (setting, more, wait) => ({
      ...{ name: "PyTorch", setting },
      command: [python, script("torch_peer.py"), json, ...inPrecision, ...more],
      env: wait === undefined ? {} : { OMP_WAIT_POLICY: wait },
    });
    systems.push(torch("eager, passive", [], "PASSIVE"));
    if (!quick) {
      systems.push(torch("compiled, passive", ["--compile"], "PASSIVE"), torch("compiled", ["--compile"]));
      if (!large) systems.push(torch("eager", [])); // gigabytes each, and how threads wait matters little there
      if (tiny) systems.push(torch("eager, 1 thread", ["--threads", "1"]));
      if (tiny) systems.push(torch("compiled, 1 thread", ["--compile", "--threads", "1"]));
    }
  }
  if (here.has("JAX") && !large) {
    systems.push({ name: "JAX", setting: "jit", command: [python, script("jax_peer.py"), json, ...inPrecision] });
  }
  const node = (name, setting, file, ...more) =>
    systems.push({ name, setting, command: [process.execPath, script(file), json, "--peers-dir", peersDir, ...more] });
  if (precision === "f32" && bearable(shape)) {
    if (here.has("jax-js")) node("jax-js", "wasm, jit", "jax-js-peer.mjs");
    for (const backend of ["wasm", "node"]) {
      if (here.has(`tfjs ${backend}`)) node("tfjs", backend, "tfjs-peer.mjs", "--backend", backend);
    }
  }
  return systems;
}

/** Systems for matrix products. */
export function productSystems({ here, python }, { precision }) {
  const json = '{"model":"matmul"}';
  const inPrecision = ["--precision", precision];
  const systems = [ours(json, inPrecision)];
  if (here.has("PyTorch")) {
    systems.push({
      ...{ name: "PyTorch", setting: "torch.mm" },
      command: [python, script("torch_peer.py"), json, ...inPrecision],
      env: { OMP_WAIT_POLICY: "PASSIVE" },
    });
  }
  if (here.has("numpy") && precision === "f32")
    systems.push({ name: "numpy", setting: "matmul", command: [python, script("numpy_peer.py")] });
  return systems;
}

/** Systems for the update of one optimizer, by its name here and its settings in a recipe. */
export function updateSystems({ here, python }, { name, optimizer, matrices }) {
  const systems = [ours(JSON.stringify({ model: "update", optimizer, ...matrices }), [])];
  if (here.has("PyTorch") && name !== "lion") {
    const json = JSON.stringify({ model: "update", optimizer: name, ...matrices });
    const command = [python, script("torch_peer.py"), json];
    systems.push({ name: "PyTorch", setting: "fused or foreach", command, env: { OMP_WAIT_POLICY: "PASSIVE" } });
  }
  return systems;
}

/** Our step, update or products, in a process like everyone's. */
export function ours(json, more) {
  return { name: "Athanor", setting: "", command: [process.execPath, script("athanor-peer.mjs"), json, ...more] };
}
