// Sharing memory inside the arena: an output takes over the memory of an input that dies with the instruction.
import { type Buffer, type Draft, isWhole, root } from "./placement.ts";

/** Computes the lifetime of every buffer, then lets instructions write over what they read last. */
export function shareInPlace(drafts: readonly Draft[]): void {
  findLifetimes(drafts);
  for (const draft of drafts) {
    const taken = new Set<Buffer>();
    for (const [out, into] of draft.inPlace) {
      const [output, input] = [draft.outputs[out], draft.inputs[into]];
      if (output === undefined || input === undefined || output.buffer.sameAs !== undefined) continue;
      const from = root(input.buffer);
      const fits =
        from.space === "arena" &&
        output.buffer.space === "arena" &&
        from !== output.buffer &&
        from.last === draft.at &&
        output.buffer.first === draft.at &&
        !taken.has(from) &&
        input.dtype === output.dtype &&
        from.bytes === output.buffer.bytes &&
        isWhole(input) &&
        isWhole(output) &&
        // the same memory read through another operand would be overwritten while it is read
        draft.inputs.every((other, position) => position === into || root(other.buffer) !== from);
      if (!fits) continue;
      output.buffer.sameAs = from;
      from.last = output.buffer.last;
      taken.add(from);
    }
  }
}

function findLifetimes(drafts: readonly Draft[]): void {
  for (const draft of drafts) {
    for (const operand of [...draft.inputs, ...draft.outputs]) {
      const buffer = root(operand.buffer);
      buffer.first = Math.min(buffer.first, draft.at);
      buffer.last = operand.buffer.pinned ? Number.POSITIVE_INFINITY : Math.max(buffer.last, draft.at);
    }
  }
}
