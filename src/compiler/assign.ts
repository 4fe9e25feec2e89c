// Where the next values of variables, and of what a loop carries, are written: in their place by whoever computes them, when
// nobody reads the old value later; else copied there at the end.
import type { Node } from "../core/index.ts";
import type { Lowering } from "./lower.ts";
import { type Buffer, isWhole, type Placement, root } from "./placement.ts";
import { isDense } from "./views.ts";

/** A place that lasts, all of a buffer, and the id of its next value: a variable's, or what a loop carries. */
export interface Assignment {
  readonly node: Node;
  readonly value: number;
  readonly to: Placement;
}

/** Emits what is needed for every place to hold its next value after the last instruction. */
export function assignAll(lowering: Lowering, assignments: readonly Assignment[]): void {
  const changes = assignments.filter(({ value: id, to }) => {
    const value = lowering.placementOf(id);
    return !(value.buffer === to.buffer && isWhole(value));
  });
  // A place given the old value of another (a swap, say) takes it from a copy made before any is overwritten.
  const written = new Set(changes.map(({ to }) => to.buffer));
  for (const { node, value } of changes) {
    const old = lowering.placementOf(value);
    if (written.has(old.buffer)) lowering.copy(old, lowering.fresh(value), node);
  }
  for (const { value: id, to, node } of changes) {
    const value = lowering.placementOf(id);
    const target = to.buffer;
    const isOwn = value.buffer.loop === lowering.within?.loop; // a body has no say over what lies outside
    if (isOwn && mayWriteDirectly(value, target, lowering.graph.guard !== undefined)) {
      target.writers.push(...value.buffer.writers);
      value.buffer.sameAs = target;
    } else lowering.copy(value, to, node);
  }
}

/** True when the one instruction that makes `value` may write it over the variable's old value. */
function mayWriteDirectly(value: Placement, target: Buffer, guarded: boolean): boolean {
  const { buffer } = value;
  const [maker, ...others] = buffer.writers;
  if (maker === undefined || others.length > 0 || target.writers.length > 0) return false;
  if (maker.loop !== buffer.loop) return false; // what a loop gives out is made in its turns
  if (buffer.space !== "arena" || root(buffer) !== buffer || buffer.pinned || !isWhole(value)) return false;
  if (guarded && !maker.commit) return false;
  const output = maker.outputs.findIndex((made) => made.buffer === buffer);
  return target.readers.every((reader) => {
    if (reader !== maker) return reader.at < maker.at;
    // The maker reads the old value itself: it must do so element by element, in step with its writing.
    return maker.inputs.every(
      (input, position) =>
        input.buffer !== target ||
        (isDense(input) && input.offset === 0 && maker.inPlace.some(([o, i]) => o === output && i === position)),
    );
  });
}
