// Runs plans of a strided target (the native engine's sort) in TypeScript: real bytes, real strides, the ops' own
// implementations. It shows whether a plan's memory is right where no binary is built. Slow, and not an engine.
import { byteSize, contiguousStrides, type HostArray, sizeOf, viewOf } from "../../src/base/index.ts";
import {
  type CompileOptions,
  compile,
  nativeTarget,
  type Plan,
  type PlanTensor,
  runOrder,
} from "../../src/compiler/index.ts";
import { allOps, fusedMulti, type Graph, tapeOpcodes, trace } from "../../src/core/index.ts";
import { runReference } from "./run-reference.ts";

type Arrays = { readonly [name: string]: HostArray };

const kernels = [...allOps().values()].filter(({ kind }) => !["elementwise", "leaf", "update"].includes(kind));

/** A target with a kernel for every op, strides and tapes. */
export const stridedTarget = nativeTarget(["tape", "copy", "fill", ...kernels.map(({ name }) => name)], tapeOpcodes);

/** Runs a plan once. `variables` are changed in place, as a store's are. */
export function interpret(plan: Plan, feeds: Arrays, variables: Arrays): { committed: boolean; outputs: Arrays } {
  const memory = new Memory(plan, feeds, variables);
  const committed = () => plan.guard < 0 || Number(memory.read(plan.tensors[plan.guard]!).data[0]) !== 0;
  let guard: boolean | undefined;
  for (const { at, turn } of runOrder(plan)) {
    const instruction = plan.code[at]!;
    if (instruction.commit) {
      guard ??= committed();
      if (!guard) continue;
    }
    const placed = (index: number): PlanTensor => {
      const { step = 0, ...tensor } = plan.tensors[index]!;
      return { ...tensor, offset: tensor.offset + turn * step };
    };
    const inputs = instruction.inputs.map((index) => memory.read(placed(index)));
    const outputs = instruction.outputs.map(placed);
    checkAliasing(plan, instruction);
    const results = compute(instruction.kernel, inputs, outputs, instruction);
    outputs.forEach((tensor, at) => {
      memory.write(tensor, results[at]!);
    });
  }
  const outputs = plan.outputs.map(({ name, tensor }) => [name, memory.read(plan.tensors[tensor]!)] as const);
  return { committed: committed(), outputs: Object.fromEntries(outputs) };
}

function compute(
  kernel: string,
  inputs: readonly HostArray[],
  outputs: readonly PlanTensor[],
  { attrs, params }: Plan["code"][number],
): HostArray[] {
  const op = allOps().get(kernel)!;
  const results = outputs.map(
    ({ dtype, shape }): HostArray => ({ dtype, shape, data: new Float64Array(sizeOf(shape)) }),
  );
  if (kernel === "fill") (results[0]!.data as Float64Array).fill(params[0]!);
  else if (op.reference !== undefined) op.reference(inputs, attrs, results);
  else {
    const feeds = Object.fromEntries(inputs.map((input, at) => [`in${at}`, input]));
    const graph = trace(feeds, (given) => {
      const made = fusedMulti(
        op,
        inputs.map((_, at) => given[`in${at}`]!),
        attrs,
      );
      return Object.fromEntries(made.map((x, at) => [`out${at}`, x]));
    });
    return Object.values(runReference(graph, feeds));
  }
  return results;
}

/** An instruction may write over what it reads only where its op says so, and there element for element. */
function checkAliasing(plan: Plan, { kernel, inputs, outputs }: Plan["code"][number]): void {
  const allowed = (out: number, into: number) =>
    kernel === "tape" || (allOps().get(kernel)!.inPlace ?? []).some(([o, i]) => o === out && i === into);
  const written = outputs.map((at) => bytesOf(plan.tensors[at]!));
  written.forEach((own, out) => {
    const fault = (what: string) => {
      throw new Error(`${kernel}: output ${out} ${what}`);
    };
    if (own.size !== sizeOf(plan.tensors[outputs[out]!]!.shape)) fault("overlaps itself");
    written.forEach((other, at) => {
      if (at > out && meet(own, other)) fault(`overlaps output ${at}`);
    });
    inputs.forEach((at, into) => {
      if (!meet(own, bytesOf(plan.tensors[at]!))) return;
      if (at !== outputs[out] || !allowed(out, into)) fault(`overlaps input ${into}`);
    });
  });
}

