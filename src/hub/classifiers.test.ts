// Classifiers on models that write text, as Transformers wrote their folders: scores over rows with padding, and written again.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { referenceLogits } from "../../test/support/reference-logits.ts";
import { fromNumbers } from "../base/index.ts";
import { writeSafetensors } from "../checkpoint/index.ts";
import { modelFamily } from "../models/index.ts";
import { hubFiles, readHubModel } from "./index.ts";

interface Case {
  readonly files: { readonly [name: string]: string };
  readonly scores: number[];
}
const golden = JSON.parse(readFileSync("test/golden/hub-classifiers.json", "utf8")) as {
  readonly batch: number;
  readonly time: number;
  readonly tokens: number[];
  readonly cases: { readonly [name: string]: Case };
};
const scratch = mkdtempSync(join(tmpdir(), "athanor-hub-classifiers-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let made = 0;
function folderOf(files: Iterable<readonly [string, string | Buffer]>): string {
  const folder = join(scratch, `${made++}`);
  mkdirSync(folder);
  for (const [file, content] of files) writeFileSync(join(folder, file), content);
  return folder;
}
const decoded = ({ files }: Case) =>
  Object.entries(files).map(([file, text]) => [file, Buffer.from(text, "base64")] as const);

describe.each(Object.entries(golden.cases))("%s", (name, one) => {
  const isScorer = name === "gpt2 that scores";

  test("gives the scores that Transformers gives, of each row's last token", async () => {
    const { family, config, task, classes, tensors } = await readHubModel(folderOf(decoded(one)));
    expect([task, classes]).toEqual(isScorer ? ["regression", undefined] : ["classification", ["no", "maybe", "yes"]]);
    const { module } = modelFamily(family).build(config, { task });
    const tokens = fromNumbers("i32", [golden.batch, golden.time], golden.tokens);
    assertClose(referenceLogits(module, tensors, tokens), one.scores, { absolute: 2e-6, what: "scores" });
  });

  test("is written as it was: the same configuration and tensors", async () => {
    const before = folderOf(decoded(one));
    const model = await readHubModel(before);
    const { tensors, texts, metadata } = hubFiles(model);
    const after = folderOf(texts);
    await writeSafetensors(join(after, "model.safetensors"), tensors, { metadata });
    expect(await readHubModel(after)).toEqual({ ...model, folder: after });
    const read = (folder: string) => JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    const [theirs, ours] = [read(before), read(after)];
    for (const [key, value] of Object.entries(ours))
      if (key in theirs) expect([key, value]).toEqual([key, theirs[key]]);
    expect(ours.architectures).toEqual(theirs.architectures);
  });
});

test("scores of a mean, which Transformers does not know, are not published", async () => {
  const model = await readHubModel(folderOf(decoded(golden.cases.gpt2!)));
  const mean = { ...model, config: { ...(model.config as object), pooling: "mean" } };
  expect(() => hubFiles(mean)).toThrow("[hub/export]");
});

test("other classes than the head has are refused", async () => {
  const { files } = golden.cases.llama!;
  const config = JSON.parse(Buffer.from(files["config.json"]!, "base64").toString());
  const changed = [
    ...decoded({ files, scores: [] }),
    ["config.json", JSON.stringify({ ...config, id2label: { 0: "no" } })],
  ];
  await expect(readHubModel(folderOf(changed as [string, string][]))).rejects.toThrow("score.weight");
});
