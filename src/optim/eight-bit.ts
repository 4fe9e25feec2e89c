// Slots kept in eight bits: whatever transform they belong to sees floating slots, and the store holds codes and scales of blocks.
import { type Shape, sizeOf } from "../base/index.ts";
import { dequantizeBlocks, numBlocks, quantizeBlocks, type Tensor } from "../core/index.ts";
import { remember, type TensorType, type Transform } from "./optimizer.ts";

export interface EightBitSlots {
  /** Slots of both signs, such as `adam.m`. */
  readonly signed: readonly string[];
  /** Slots that are never below 0, such as `adam.v`: their codes are twice as dense. */
  readonly unsigned: readonly string[];
  /** Parameters of fewer numbers keep their slots whole. Default `fewestInEightBits`. */
  readonly least?: number;
}

/** Dettmers et al. 2021. */
export const fewestInEightBits = 4096;

/**
 * The transform with the slots named kept as one byte per number and one scale per 256, read and written anew at each update. A slot
 * `adam.m.x` keeps its name for its codes; its scales are `adam.mScale.x`.
 */
export function inEightBits(
  transform: Transform,
  { signed, unsigned, least = fewestInEightBits }: EightBitSlots,
): Transform {
  /** How a slot is kept: whether its codes have a sign, and what its scales are called. `undefined`: whole. */
  const kept = (slot: string, shape: Shape) => {
    const rule = [...signed, ...unsigned].find((name) => slot.startsWith(`${name}.`));
    if (rule === undefined || sizeOf(shape) < least) return undefined;
    return { signed: signed.includes(rule), scale: `${rule}Scale${slot.slice(rule.length)}` };
  };
  return {
    ...transform,
    slots: (parameters) =>
      (transform.slots?.(parameters) ?? []).flatMap((type): TensorType[] => {
        const how = kept(type.name, type.shape);
        if (how === undefined) return [type];
        return [
          { ...type, dtype: "u8" },
          { name: how.scale, dtype: type.dtype, shape: [numBlocks(type.shape)] },
        ];
      }),
    apply: (state, tools) => {
      const types = [...state.parameters].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
      const shapes = new Map((transform.slots?.(types) ?? []).map(({ name, shape }) => [name, shape]));
      const howOf = (slot: string) => kept(slot, shapes.get(slot)!);
      return transform.apply(state, {
        ...tools,
        slot: remember((slot): Tensor => {
          const how = howOf(slot);
          return how === undefined ? tools.slot(slot) : dequantizeBlocks(tools.slot(slot), tools.slot(how.scale), how);
        }),
        setSlot: (slot, value, check) => {
          const how = howOf(slot);
          if (how === undefined) return tools.setSlot(slot, value, check);
          const [codes, scales] = quantizeBlocks(value, how);
          tools.setSlot(slot, codes, check);
          tools.setSlot(how.scale, scales, check);
        },
      });
    },
  };
}
