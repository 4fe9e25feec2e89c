// Eight-bit storage, block by block: 256 numbers share one scale, and each is a code of a dynamic tree (Dettmers et al. 2021). For
// what is kept from step to step, not for products.
import { codebooks, fail, formatType, isFloat, type Shape, sizeOf } from "../../base/index.ts";
import { defineOp } from "../op.ts";

/** Numbers that share a scale. */
export const blockSize = 256;

export const blocksOf = (shape: Shape): number => Math.ceil(sizeOf(shape) / blockSize);

type BlockAttrs = { readonly signed: boolean };

const samplesOf = (shapes: readonly Shape[]) =>
  shapes.flatMap((shape) => [true, false].map((signed) => ({ shape, signed })));

export const quantizeBlocks = defineOp<["x"], BlockAttrs>({
  name: "quantizeBlocks",
  kind: "fused",
  doc: "codes u8 of x, and the scale of each block: its largest |x|, not finite where the block is not. Without a sign, numbers below 0 count as 0, and none above is 0",
  inputs: ["x"],
  infer: ([x]) => {
    if (!isFloat(x.dtype))
      fail("dtype/blocks", "what is stored by blocks is floating", { got: formatType(x.dtype, x.shape) });
    return [
      { dtype: "u8", shape: x.shape },
      { dtype: x.dtype, shape: [blocksOf(x.shape)] },
    ];
  },
  reference: ([x], { signed }, [codes, scales]) => {
    const { encode } = codebooks[signed ? "signed" : "unsigned"];
    const values = x!.data as Float32Array;
    const round = x!.dtype === "f32" ? Math.fround : Number;
    for (let block = 0; block < scales!.data.length; block++) {
      const part = values.subarray(block * blockSize, (block + 1) * blockSize);
      const scale = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      scales!.data[block] = scale;
      part.forEach((value, at) => {
        codes!.data[block * blockSize + at] = scale > 0 && scale < Infinity ? encode(round(value / scale)) : encode(0);
      });
    }
  },
  params: ({ signed }) => [Number(signed)],
  vjp: "none",
  cost: ([x]) => ({ flops: 4 * sizeOf(x!.shape) }),
  samples: samplesOf([[37], [3, 257], [0]]).map(({ shape, signed }) => ({
    inputs: [{ shape, ...(signed ? {} : { low: 0, high: 2 }) }],
    attrs: { signed },
  })),
});

export const dequantizeBlocks = defineOp<["codes", "scales"], BlockAttrs>({
  name: "dequantizeBlocks",
  kind: "fused",
  doc: "the numbers that codes and scales of quantizeBlocks stand for",
  inputs: ["codes", "scales"],
  infer: ([codes, scales]) => {
    if (
      codes.dtype !== "u8" ||
      !isFloat(scales.dtype) ||
      scales.shape.length !== 1 ||
      scales.shape[0] !== blocksOf(codes.shape)
    ) {
      fail("shape/blocks", "there is one floating scale for each block of codes", {
        expected: `codes u8[…], scales [${blocksOf(codes.shape)}]`,
        got: `${formatType(codes.dtype, codes.shape)}, ${formatType(scales.dtype, scales.shape)}`,
      });
    }
    return { dtype: scales.dtype, shape: codes.shape };
  },
  reference: ([codes, scales], { signed }, [y]) => {
    const { decode } = codebooks[signed ? "signed" : "unsigned"];
    (codes!.data as Uint8Array).forEach((code, at) => {
      y!.data[at] = decode(code) * (scales!.data[Math.floor(at / blockSize)] as number);
    });
  },
  params: ({ signed }) => [Number(signed)],
  vjp: "none",
  cost: ([codes]) => ({ flops: sizeOf(codes!.shape) }),
  samples: samplesOf([[37], [3, 257], [0]]).map(({ shape, signed }) => ({
    inputs: [{ shape, dtype: "u8", low: 0, high: 256 }, { shape: [blocksOf(shape)] }],
    attrs: { signed },
  })),
});
