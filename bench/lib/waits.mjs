// What a user waits for besides steps: start, first step, resume, tokenization, checkpoints, generation. Fresh processes in turns.
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { startLineProcess } from "./line-process.mjs";
import { label } from "./rounds.mjs";
import { workloads } from "./workloads.mjs";

const { shape } = workloads.find(({ name }) => name === "c1");

const decodeWeights = ["f32", "bf16", "int8", "nf4"];

/** `value` names what of an answer counts: `elapsedMs` is from the start of the process to its first line. */
const waits = [
  { id: "import", title: "start a process and import the package, s", value: "elapsedMs", scale: 1e-3 },
  { id: "first", title: "start a process, end the first step of c1, s", value: "elapsedMs", scale: 1e-3 },
  {
    id: "resume",
    title: "start a process, resume c1 from a checkpoint, end a step, s",
    value: "elapsedMs",
    scale: 1e-3,
  },
  {
    id: "tokenize",
    title: "encode text with a BPE vocabulary of 4,096, MB/s",
    value: "megabytesPerSecond",
    higher: true,
  },
  { id: "checkpoint", title: "save a checkpoint, s/GB", value: "saveSecondsPerGB" },
  { id: "checkpoint", title: "load a checkpoint, s/GB", value: "loadSecondsPerGB" },
  { id: "generate", title: "generate with c1's model, one text, tokens/s", value: "tokensPerSecond", higher: true },
  ...decodeWeights.map((weights) => ({
    ...{ group: "decode", id: `decode-${weights}`, value: "tokensPerSecond", higher: true },
    title: `GPT-2 124M with weights in ${weights}, one text of 65 tokens, tokens/s`,
  })),
];
const titles = { waits: "What a user waits for", decode: "A token of GPT-2" };

/** Rounds of all waits of a group; each round starts every process anew. */
export async function measureWaits(found, { rounds, quick, say, group = "waits" }) {
  const chosen = waits.filter((wait) => (wait.group ?? "waits") === group);
  const scratch = mkdtempSync(join(tmpdir(), "athanor-bench-"));
  const load = [loadavg()[0]];
  const failed = [];
  const answers = new Map();
  try {
    const all = waitSystems(found, { scratch, quick });
    const systems = all.filter((system) => chosen.some(({ id }) => id === system.id));
    for (let round = 0; round < rounds; round++) {
      for (const system of systems) {
        const { id, name, setting, prepare, command, env } = system;
        if (failed.some((one) => one.id === id && one.name === name && one.setting === setting)) continue;
        try {
          if (prepare !== undefined && round === 0) await once(prepare, env);
          const answer = await once(command, env);
          answers.set(system, [...(answers.get(system) ?? []), answer]);
          say(`${id}, ${label(system)}: ${JSON.stringify(answer)}`);
        } catch (error) {
          failed.push({ id, name, setting, why: error.message });
          say(`${id}, ${label(system)}: ${error.message}`);
        }
      }
      load.push(loadavg()[0]);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  const rows = chosen.map(({ id, title, value, scale = 1, higher = false }) => ({
    ...{ title, higher },
    systems: [...answers]
      .filter(([system]) => system.id === id)
      .map(([{ name, setting }, rounds]) => ({ name, setting, values: rounds.map((answer) => scale * answer[value]) })),
  }));
  return { kind: "waits", title: titles[group], rows, failed, load };
}

async function once(command, env) {
  const { ready, end } = await startLineProcess(command, { env });
  await end();
  return ready;
}

function waitSystems({ here, python }, { scratch, quick }) {
  const path = (name) => join(import.meta.dirname, "..", "peers", name);
  const megabytes = String(quick ? 64 : 1024);
  const state = (name) => join(scratch, name);
  const mine = (id, args, more = {}) => ({
    ...{ id, name: "Athanor", setting: "" },
    command: [process.execPath, path("athanor-waits.mjs"), id, ...args],
    ...more,
  });
  const systems = [
    mine("import", []),
    mine("first", [JSON.stringify(shape)]),
    mine("resume", [state("athanor-run")], {
      prepare: [process.execPath, path("athanor-waits.mjs"), "prepare-resume", state("athanor-run")],
    }),
    mine("tokenize", []),
    { ...mine("tokenize", ["--library"]), name: "tokenizers", setting: "a batch from Node" },
    mine("checkpoint", [state("athanor-state"), megabytes]),
    mine("generate", [JSON.stringify(shape)]),
    ...decodeWeights.map((weights) => ({
      ...mine("decode", [weights]),
      id: `decode-${weights}`,
    })),
  ];
  if (!here.has("PyTorch")) return systems;
  const torch = (id, args, more = {}) => ({
    ...{ id, name: "PyTorch", setting: "" },
    command: [python, path("torch_waits.py"), id, ...args],
    env: { OMP_WAIT_POLICY: "PASSIVE" },
    ...more,
  });
  const json = JSON.stringify(shape);
  systems.push(
    torch("import", []),
    torch("first", [json], { setting: "eager" }),
    torch("resume", [json, state("torch.pt")], {
      setting: "eager",
      prepare: [python, path("torch_waits.py"), "prepare-resume", json, state("torch.pt")],
    }),
    torch("checkpoint", [state("torch-state.pt"), megabytes]),
    torch("generate", [json], { setting: "eager, cached keys" }),
    ...decodeWeights.map((weights) => ({
      ...torch("decode", [weights === "bf16" ? "bf16" : "f32"]), // it has no weights in few bits without a GPU's library
      ...{ id: `decode-${weights}`, name: "Transformers", setting: `generate, ${weights === "bf16" ? "bf16" : "f32"}` },
    })),
  );
  if (!quick) {
    const cache = state("inductor");
    const compiled = (setting, env) =>
      torch("first", [json, "--compile"], { setting, env: { OMP_WAIT_POLICY: "PASSIVE", ...env } });
    systems.push(compiled("compiled anew", { TORCHINDUCTOR_FORCE_DISABLE_CACHES: "1" }));
    const kept = compiled("compiled before", { TORCHINDUCTOR_CACHE_DIR: cache });
    systems.push({ ...kept, prepare: kept.command });
  }
  return systems;
}