/** Where a tensor's elements begin, as text with the block's name. */
function bytesOf(tensor: PlanTensor): Set<string> {
  const found = new Set<string>();
  eachPosition(tensor, (position) => {
    found.add(`${tensor.space} ${tensor.index} ${tensor.offset + position * byteSize(tensor.dtype)}`);
  });
  return found;
}

function meet(a: Set<string>, b: Set<string>): boolean {
  for (const item of a) if (b.has(item)) return true;
  return false;
}

function eachPosition({ shape, strides }: PlanTensor, visit: (position: number, at: number) => void): void {
  const own = contiguousStrides(shape);
  for (let at = 0; at < sizeOf(shape); at++) {
    let position = 0;
    for (let axis = 0; axis < shape.length; axis++)
      position += (Math.floor(at / own[axis]!) % shape[axis]!) * strides[axis]!;
    visit(position, at);
  }
}

/** The bytes of one run, the arena full of rubbish at first. */
class Memory {
  private readonly plan: Plan;
  private readonly feeds: Arrays;
  private readonly variables: Arrays;
  private readonly arena: ArrayBuffer;
  private readonly constants: ArrayBuffer;

  constructor(plan: Plan, feeds: Arrays, variables: Arrays) {
    this.plan = plan;
    this.feeds = feeds;
    this.variables = variables;
    this.arena = new Uint8Array(plan.arenaBytes).fill(0xcd).buffer;
    this.constants = plan.constants.slice().buffer as ArrayBuffer;
  }

  read(tensor: PlanTensor): HostArray {
    const source = this.elements(tensor);
    const data = new Float64Array(sizeOf(tensor.shape));
    eachPosition(tensor, (position, at) => {
      data[at] = Number(source[position]);
    });
    const { dtype, shape } = tensor;
    return { dtype, shape, data: castTo(dtype, data) };
  }

  write(tensor: PlanTensor, value: HostArray): void {
    if (tensor.space === "feed" || tensor.space === "constant") throw new Error(`a plan writes to a ${tensor.space}`);
    const target = this.elements(tensor) as Float64Array;
    eachPosition(tensor, (position, at) => {
      target[position] = Number(value.data[at]);
    });
  }

  /** The block that a tensor lies in, from the tensor's own start on, to the block's end. */
  private elements({ space, index, offset, dtype, shape }: PlanTensor): HostArray["data"] {
    if (sizeOf(shape) === 0) return new Float64Array(0);
    const { buffer, byteOffset, byteLength } = this.block(space, index);
    if (offset + byteSize(dtype) > byteLength) throw new Error("a tensor begins behind its block");
    return viewOf(dtype, buffer, byteOffset + offset, Math.floor((byteLength - offset) / byteSize(dtype)));
  }

  private block(space: PlanTensor["space"], index: number) {
    if (space === "arena") return { buffer: this.arena, byteOffset: 0, byteLength: this.arena.byteLength };
    if (space === "constant") return { buffer: this.constants, byteOffset: 0, byteLength: this.constants.byteLength };
    const [arrays, types] = space === "feed" ? [this.feeds, this.plan.feeds] : [this.variables, this.plan.variables];
    return arrays[types[index]!.name]!.data;
  }
}

function castTo(dtype: HostArray["dtype"], data: Float64Array): HostArray["data"] {
  const array = viewOf(dtype, new ArrayBuffer(data.length * byteSize(dtype)), 0, data.length) as Float64Array;
  array.set(data);
  return array;
}

export function compileStrided(graph: Graph, options: CompileOptions = {}): Plan {
  return compile(graph, stridedTarget, { verify: true, ...options });
}
