export { type CompileOptions, compile, optimize, passesFor } from "./compile.ts";
export { type EncodedPlan, encodePlan } from "./encode.ts";
export { type Lifetime, planMemory } from "./memory.ts";
export { type Recompute, waitingIn } from "./passes/recompute.ts";
export {
  type Instruction,
  kernelNames,
  type Plan,
  type PlanOutput,
  type PlanSpace,
  type PlanTensor,
  type PlanType,
  planSpaces,
  runOrder,
} from "./plan.ts";
export { instructionText, workText } from "./plan-text.ts";
export { RecomputeLadder, type Rung } from "./recompute-ladder.ts";
export type { Pass } from "./rewrite.ts";
export { nativeTarget, referenceTarget, type Target } from "./target.ts";
export { type Work, workOf } from "./work.ts";
