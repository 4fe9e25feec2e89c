// Sharing memory: an output takes over the memory of an input that dies with the instruction, or where it is a variable, the
// input lies there from the beginning.
import { type Buffer, type Draft, isWhole, root } from "./placement.ts";

/** Computes the lifetime of every buffer, then lets instructions write over what they read last. */
export function shareInPlace(drafts: readonly Draft[]): void {
  findLifetimes(drafts);
  for (const draft of drafts) {
    const taken = new Set<Buffer>();
    for (const [out, into] of draft.inPlace) {
      const [output, input] = [draft.outputs[out], draft.inputs[into]];
      if (output === undefined || input === undefined) continue;
      const [from, to] = [root(input.buffer), root(output.buffer)];
      const fits =
        from.space === "arena" &&
        from !== to &&
        from.last === draft.at &&
        isFree(to, from, draft) &&
        !taken.has(from) &&
        !taken.has(to) &&
        input.dtype === output.dtype &&
        from.bytes === to.bytes &&
        isWhole(input) &&
        isWhole(output) &&
        // the same memory read through another operand would be overwritten while it is read
        draft.inputs.every((other, position) => position === into || root(other.buffer) !== from);
      if (!fits) continue;
      taken.add(from).add(to);
      if (to.space === "variable") {
        from.sameAs = to;
      } else {
        to.sameAs = from;
        from.last = to.last;
      }
    }
  }
}

/**
 * Memory that begins with the instruction; or a variable's, when nobody reads its old value once `from` is there, and what
 * makes `from` waits for the guard as the instruction does.
 */
function isFree(to: Buffer, from: Buffer, draft: Draft): boolean {
  if (to.space === "arena") return to.first === draft.at;
  return (
    to.space === "variable" &&
    to.readers.every(({ at }) => at < from.first) &&
    from.writers.every(({ commit }) => commit === draft.commit)
  );
}

function findLifetimes(drafts: readonly Draft[]): void {
  for (const draft of drafts) {
    for (const operand of [...draft.inputs, ...draft.outputs]) {
      const { moving } = operand.buffer;
      const whole = moving === undefined ? operand.buffer : moving.of;
      const buffer = root(whole);
      // what a loop does not make anew in every turn must last for all of them
      const isOutside = draft.loop !== undefined && buffer.loop !== draft.loop;
      const { first, end } = isOutside ? draft.loop! : { first: draft.at, end: draft.at };
      buffer.first = Math.min(buffer.first, first);
      buffer.last = whole.pinned ? Number.POSITIVE_INFINITY : Math.max(buffer.last, end);
    }
  }
}
