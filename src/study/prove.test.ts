// The list of proofs, how they are chosen, and that a proof can fail. The proofs themselves run in the later tiers.
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { MarkovSource } from "./markov.ts";
import { atLeast, atMost, equal, holds, type Proof, refused, within } from "./proof.ts";
import { proofs, runProof, selectProofs } from "./prove.ts";

const promised = [
  "gd.full",
  "gd.minibatch",
  "gd.sgd1",
  "gd.stop",
  "loss.mse",
  "loss.ce",
  "loss.log",
  "init.he",
  "init.xavier",
  "init.zeros",
  "init.mup",
  "opt.adam",
  "opt.momentum",
  "opt.decay",
  "opt.choose",
  ...["lr.fixed", "lr.exp", "lr.step", "lr.staircase", "lr.updown", "lr.subtract", "lr.dynamic"],
  ...["bs.experiment", "bs.fixed", "bs.exp", "bs.staged"],
  "lr.choose",
  "bs.noise",
  "reg.l2",
  "reg.dropout",
  "reg.small",
  "reg.moredata",
  "reg.dropout.mode",
  "eval.arf1",
  "interpret.importance",
  "par.threads",
  "repeat",
  "arch.gpt",
  "arch.gpt3",
  "arch.llama",
  "arch.transformer",
  "finetune",
  "arch.seq2seq",
  "pre.tokenize",
  "arch.bert",
  ...["nlp.classify", "nlp.sentiment", "pretrain", "nlp.qa"],
  "nlp.translate",
  "nlp.summarize",
  "pipe.six",
  "sys.numpy",
  "sys.pytorch",
  "sys.keras",
  "sys.jax",
  "sys.sklearn",
  "sys.transformers",
  "security.safe",
];

describe("the list", () => {
  test("holds what is promised, each with what it shows", () => {
    expect(proofs.map(({ id }) => id)).toEqual(promised);
    for (const { doc } of proofs) expect(doc.length).toBeGreaterThan(20);
  });

  test("is chosen from by id, with a suggestion for a slip", () => {
    expect(selectProofs(["repeat", "gd.full"]).map(({ id }) => id)).toEqual(["repeat", "gd.full"]);
    expect(() => selectProofs(["opt.adan"])).toThrow(/did you mean opt\.adam/);
    expect(() => selectProofs(["opt.adam"], { data: "x" })).toThrow(/takes no data/);
    expect(selectProofs(["arch.gpt"], { data: "x" })).toHaveLength(1);
  });
});

describe("a proof", () => {
  const proof = (run: Proof["run"]): Proof => ({ id: "x", doc: "x", run });

  test("passes when every figure keeps its bound, and its folder is gone", async () => {
    let folder = "";
    const result = await runProof(
      proof(async (context) => {
        folder = context.folder;
        expect(existsSync(folder)).toBe(true);
        return [within("a", 1, 1.1, 0.2), atMost("b", 1, 1)];
      }),
    );
    expect(result).toMatchObject({ id: "x", ok: true });
    expect(existsSync(folder)).toBe(false);
  });

  test("fails by one figure, by none, and by an error", async () => {
    expect(await runProof(proof(async () => [atMost("a", 1, 2), atMost("b", 3, 2)]))).toMatchObject({ ok: false });
    expect(await runProof(proof(async () => []))).toMatchObject({ ok: false });
    const thrown = await runProof(proof(() => Promise.reject(new Error("broken"))));
    expect(thrown).toMatchObject({ ok: false, error: expect.stringContaining("broken") });
  });

  test("figures that are not numbers keep no bound", () => {
    const bad = [within("a", Number.NaN, 1, 1), atMost("a", Number.NaN, 1), atLeast("a", Number.NaN, 1)];
    expect(bad.map(({ ok }) => ok)).toEqual([false, false, false]);
    expect([equal("a", "x", "y"), holds("a", false)].map(({ ok }) => ok)).toEqual([false, false]);
    expect(refused("a", "shape/loss", () => 1)).toMatchObject({ ok: false, value: "accepted" });
    expect(refused("a", "shape/loss", () => JSON.parse("{"))).toMatchObject({ ok: false });
  });
});

describe("the Markov source", () => {
  test("is the fair coin when it has no preferences", () => {
    const source = new MarkovSource({ alphabet: "ab", seed: 1, sharpness: 0 });
    expect(source.entropyRate()).toBeCloseTo(Math.LN2, 12);
    expect(source.surprise(source.text(100, 1), 98).mean).toBeCloseTo(Math.LN2, 12);
  });

  test("knows a hidden character's chances from both sides, as an enumeration of all texts does", () => {
    const source = new MarkovSource({ alphabet: "abc", seed: 4, sharpness: 1.5 });
    const piece = [0, undefined, 2, undefined, undefined, 1];
    const chanceOf = (ids: readonly number[]) => {
      const text = ids.map((id) => "abc"[id]).join("");
      return Math.exp(-source.surprise(text, ids.length - 2).mean * (ids.length - 2));
    };
    const start = source.posterior([undefined, undefined, undefined]); // of single characters, nothing being known
    const pairs = (a: number, b: number) => {
      const after = source.posterior([a, undefined, undefined])[1]![b]!;
      return start[0]![a]! * after;
    };
    const sums = piece.map(() => [0, 0, 0]);
    for (let code = 0; code < 27; code++) {
      const drawn = [code % 3, Math.floor(code / 3) % 3, Math.floor(code / 9)];
      const ids = piece.map((id) => id ?? drawn.pop()!);
      const weight = pairs(ids[0]!, ids[1]!) * chanceOf(ids);
      ids.forEach((id, at) => {
        sums[at]![id]! += weight;
      });
    }
    const total = sums[0]!.reduce((sum, value) => sum + value, 0);
    source.posterior(piece).forEach((chances, at) => {
      chances.forEach((chance, id) => {
        expect(chance).toBeCloseTo(sums[at]![id]! / total, 12);
      });
    });
  });

  test("surprises itself by its entropy rate", () => {
    const source = new MarkovSource({ alphabet: "abcd", seed: 2, sharpness: 1.5 });
    const { mean, standardError } = source.surprise(source.text(50_000, 3), 49_998);
    expect(Math.abs(mean - source.entropyRate())).toBeLessThan(3.5 * standardError);
    expect(source.entropyRate()).toBeLessThan(0.9 * Math.log(4));
  });
});
