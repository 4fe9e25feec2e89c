// Reading a PyTorch state_dict: names, nesting, the turn of weights, and what is refused. Figures of PyTorch's are in proof sys.pytorch.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { fromNumbers } from "../base/index.ts";
import { writeSafetensors } from "../checkpoint/index.ts";
import type { Tensor } from "../core/index.ts";
import { call, LayerNorm, Linear, Module, Sequential } from "../nn/index.ts";
import { readStateDict } from "./state-dict.ts";

const folder = mkdtempSync(join(tmpdir(), "athanor-state-dict-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
async function saved(shapes: { readonly [name: string]: readonly number[] }): Promise<string> {
  const path = join(folder, `${files++}.safetensors`);
  const tensors = Object.entries(shapes).map(([name, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return {
      name,
      ...fromNumbers(
        "f32",
        shape,
        Array.from({ length: size }, (_, i) => i),
      ),
    };
  });
  await writeSafetensors(path, tensors);
  return path;
}

class Net extends Module {
  readonly body = new Sequential(new Linear(3, 2), new Sequential(new LayerNorm(2), new Linear(2, 2, { bias: false })));
  readonly head = new Linear(2, 1);

  forward(x: Tensor): Tensor {
    return call(this.head, call(this.body, x));
  }
}
const torch = {
  "body.0.weight": [2, 3],
  "body.0.bias": [2],
  "body.1.0.weight": [2],
  "body.1.0.bias": [2],
  "body.1.1.weight": [2, 2],
  "head.weight": [1, 2],
  "head.bias": [1],
};

test("names lose the layers of each Sequential; weights of Linear are turned, square ones too", async () => {
  const tensors = await readStateDict(await saved(torch), new Net());
  expect([...tensors.keys()]).toEqual([...new Net().parameters().keys()]);
  expect(tensors.get("body.layers.0.weight")).toEqual(fromNumbers("f32", [3, 2], [0, 3, 1, 4, 2, 5]));
  expect(tensors.get("body.layers.1.layers.1.weight")).toEqual(fromNumbers("f32", [2, 2], [0, 2, 1, 3]));
  expect(tensors.get("body.layers.1.layers.0.weight")).toEqual(fromNumbers("f32", [2], [0, 1]));
});

test("other names and shapes are refused, all at once", async () => {
  const { "head.bias": _, ...without } = torch;
  const renamed = await saved({ ...without, "head.b": [1], "body.2.weight": [4] });
  await expect(readStateDict(renamed, new Net())).rejects.toMatchObject({
    code: "state-dict/names",
    got: "without head.bias, and body.2.weight, head.b",
    fix: expect.any(String),
  });
  const wider = await saved({ ...torch, "body.0.weight": [2, 4], "head.weight": [2, 2] });
  await expect(readStateDict(wider, new Net())).rejects.toMatchObject({
    code: "state-dict/shape",
    got: "body.0.weight [4,2] for [3,2]; head.weight [2,2] for [2,1]",
  });
});
