// The fused elementwise chain. The compiler makes it; nobody writes one by hand.
import { type DType, roundTo, type Shape } from "../../base/index.ts";
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
  optional: 1, // a chain of constants has none
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
    const dtypeOf = (register: number) => inputs[register]?.dtype ?? steps[register - inputs.length]!.dtype;
    const integer = steps.some(({ op, args, dtype }) => registerClass(op, args.map(dtypeOf), dtype) === "i32");
    // a cast leaves a register as it is, for kernels convert where they load and store; one to bf16 that steps read rounds it
    const read = new Set(steps.flatMap(({ args }) => args));
    const registers = inputs.map((_, at) => at); // of the kernel, for each of ours
    const code: number[] = [];
    steps.forEach((step, at) => {
      const args = step.args.map((register) => registers[register]!);
      const isCast = step.op === "cast";
      if (isCast && !(step.dtype === "bf16" && read.has(inputs.length + at))) {
        registers.push(args[0]!);
        return;
      }
      const register = inputs.length + code.length / 5;
      const [a = 0, b = 0, c = 0] = step.value === undefined ? args : [step.value];
      code.push(opcodes.get(isCast ? "roundToBf16" : step.op)!, register, a, b, c);
      registers.push(register);
    });
    return [Number(integer), code.length / 5, ...code, ...results.map((register) => registers[register]!)];
  },
  vjp: "none",
  cost: ([x], _, { steps }) => ({ flops: steps.length * (x?.shape ?? []).reduce((a, b) => a * b, 1) }),
  samples: [],
  noSamples: "only the compiler makes it: random graphs test it",
});

/**
 * The registers that an operation runs on: i32 where i32 numbers meet or are compared, else f32. Casts to and from f32 run
 * on f32 registers, which convert where they load and store.
 */
export function registerClass(op: string, inputs: readonly DType[], output: DType): "f32" | "i32" {
  const dtypes = [...inputs, output];
  return op !== "const" && dtypes.includes("i32") && !(op === "cast" && dtypes.includes("f32")) ? "i32" : "f32";
}
