// What a run begins with: fresh parameters, those of another run, or everything that its own newest checkpoint holds.
import { isDeepStrictEqual } from "node:util";
import { isCopyName } from "../align/index.ts";
import {
  AthanorError,
  fail,
  formatType,
  fromNumbers,
  type HostArray,
  isFloat,
  sameShape,
  toNumbers,
} from "../base/index.ts";
import { type Checkpoint, loadLatest } from "../checkpoint/index.ts";
import { tokenizerConfigName } from "../data/index.ts";
import { modelFamilies } from "../models/index.ts";
import { isAdapterName, isLoraName, type Module, quantizedWeights, storedParts } from "../nn/index.ts";
import { compareSchedules, type Prepared, type Recipe } from "../recipe/index.ts";
import { requireAllUsed, type StepPrograms, type TrainerState } from "../train/index.ts";
import { readModelFiles } from "./model-files.ts";
import type { EarlierRun } from "./run-folder.ts";
import { textsOf } from "./run-path.ts";
import { startAdapters } from "./start-adapters.ts";
import { inUnit } from "./target-unit.ts";
import { version } from "./version.ts";

/**
 * Writes the weights of another run, averaged where it averages, or of a Hugging Face folder over the initial ones; the optimizer
 * starts anew, and so does the head of a model that was trained for another task. Settings that shapes do not tell apart, such as heads, may differ: that is noted. Errors with `model/vocabulary`, `model/tensor`, `model/unused-tensor`, `checkpoint/*`, `hub/*`.
 */
async function initFrom(
  path: string,
  programs: StepPrograms,
  prepared: Prepared,
  onNote: (text: string) => void,
): Promise<void> {
  const { tensors, files, where } = await weightsAt(path, prepared.description.model);
  if (differs("tokenizer.json", prepared, files)) {
    fail("model/vocabulary", "the other run has another vocabulary: its tokens mean something else", {
      where,
      expected: vocabularyOf(prepared.files["tokenizer.json"]),
      got: vocabularyOf(files.get("tokenizer.json")),
      fix: `use its tokenizer: --set tokenizer=${where}/tokenizer.json`,
    });
  }
  const { parameterTypes } = programs.graphs;
  const unplaced = [...tensors.keys()].find(
    (name) => isAdapterName(name) && !parameterTypes.some((type) => type.name === name),
  );
  if (unplaced !== undefined) {
    fail("model/adapter", "the other run trained an adapter, and this model has none", {
      where,
      expected: "the same adapter in this recipe, or weights that it is merged into",
      got: unplaced,
      fix: isLoraName(unplaced)
        ? `npx athanor export ${path} merged --layout huggingface, then --init-from merged`
        : "give this recipe the adapter of that run, or begin with the model that it was trained beside",
    });
  }
  requireSameAdapter(files.get("model.json"), prepared.files["model.json"], where);
  const isFresh = freshHead(files.get("model.json"), prepared.files["model.json"]);
  const left = [...tensors.keys()].filter((name) => isFresh(name) || isCopyName(name));
  const isLeft = (name: string) => left.some((one) => name === one || name.endsWith(`.${one}`)); // its slots too
  const table = modelFamilies.get(JSON.parse(prepared.files["model.json"] ?? "{}").family)?.positionTable;
  const positions = parameterTypes.find(({ name }) => name === table)?.shape[0];
  const toUnit = unitChange(files.get("model.json"), prepared.files["model.json"]);
  const kept = new Map(
    [...tensors]
      .filter(([name]) => !isLeft(name))
      .map(([name, value]) => [name, name === table ? firstRows(value, positions) : toUnit(name, value)]),
  );
  const { model } = prepared.description;
  const quantized = [...quantizedWeights(model).keys()].map((name) => ({ name }));
  requireAllUsed([...parameterTypes, ...quantized], { tensors: kept, path: where });
  const others = otherSettings(files.get("model.json"), prepared.files["model.json"]);
  if (others.length > 0) onNote(`the weights of ${path} were trained with other settings: ${others.join(", ")}`);
  const fresh = (name: string) => isFresh(name) || isCopyName(name) || (isAdapterName(name) && !tensors.has(name));
  const anew = parameterTypes.filter(({ name }) => isFresh(name));
  if (anew.length > 0)
    onNote(
      `${path} was trained for another task: ${anew.length} tensors of the head begin anew, ${anew[0]!.name} first`,
    );
  writeParameters(programs, { tensors: new Map(storedParts(model, kept)), path: where }, { fresh });
  startAdapters(programs, prepared, fresh);
}

