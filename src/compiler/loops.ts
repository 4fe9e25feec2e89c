// Lowering of scans: the instructions of one turn, which run again and again. What is carried lies where the scan's result will; of what goes in
// and comes out by turns, each turn sees a window that moves.
import { byteSize, type Shape, sizeOf } from "../base/index.ts";
import type { Node, ScanAttrs } from "../core/index.ts";
import { Lowering } from "./lower.ts";
import { block, type Loop, type Placement } from "./placement.ts";

export function lowerScan(outer: Lowering, node: Node): void {
  const { body, results, carried, sequences, turns, reverse } = node.attrs as ScanAttrs;
  const operands = node.inputs.map((id) => outer.placementOf(id));
  const held = results.slice(0, carried).map((_, at) => outer.fresh(node.outputs[at]!));
  held.forEach((place, at) => void outer.copy(operands[at]!, place, node));
  const loop: Loop = { first: outer.drafts.length, end: Number.POSITIVE_INFINITY, turns };
  const windowOf = (whole: Placement) => window(whole, turns, reverse);
  const turn = new Lowering(body, outer.target, { outer, loop, node });
  for (const { attrs, outputs } of body.nodesOf("input")) {
    const place = Number(attrs.name);
    const operand = held[place] ?? operands[place]!;
    turn.put(outputs[0]!, place >= carried && place < carried + sequences ? windowOf(operand) : operand);
  }
  const given = results
    .slice(carried)
    .map((id, at) => ({ id, to: windowOf(outer.fresh(node.outputs[carried + at]!)) }));
  // What fills them before the loop is no reason for the body not to write there itself.
  const before = held.map(({ buffer }) => buffer.writers.splice(0));
  turn.runTurn(
    given,
    held.map((to, at) => ({ id: results[at]!, to })),
  );
  held.forEach(({ buffer }, at) => void buffer.writers.push(...before[at]!));
  loop.end = outer.drafts.length;
}

/** One index of the first axis, which moves on with every turn. */
function window(whole: Placement, turns: number, reverse: boolean): Placement {
  const { buffer, dtype, offset } = whole;
  const [, ...shape] = whole.shape as readonly number[] & Shape;
  const [stride = 0, ...strides] = whole.strides;
  const step = turns === 1 || sizeOf(shape) === 0 ? 0 : stride * byteSize(dtype);
  const moving = { of: buffer, start: reverse ? (turns - 1) * step : 0, step: reverse ? -step : step };
  const { space, bytes, index } = buffer;
  return { dtype, shape, strides, offset, buffer: block(space, bytes, { index, moving }) };
}
