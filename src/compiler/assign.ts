// Where the next values of variables are written: in their place by whoever computes them, when nobody reads the old
// value later; else copied there at the end.
import type { DType, Shape } from "../base/index.ts";
import type { Node } from "../core/index.ts";
import type { Lowering } from "./lower.ts";
import { type Buffer, isWhole, type Placement, root } from "./placement.ts";
import { denseView, isDense } from "./views.ts";

/** One `assign()`: the variable and the id of its next value. */
export interface Assignment {
  readonly node: Node;
  readonly value: number;
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Emits what is needed for every variable to hold its next value after the program's last instruction. */
export function assignVariables(lowering: Lowering, assignments: readonly Assignment[]): void {
  const targetOf = ({ name, dtype, shape }: Assignment) => lowering.variable(name, dtype, shape);
  const changes = assignments.filter((assignment) => {
    const value = lowering.placementOf(assignment.value);
    return !(value.buffer === targetOf(assignment) && isWhole(value));
  });
  // A variable given the old value of another (a swap, say) takes it from a copy made before any is overwritten.
  const written = new Set(changes.map(targetOf));
  for (const { node, value } of changes) {
    const old = lowering.placementOf(value);
    if (written.has(old.buffer)) lowering.copy(old, lowering.fresh(value), node);
  }
  for (const assignment of changes) {
    const value = lowering.placementOf(assignment.value);
    const target = targetOf(assignment);
    if (mayWriteDirectly(value, target, lowering.graph.guard !== undefined)) {
      target.writers.push(...value.buffer.writers);
      value.buffer.sameAs = target;
    } else {
      const { dtype, shape, node } = assignment;
      lowering.copy(value, { ...denseView(shape), dtype, buffer: target }, node);
    }
  }
}

/** True when the one instruction that makes `value` may write it over the variable's old value. */
function mayWriteDirectly(value: Placement, target: Buffer, guarded: boolean): boolean {
  const { buffer } = value;
  const [maker, ...others] = buffer.writers;
  if (maker === undefined || others.length > 0 || target.writers.length > 0) return false;
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