/**
 * Writes what a recipe's training begins with: initial values, over them the weights of `origin` where it names one, and what adapters
 * make of them. Errors as `initFrom`.
 */
export async function writeStart(
  programs: StepPrograms,
  prepared: Prepared,
  origin: string | undefined,
  onNote: (text: string) => void,
): Promise<void> {
  programs.initialize();
  if (origin === undefined) startAdapters(programs, prepared);
  else await initFrom(origin, programs, prepared, onNote);
}

/** A table of positions for a shorter context; a longer one is refused later, by its shape. */
function firstRows(table: HostArray, rows = table.shape[0]!): HostArray {
  const [all = 0, width = 0] = table.shape;
  return rows < all ? { ...table, shape: [rows, width], data: table.data.subarray(0, rows * width) } : table;
}

/** Which parameters are a head's, where two models of one family do another task. Of each its `model.json`. */
function freshHead(theirs = "{}", ours = "{}"): (name: string) => boolean {
  const [before, now] = [JSON.parse(theirs), JSON.parse(ours)];
  const isSame = before.task === now.task && before.config?.outputs === now.config?.outputs;
  const { isHead } = modelFamilies.get(now.family) ?? {};
  return isSame || isHead === undefined ? () => false : isHead;
}

/** How the last layers of two models that read numbers off texts differ. Of each its `model.json`. */
function unitChange(theirs = "{}", ours = "{}"): (name: string, value: HostArray) => HostArray {
  const [{ unit: from, task }, { unit: to, family }] = [JSON.parse(theirs), JSON.parse(ours)];
  if (task !== "regression" || to === undefined) return (_, value) => value;
  return (name, value) => inUnit(name, value, { family, from, to });
}

/** Tensors of adapters do not tell what they are scaled by. Of each model its `model.json`. Errors with `model/adapter`. */
function requireSameAdapter(theirs = "{}", ours = "{}", where: string): void {
  const [before, now] = [theirs, ours].map((text) => JSON.parse(text).adapter?.lora);
  if (before === undefined || now === undefined) return;
  const told = (lora: { readonly [key: string]: unknown }) =>
    ["rank", "alpha", "rankStabilized", "magnitude", "init"].map((key) => `${key} ${lora[key]}`).join(", ");
  if (told(before) === told(now)) return;
  fail("model/adapter", "the other adapter has other settings: its tensors mean something else", {
    where,
    expected: told(before),
    got: told(now),
    fix: "take these settings into adapter.lora of the recipe",
  });
}

/** Settings that two models have both, and not alike: `heads 4 → 2`. Of each its `model.json`. */
function otherSettings(theirs = "{}", ours = "{}"): string[] {
  const configOf = (text: string): { readonly [key: string]: unknown } => JSON.parse(text).config ?? {};
  const [before, now] = [configOf(theirs), configOf(ours)];
  return Object.keys(now).flatMap((key) => {
    const [old, own] = [JSON.stringify(before[key]), JSON.stringify(now[key])];
    return key in before && old !== own ? [`${key} ${old} → ${own}`] : [];
  });
}

/** Weights to begin with. Matrices that the model keeps in few bits are made so one by one, as they are read. */
async function weightsAt(path: string, module: Module) {
  const keep = (name: string, value: HostArray) => storedParts(module, [[name, value]]);
  const { tensors, files, description, place } = await readModelFiles(path, { keep });
  return { tensors, files: new Map([...files, ["model.json", JSON.stringify(description)]]), where: place };
}

