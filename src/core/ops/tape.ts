// The fused elementwise chain. The compiler makes it; nobody writes one by hand.
import { roundTo, type Shape } from "../../base/index.ts";
import { allOps, defineOp, type TapeStep, type ValueType } from "../op.ts";
import { tapeOpcodes } from "../tape-opcodes.ts";

type TapeAttrs = {
  readonly shape: Shape;
  /** Steps in order; their arguments are registers: the inputs first, then one per step. */
  readonly steps: readonly TapeStep[];
  /** The register of each output. */
  readonly results: readonly number[];
};

const opcodes = new Map<string, number>(tapeOpcodes.map((name, code) => [name, code]));

export const tape = defineOp<string[], TapeAttrs>({
  name: "tape",
  kind: "elementwise",
  doc: "a chain of elementwise operations, without memory traffic between them",
  inputs: ["operands"],
  variadic: true,
  layout: "strided",
  infer: (inputs, { shape, steps, results }) =>
    results.map((register): ValueType => ({ dtype: steps[register - inputs.length]!.dtype, shape })),
  reference: (inputs, { steps, results }, outputs) => {
    const functions = steps.map((step) => allOps().get(step.op)?.scalar);
    const size = outputs[0]!.data.length;
    const registers = new Float64Array(inputs.length + steps.length);
    for (let i = 0; i < size; i++) {
      inputs.forEach((input, at) => {
        registers[at] = Number(input.data[i]);
      });
      steps.forEach((step, at) => {
        const values = step.args.map((register) => registers[register]!);
        registers[inputs.length + at] = roundTo(step.dtype, step.value ?? functions[at]!(...values));
      });
      outputs.forEach((output, at) => {
        output.data[i] = registers[results[at]!]!;
      });
    }
  },
  params: ({ steps, results }, inputs) => {
    const integer = steps.some((step) => step.op !== "const" && step.op !== "cast" && isInteger(step, steps, inputs));
    const code = steps.flatMap((step, at) => {
      const [a = 0, b = 0, c = 0] = step.value === undefined ? step.args : [step.value];
      return [opcodes.get(step.op)!, inputs.length + at, a, b, c];
    });
    return [Number(integer), steps.length, ...code, ...results];
  },
  cost: ([x], _, { steps }) => ({ flops: steps.length * (x?.shape ?? []).reduce((a, b) => a * b, 1) }),
  samples: [],
});

/** True when a step reads or makes i32: the whole tape then runs on i32 registers. */
function isInteger(step: TapeStep, steps: readonly TapeStep[], inputs: readonly ValueType[]): boolean {
  const dtypeOf = (register: number) => inputs[register]?.dtype ?? steps[register - inputs.length]!.dtype;
  return step.dtype === "i32" || step.args.some((register) => dtypeOf(register) === "i32");
}
