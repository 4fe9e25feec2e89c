// The one error: what it renders, what it keeps as data, and which names it suggests.
import { describe, expect, test } from "vitest";
import { AthanorError, didYouMean, fail, renderError, unreachable } from "./error.ts";

/** The AthanorError that `run` throws. */
function caught(run: () => unknown): AthanorError {
  try {
    run();
  } catch (error) {
    if (error instanceof AthanorError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("rendering", () => {
  test("all five fields in one column", () => {
    const text = renderError("shape/matmul-inner", "inner dimensions differ", {
      where: "h.3.attn.c_attn   (src/models/gpt.ts:88)",
      expected: "a.shape[-1] == b.shape[-2]",
      got: "a f32[8,128,768], b f32[512,2304]",
      fix: "set dim: 768 on this Linear, or transpose b",
    });
    expect(text).toMatchInlineSnapshot(`
      "[shape/matmul-inner] inner dimensions differ
        at        h.3.attn.c_attn   (src/models/gpt.ts:88)
        expected  a.shape[-1] == b.shape[-2]
        got       a f32[8,128,768], b f32[512,2304]
        fix       set dim: 768 on this Linear, or transpose b"
    `);
  });

  test("fields that are not known leave no line, and further lines stay in the column", () => {
    expect(renderError("data/empty", "no rows", {})).toBe("[data/empty] no rows");
    expect(
      renderError("config/invalid", "2 settings are wrong", { where: "a\nb", got: "lr: NaN\nsteps: -1" }),
    ).toMatchInlineSnapshot(`
        "[config/invalid] 2 settings are wrong
          at        a
                    b
          got       lr: NaN
                    steps: -1"
      `);
  });
});

describe("AthanorError", () => {
  test("keeps the fields as data, also through JSON", () => {
    const error = caught(() => fail("data/short-batch", "too few rows", { where: "data", got: "4 rows", fix: "less" }));
    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe("AthanorError");
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      code: "data/short-batch",
      what: "too few rows",
      where: "data",
      got: "4 rows",
      fix: "less",
    });
  });

  test("a place can be added once and is not overwritten; the cause and the stack stay", () => {
    const cause = new TypeError("below");
    const error = caught(() => fail("a/b", "broken", { cause, expected: "e", got: "g", fix: "f" }));
    const placed = error.at("h.0 $&");
    expect(placed.message).toContain("  at        h.0 $&\n  expected  e\n  got       g\n  fix       f");
    expect(placed.cause).toBe(cause);
    expect(placed.stack).toContain("caught");
    expect(placed.stack).toContain("h.0 $&\n");
    expect(placed.at("elsewhere")).toBe(placed);
  });

  test("what only our own fault can reach says so", () => {
    expect(caught(() => unreachable("impossible kind")).message).toMatchInlineSnapshot(`
      "[internal/unreachable] impossible kind
        fix       this is a fault in Athanor: please report it"
    `);
  });
});

describe("didYouMean", () => {
  const keys = ["layers", "heads", "width", "context", "dropout", "lr", "weightDecay", "steps", "seed"];
  test.each([
    ["layer", "layers"],
    ["widht", "width"],
    ["stpes", "steps"],
    ["weight_decay", "weightDecay"],
    ["WeightDecay", "weightDecay"],
    ["LR", "lr"],
    ["lrr", "lr"],
    ["contxet", "context"],
    ["sed", "seed"],
  ])("%s: %s", (word, expected) => {
    expect(didYouMean(word, keys)).toBe(expected);
  });

  test.each(["x", "ab", "", "optimizer", "batch", "ox"])("has nothing to suggest for %o", (word) => {
    expect(didYouMean(word, keys)).toBeUndefined();
  });

  test("takes the nearest, and the first of equals", () => {
    expect(didYouMean("gelus", ["relu", "gelu", "silu"])).toBe("gelu");
    expect(didYouMean("belu", ["relu", "gelu"])).toBe("relu");
  });
});