/**
 * Writes a checkpoint's parameters into the store, with `averages` also the slots that evaluation adds to them; those that are
 * `fresh` stay as they are. Errors with `model/tensor` when they are not this model's.
 */
export function writeParameters(
  programs: StepPrograms,
  { tensors, path }: Pick<Checkpoint, "tensors" | "path">,
  { averages = false, fresh }: { averages?: boolean; fresh?: (name: string) => boolean } = {},
): void {
  const { parameterTypes, slotTypes, description } = programs.graphs;
  const slot = averages ? description.optimizer.evaluatedWeights?.slot : undefined;
  const added = slotTypes.filter(({ name }) => slot !== undefined && name.startsWith(`${slot}.`));
  const fix = "use the settings of model and optimizer that the checkpoint was trained with";
  const types = [...parameterTypes.filter(({ name }) => !fresh?.(name)), ...added];
  for (const [name, value] of take(types, tensors, "model/tensor", path, fix)) programs.store.write(name, value);
}

/** Writes all tensors of a checkpoint of this run, parameters and slots. Errors with `resume/tensor`. */
export function writeState(programs: StepPrograms, { tensors, path }: Pick<Checkpoint, "tensors" | "path">): void {
  const { parameterTypes, slotTypes } = programs.graphs;
  const fix = "resume with the version of Athanor and the recipe that wrote it";
  const values = take([...parameterTypes, ...slotTypes], tensors, "resume/tensor", path, fix);
  for (const [name, value] of values) programs.store.write(name, value);
}

/**
 * Writes the state of a run's newest good checkpoint, and gives what the trainer goes on from, with its files; `undefined` when the run has
 * none yet. Errors with `resume/*`, `checkpoint/none-good`.
 */
export async function restore(
  { folder, record }: EarlierRun,
  programs: StepPrograms,
  prepared: Prepared,
  onNote: (text: string) => void,
): Promise<{ readonly state: TrainerState; readonly files: ReadonlyMap<string, string> } | undefined> {
  const latest = await loadLatest(folder);
  for (const { path, error } of latest?.skipped ?? [])
    onNote(`passed over a damaged checkpoint: ${path} (${error instanceof AthanorError ? error.what : String(error)})`);
  if (latest === undefined) {
    if (record.forked !== undefined)
      fail("resume/fork", "the state that this fork began with is gone", {
        where: folder,
        expected: `a checkpoint of step ${record.forked.step} or later`,
        got: "none",
        fix: `restore it from a copy, or fork again from ${record.forked.from}`,
      });
    onNote("no checkpoint yet: the run starts from its beginning");
    return undefined;
  }
  const { step, state, path, manifest } = latest.checkpoint;
  const files = textsOf(latest.checkpoint);
  const { codeVersion } = manifest.provenance;
  if (codeVersion !== version) onNote(`the checkpoint was saved by Athanor ${codeVersion}; this is ${version}`);
  const { steps } = prepared.recipe;
  if (step > steps) {
    fail("resume/steps", "the run has done more steps than the recipe asks for", {
      where: "steps",
      expected: `at least ${step}`,
      got: String(steps),
      fix: `set steps to ${step} or more`,
    });
  }
  const changes = compareSchedules(record.recipe, prepared, step);
  if (changes.length > 0) {
    fail("resume/schedule", "with these steps the learning rate would have been another one from the beginning", {
      where: "steps",
      expected: "the same rates for the steps that are done",
      got: changes.join("\n"),
      fix: "keep steps, give the schedule a total of its own from the first run on, or start a new run: --init-from",
    });
  }
  for (const name of ["tokenizer.json", tokenizerConfigName, "table.json"]) {
    if (differs(name, prepared, files)) {
      fail("resume/vocabulary", `${name} is not the one that the checkpoint was trained with`, {
        where: path,
        expected: vocabularyOf(files.get(name)),
        got: vocabularyOf(prepared.files[name]),
        fix: "restore the tokenizer's file, or start a new run",
      });
    }
  }
  const start = trainerState(state, path);
  if (start.restored !== undefined) requireSameEnd(record.recipe as Recipe, prepared.recipe, start.restored);
  writeState(programs, latest.checkpoint);
  return { state: start, files };
}

