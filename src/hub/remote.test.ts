// Pulling and pushing against a local server: whole, broken off, lied to, refused.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { HubServer } from "../../test/support/hub-server.ts";
import { AthanorError } from "../base/index.ts";
import { pullModel, pushModel } from "./index.ts";

const server = new HubServer();
let hubUrl = "";
let scratch = "";
beforeAll(async () => {
  hubUrl = await server.start();
});
afterAll(() => server.stop());
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "athanor-remote-"));
  server.repos.clear();
  server.objects.clear();
  server.requests.length = 0;
  Object.assign(server, { token: undefined, cut: undefined, lie: undefined });
});
afterEach(() => rmSync(scratch, { recursive: true }));

const tensors = Buffer.alloc(3_000_000, "tensors");
const model = {
  "config.json": Buffer.from('{"model_type":"gpt2"}'),
  "model.safetensors": tensors,
  "tokenizer.json": Buffer.from("{}"),
};
const others = {
  "pytorch_model.bin": Buffer.from("pickle"),
  "model-00001-of-00001.safetensors": Buffer.from("a copy"),
  "flax_model.msgpack": Buffer.from("x"),
  "README.md": Buffer.from("# x"),
};
const put = (files: { readonly [name: string]: Buffer }) =>
  server.repos.set("me/model", new Map(Object.entries(files)));
const to = () => join(scratch, "model");
const pull = (options: object = {}) => pullModel("me/model", { to: to(), hubUrl, ...options });
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "done",
    (error: unknown) => (error instanceof AthanorError ? error.code : String(error)),
  );
const hashes = (files: { readonly [name: string]: Buffer }) =>
  Object.fromEntries(
    Object.entries(files).map(([name, bytes]) => [name, createHash("sha256").update(bytes).digest("hex")]),
  );
const contents = (folder: string) =>
  hashes(Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))])));

test("a model's files come, no others, and of the commit that the revision is", async () => {
  put({ ...model, ...others });
  const { commit, files, bytes } = await pull({ revision: "v1" });
  expect(contents(to())).toEqual(hashes(model));
  expect(files).toEqual(Object.keys(model).sort());
  expect([commit, bytes]).toEqual([server.commit, 3_000_023]);
  expect(server.requests[0]).toBe("GET /api/models/me/model/revision/v1");
  expect(server.requests.slice(1).every((line) => line.includes(server.commit))).toBe(true);
  expect(readdirSync(scratch)).toEqual(["model"]);
  expect(await codeOf(pull())).toBe("hub/exists");
});

test("shards come with their index", async () => {
  const names = [
    "model.safetensors.index.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
  ];
  put({
    "config.json": Buffer.from("{}"),
    ...Object.fromEntries(names.map((name) => [name, Buffer.from(name)])),
    ...others,
  });
  server.repos.get("me/model")!.delete("model-00001-of-00001.safetensors");
  expect((await pull()).files).toEqual(["config.json", ...names].sort());
});

test("what broke off goes on where it ended, and the folder appears only when all is there", async () => {
  put(model);
  server.cut = { name: "model.safetensors", after: 1_000_000 };
  expect(await codeOf(pull())).toBe("hub/network");
  expect(existsSync(to())).toBe(false);
  const begun = readdirSync(`${to()}.partial`).find((name) => name.endsWith(".begun"))!;
  const size = readFileSync(join(`${to()}.partial`, begun)).length;
  expect(size).toBeGreaterThan(0);
  server.cut = undefined;
  server.requests.length = 0;
  await pull();
  expect(contents(to())).toEqual(hashes(model));
  expect(server.requests).toContain(`GET /me/model/resolve/${server.commit}/model.safetensors bytes=${size}-2999999`);
  expect(server.requests.some((line) => line.includes("config.json"))).toBe(false);
});

