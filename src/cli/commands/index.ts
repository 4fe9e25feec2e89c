// The commands, in the order of `athanor --help`.
import type { DefineCommand } from "../command.ts";
import { defineAdvise } from "./advise.ts";
import { defineBench } from "./bench.ts";
import { defineData } from "./data.ts";
import { defineDoctor } from "./doctor.ts";
import { defineEngine } from "./engine.ts";
import { defineEval } from "./eval.ts";
import { defineExplain } from "./explain.ts";
import { defineExport } from "./export.ts";
import { defineGenerate } from "./generate.ts";
import { defineInit } from "./init.ts";
import { defineInspect } from "./inspect.ts";
import { definePlan } from "./plan.ts";
import { definePredict } from "./predict.ts";
import { defineProve } from "./prove.ts";
import { definePull } from "./pull.ts";
import { definePush } from "./push.ts";
import { defineReproduce } from "./reproduce.ts";
import { defineRuns } from "./runs.ts";
import { defineSchema } from "./schema.ts";
import { defineSearch } from "./search.ts";
import { defineTrain } from "./train.ts";
import { defineTune } from "./tune.ts";

export const commands: readonly DefineCommand[] = [
  defineInit,
  defineTrain,
  definePlan,
  defineData,
  defineEval,
  defineGenerate,
  definePredict,
  defineExplain,
  defineExport,
  definePull,
  definePush,
  defineRuns,
  defineAdvise,
  defineReproduce,
  defineInspect,
  defineTune,
  defineSearch,
  defineDoctor,
  defineEngine,
  defineBench,
  defineProve,
  defineSchema,
];
