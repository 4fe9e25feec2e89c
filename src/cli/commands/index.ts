// The commands, in the order of `athanor --help`.
import type { DefineCommand } from "../command.ts";
import { defineDoctor } from "./doctor.ts";
import { defineInspect } from "./inspect.ts";
import { definePlan } from "./plan.ts";
import { defineRuns } from "./runs.ts";
import { defineTrain } from "./train.ts";

export const commands: readonly DefineCommand[] = [defineTrain, definePlan, defineRuns, defineInspect, defineDoctor];
