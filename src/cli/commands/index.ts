// The commands, in the order of `athanor --help`.
import type { DefineCommand } from "../command.ts";
import { defineTrain } from "./train.ts";

export const commands: readonly DefineCommand[] = [defineTrain];