/** A run that early stopping took back to its best state has no later one to go on from. Errors with `resume/stopped`. */
function requireSameEnd(earlier: Recipe, now: Recipe, restored: number): void {
  const end = ({ steps, eval: { every, patience } }: Recipe) =>
    `steps ${steps}, eval.every ${every}, eval.patience ${patience}`;
  if (end(earlier) === end(now)) return;
  fail("resume/stopped", `the run is over: it went back to its best state, that of step ${restored}`, {
    where: "steps, eval",
    expected: end(earlier),
    got: end(now),
    fix: "start a new run from its weights: --init-from",
  });
}

/** What a checkpoint keeps beside tensors is this trainer's, or the checkpoint is another program's. */
export function trainerState(state: Checkpoint["state"], where: string): TrainerState {
  if (typeof state === "object" && state !== null && "clock" in state && "source" in state)
    return state as object as TrainerState;
  return fail("resume/state", "the checkpoint does not tell where its run stood", {
    where,
    expected: "clock, source, lastLoss, lastEvaluation",
    got: JSON.stringify(state).slice(0, 80),
    fix: "start a new run from its weights: --init-from",
  });
}

/** True when both have the file, JSON, and it does not say the same: others write it with other spaces and in another order. */
function differs(name: string, prepared: Prepared, files: ReadonlyMap<string, string>): boolean {
  const [own, saved] = [prepared.files[name], files.get(name)];
  if (own === undefined || saved === undefined || own === saved) return false;
  return !isDeepStrictEqual(JSON.parse(own), JSON.parse(saved));
}

/** How many entries a tokenizer or encoder has, and its first bytes of difference are left to people: files may be large. */
function vocabularyOf(text: string | undefined): string {
  if (text === undefined) return "none";
  const { model, features } = JSON.parse(text) as { model?: { vocab?: object }; features?: readonly unknown[] };
  const size = Object.keys(model?.vocab ?? features ?? {}).length;
  return `${size} ${features === undefined ? "tokens" : "columns"}, ${text.length} characters`;
}

/** Tensors by name in the types that are wanted; floats are converted. All that do not fit are told at once. */
function take(
  types: readonly { readonly name: string; readonly dtype: HostArray["dtype"]; readonly shape: readonly number[] }[],
  tensors: ReadonlyMap<string, HostArray>,
  code: string,
  where: string,
  fix: string,
): [name: string, value: HostArray][] {
  const faults: string[] = [];
  const taken: [string, HostArray][] = [];
  for (const { name, dtype, shape } of types) {
    const value = tensors.get(name);
    const isSame = value !== undefined && sameShape(value.shape, shape);
    if (isSame && value.dtype === dtype) taken.push([name, value]);
    else if (isSame && isFloat(value.dtype) && isFloat(dtype))
      taken.push([name, fromNumbers(dtype, shape, toNumbers(value))]);
    else
      faults.push(
        `${name}: ${value === undefined ? "missing" : formatType(value.dtype, value.shape)}, wanted ${formatType(dtype, shape)}`,
      );
  }
  if (faults.length === 0) return taken;
  const shown = faults.slice(0, 8);
  return fail(code, `${faults.length} of ${types.length} tensors of this model are not in the checkpoint`, {
    where,
    expected: `${types.length} tensors of this model`,
    got: [...shown, ...(faults.length > shown.length ? [`and ${faults.length - shown.length} more`] : [])].join("\n"),
    fix,
  });
}
