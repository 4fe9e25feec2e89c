// What every model of text asks of its tokens.
import { fail } from "../base/index.ts";
import type { Tensor } from "../core/index.ts";

/** Errors with `model/context` unless the tokens are i32 (B, T) with T up to the context. */
export function checkTokens(tokens: Tensor, context: number): void {
  if (tokens.dtype === "i32" && tokens.rank === 2 && tokens.shape[1]! <= context) return;
  fail("model/context", "tokens do not fit the model", {
    expected: `i32[batch, up to ${context}]`,
    got: tokens.toString(),
    fix: "cut the text into windows of at most context tokens, or make a model with a longer context",
  });
}
