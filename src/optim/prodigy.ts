// Prodigy (Mishchenko & Defazio 2024, algorithm 4): Adam whose rate is an estimate d of the distance from start to solution.
// ⟨gₖ, x₀ − xₖ⟩ summed over steps, divided by the 1-norm of the summed gradients, bounds that distance from below.
import { maximum, type Tensor, where } from "../core/index.ts";
import { runningMean } from "./adam-rules.ts";
import { mapTensors, scalarSlots, scaledUpdates, slotsNamed, type Transform, type UpdateTools } from "./optimizer.ts";
import type { AdamNumbers } from "./transforms.ts";

export interface ProdigyNumbers extends AdamNumbers {
  /** First estimate of the distance, d₀. */
  readonly distance: number;
}

const [distance, numerator] = ["prodigy.distance", "prodigy.numerator"];
/** The estimate before this step. */
const estimate = ({ slot }: UpdateTools, first: number): Tensor => maximum(slot(distance), first);
const sum = (tensors: readonly Tensor[]): Tensor => tensors.reduce((total, one) => total.add(one));

/** m / (√v + dₖ₊₁ ε), m and v of gradients times dₖ. Decay and `scaleByDistance` follow. */
export function scaleByProdigy({ beta1, beta2, eps, distance: first }: ProdigyNumbers): Transform {
  const slow = Math.sqrt(beta2);
  const own = ["m", "v", "sum", "start"].map((name) => `prodigy.${name}`);
  return {
    name: "prodigy",
    slots: (types) => [...slotsNamed(own)(types), ...scalarSlots(types, [distance, numerator])],
    scalarsAt: (step) => ({
      "prodigy.begins": step === 0 ? 1 : 0,
      "prodigy.correction": Math.sqrt(1 - beta2 ** (step + 1)) / (1 - beta1 ** (step + 1)),
    }),
    apply: (state, tools) => {
      const { slot, setSlot, scalar } = tools;
      const keep = (name: string, value: Tensor): Tensor => {
        setSlot(name, value);
        return value;
      };
      const grads = scaledUpdates(state);
      const d = estimate(tools, first);
      const weight = d.div(first).mul(d.mul(scalar("prodigy.correction")).mul(scalar("lr")));
      const starts = mapTensors(state.parameters, (parameter, name) =>
        keep(`prodigy.start.${name}`, slot(`prodigy.start.${name}`).add(parameter.mul(scalar("prodigy.begins")))),
      );
      const gains = [...grads].map(([name, grad]) =>
        grad.mul(starts.get(name)!.sub(state.parameters.get(name)!)).sum(),
      );
      const gained = keep(
        numerator,
        slot(numerator)
          .mul(slow)
          .add(weight.mul(sum(gains))),
      );
      const sums = [...grads].map(([name, grad]) =>
        keep(`prodigy.sum.${name}`, slot(`prodigy.sum.${name}`).mul(slow).add(grad.mul(weight))),
      );
      const length = sum(sums.map((one) => one.abs().sum()));
      const next = keep(distance, maximum(d, where(length.greater(0), gained.div(length), 0)));
      const updates = mapTensors(grads, (grad, name) => {
        const scaled = grad.mul(d);
        const m = keep(`prodigy.m.${name}`, runningMean(slot(`prodigy.m.${name}`), scaled, beta1));
        const v = keep(`prodigy.v.${name}`, runningMean(slot(`prodigy.v.${name}`), scaled.square(), beta2));
        return m.div(v.sqrt().add(next.mul(eps)));
      });
      return { ...state, updates, factor: undefined };
    },
  };
}

/** Updates times dₖ and Adam's correction of bias. */
export function scaleByDistance({ distance: first }: Pick<ProdigyNumbers, "distance">): Transform {
  return {
    name: "scaleByDistance",
    apply: (state, tools) => {
      const by = estimate(tools, first).mul(tools.scalar("prodigy.correction"));
      return { ...state, factor: state.factor === undefined ? by : state.factor.mul(by) };
    },
  };
}