test("begun files that are damaged or of another revision do no harm", async () => {
  put({ ...model, "generation_config.json": Buffer.from("{}") });
  server.cut = { name: "model.safetensors", after: 1_000_000 };
  await codeOf(pull());
  server.cut = undefined;
  const begun = readdirSync(`${to()}.partial`).find((name) => name.endsWith(".begun"))!;
  writeFileSync(join(`${to()}.partial`, begun), "not what came");
  writeFileSync(join(`${to()}.partial`, "config.json"), "changed by hand");
  put(model);
  expect(await codeOf(pull())).toBe("hub/hash");
  await pull();
  expect(contents(to())).toEqual(hashes(model));
});

test.each([
  ["another hash", "config.json", { oid: "0".repeat(40) }, "hub/hash"],
  ["another size", "config.json", { size: 22 }, "hub/hash"],
  ["a hash that is a path", "model.safetensors", { lfs: { oid: "../../../../evil", size: 1 } }, "hub/refused"],
  ["a size that is none", "config.json", { size: -1 }, "hub/refused"],
  ["a name that is a path", "config.json", { path: "../config.json" }, "hub/files"],
])("a listing with %s is refused", async (_, name, entry, code) => {
  put(model);
  server.lie = { name, entry };
  expect(await codeOf(pull())).toBe(code);
  expect(existsSync(to())).toBe(false);
  expect(readdirSync(scratch).filter((one) => !one.startsWith("model"))).toEqual([]);
});

test("pickles alone, no model, no repository, no right and no server are told apart", async () => {
  put({ "config.json": model["config.json"], "pytorch_model.bin": Buffer.from("x") });
  expect(await codeOf(pull())).toBe("hub/pickle");
  put({ "README.md": Buffer.from("x") });
  expect(await codeOf(pull())).toBe("hub/files");
  expect(await codeOf(pullModel("me/none", { to: to(), hubUrl }))).toBe("hub/not-found");
  server.token = "hf_right";
  expect(await codeOf(pull())).toBe("hub/denied");
  put(model);
  expect(await codeOf(pull({ accessToken: "hf_right" }))).toBe("done");
  expect(await codeOf(pull({ to: join(scratch, "b"), hubUrl: "http://127.0.0.1:9" }))).toBe("hub/network");
});

test("a folder is pushed in one commit, and pulled again it is the same", async () => {
  const folder = join(scratch, "mine");
  mkdirSync(folder);
  const files = { ...model, "README.md": Buffer.from("# mine\n") };
  for (const [name, bytes] of Object.entries({ ...files, "notes.txt": Buffer.from("private") }))
    writeFileSync(join(folder, name), bytes);
  server.token = "hf_mine";
  const access = { hubUrl, accessToken: "hf_mine" };
  const { commit, files: pushed } = await pushModel(folder, "me/mine", access);
  expect([commit, [...pushed].sort()]).toEqual([server.commit, Object.keys(files).sort()]);
  expect(hashes(Object.fromEntries(server.repos.get("me/mine")!))).toEqual(hashes(files));
  await pullModel("me/mine", { to: to(), ...access });
  expect(contents(to())).toEqual(hashes(model));
  server.requests.length = 0;
  await pushModel(folder, "me/mine", access);
  expect(server.requests.filter((line) => line.startsWith("PUT"))).toEqual([]); // the tensors are there already
});

test("what cannot be pushed is refused before anything is sent", async () => {
  const folder = join(scratch, "mine");
  mkdirSync(folder);
  const access = { hubUrl, accessToken: "hf_mine" };
  expect(await codeOf(pushModel(folder, "me/mine", { hubUrl }))).toBe("hub/token");
  expect(await codeOf(pushModel(folder, "me/mine", { hubUrl, accessToken: "other" }))).toBe("hub/token");
  expect(await codeOf(pushModel(folder, "mine", access))).toBe("hub/name");
  expect(await codeOf(pushModel(folder, "me/mine", access))).toBe("hub/files");
  expect(await codeOf(pushModel(join(scratch, "none"), "me/mine", access))).toBe("checkpoint/missing");
  writeFileSync(join(folder, "config.json"), "{}");
  writeFileSync(join(folder, "pytorch_model.bin"), "x");
  expect(await codeOf(pushModel(folder, "me/mine", access))).toBe("hub/pickle");
  expect(server.requests).toEqual([]);
});
