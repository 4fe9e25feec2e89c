// Rotary position embedding in the layout (B, T, H, D): pairs of a head's channels turn by an angle of their position.
// R ≤ D channels turn, the others pass through (Su et al. 2021).
import { fail, formatType, isFloat, sizeOf } from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp, type ValueType } from "../op.ts";
import type { Tensor } from "../tensor.ts";

export type RotaryAttrs = {
  /** Pairs are neighbours (2i, 2i + 1), as in GPT-J; else i and i + R/2, as in GPT-NeoX and Llama. */
  readonly interleaved: boolean;
  /** Turns back, by the negative angle. */
  readonly inverse: boolean;
};

function check(x: ValueType, cos: ValueType, sin: ValueType): void {
  const [batch, time, , width] = x.shape;
  const fits =
    x.shape.length === 4 &&
    cos.shape.length === 3 &&
    isFloat(x.dtype) &&
    [cos, sin].every((table) => formatType(table.dtype, table.shape) === formatType(x.dtype, cos.shape)) &&
    (cos.shape[0] === batch || cos.shape[0] === 1) &&
    cos.shape[1] === time &&
    cos.shape[2]! >= 1 &&
    2 * cos.shape[2]! <= width!;
  if (!fits) {
    fail("shape/rotary", "the tables do not fit what is to turn", {
      expected: "x [B,T,H,D]; cos and sin [B or 1,T,R/2] of its dtype, 2 ≤ R ≤ D",
      got: `x ${formatType(x.dtype, x.shape)}, cos ${formatType(cos.dtype, cos.shape)}, sin ${formatType(sin.dtype, sin.shape)}`,
    });
  }
}

function compose(x: Tensor, cos: Tensor, sin: Tensor, { interleaved, inverse }: RotaryAttrs): Tensor {
  const [batch, time, heads, width] = x.shape as [number, number, number, number];
  const half = cos.shape[2]!;
  const turning = x.slice(3, 0, 2 * half);
  // the first and the second of every pair: (B, T, H, R/2)
  const pairs = interleaved
    ? turning.reshape(batch, time, heads, half, 2)
    : turning.reshape(batch, time, heads, 2, half);
  const axis = interleaved ? 4 : 3;
  const [a, b] = [0, 1].map((at) => pairs.slice(axis, at, at + 1).reshape(batch, time, heads, half)) as [
    Tensor,
    Tensor,
  ];
  const perHead = (table: Tensor) =>
    table.reshape(table.shape[0]!, time, 1, half).broadcastTo([batch, time, heads, half]);
  const [c, s] = [perHead(cos), inverse ? perHead(sin).neg() : perHead(sin)];
  const turned = [a.mul(c).sub(b.mul(s)), b.mul(c).add(a.mul(s))].map((part) =>
    interleaved ? part.reshape(batch, time, heads, half, 1) : part.reshape(batch, time, heads, 1, half),
  );
  const joined = f.concat(turned, axis).reshape(batch, time, heads, 2 * half);
  return 2 * half === width ? joined : f.concat([joined, x.slice(3, 2 * half, width)], 3);
}

const x = { shape: [2, 3, 2, 6] } as const;

/** The gradient of what turned is the gradient turned back. */
function turnBack(grad: Tensor, cos: Tensor, sin: Tensor, attrs: RotaryAttrs): Tensor {
  return f.fused(rotary, [grad, cos, sin], { ...attrs, inverse: !attrs.inverse });
}

export const rotary = defineOp<["x", "cos", "sin"], RotaryAttrs>({
  name: "rotary",
  kind: "fused",
  layout: "rows",
  bf16: { inputs: [0], outputs: [0] },
  inPlace: [[0, 0]],
  doc: "turns pairs (a, b) of channels: (a·cos − b·sin, b·cos + a·sin)",
  inputs: ["x", "cos", "sin"],
  infer: ([x, cos, sin]) => {
    check(x, cos, sin);
    return x;
  },
  expand: ([x, cos, sin], attrs) => compose(x, cos, sin, attrs),
  params: ({ interleaved, inverse }) => [Number(interleaved), Number(inverse)],
  vjp: ({ grads: [grad], inputs: [, cos, sin], attrs }) => [turnBack(grad!, cos, sin, attrs), null, null],
  cost: ([x]) => ({ flops: 3 * sizeOf(x!.shape) }),
  samples: [
    { inputs: [x, { shape: [1, 3, 3] }, { shape: [1, 3, 3] }], attrs: { interleaved: false, inverse: false } },
    { inputs: [x, { shape: [2, 3, 2] }, { shape: [2, 3, 2] }], attrs: { interleaved: true, inverse: false } },
    { inputs: [x, { shape: [1, 3, 1] }, { shape: [1, 3, 1] }], attrs: { interleaved: false, inverse: true } },
    {
      inputs: [{ shape: [1, 2, 3, 80] }, { shape: [1, 2, 35] }, { shape: [1, 2, 35] }],
      attrs: { interleaved: false, inverse: false },
    },
    {
      inputs: [{ shape: [0, 3, 2, 4] }, { shape: [1, 3, 2] }, { shape: [1, 3, 2] }],
      attrs: { interleaved: true, inverse: false },
    },
  ].map((sample) => ({ ...sample, differentiable: [0] })),
});
