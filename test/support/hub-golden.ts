// The tiny models of test/golden/hub.json, read as a user's folder is and put into a store. No figures of ours.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromNumbers, toNumbers } from "../../src/base/index.ts";
import type { Engine, Store } from "../../src/engine/index.ts";
import { readHubModel } from "../../src/hub/index.ts";
import { modelFamily } from "../../src/models/index.ts";
import type { Module } from "../../src/nn/index.ts";

/** The model of a case and its weights: f64 on the reference engine, f32 on the native one. */
export async function loadGolden(name: string, engine: Engine): Promise<{ model: Module; store: Store }> {
  const { cases } = JSON.parse(readFileSync("test/golden/hub.json", "utf8"));
  const folder = join(mkdtempSync(join(tmpdir(), "athanor-golden-")), "model");
  try {
    mkdirSync(folder);
    for (const [file, text] of Object.entries(cases[name].files as { [name: string]: string }))
      writeFileSync(join(folder, file), Buffer.from(text, "base64"));
    const { family, config, tensors } = await readHubModel(folder);
    const store = engine.createStore();
    const dtype = engine.name === "native" ? "f32" : "f64";
    for (const [name, array] of tensors) {
      store.declare([{ name, dtype, shape: array.shape }]);
      store.write(name, fromNumbers(dtype, array.shape, toNumbers(array)));
    }
    return { model: modelFamily(family).build(config, { task: "language-model" }).module, store };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
