// A perceptron on the rows of a table: classes or one number.
import { z } from "zod";
import { fail, parseConfig, varyingSchema } from "../base/index.ts";
import { activationNames, initNames, Mlp } from "../nn/index.ts";
import type { ModelFamily } from "./family.ts";

/** Starts that tell hidden units apart. */
const starts = initNames.filter((name) => name !== "zeros" && name !== "ones");

const mlpSchema = z.strictObject({
  hidden: z
    .array(z.number().int().positive())
    .default([64, 64])
    .describe("widths of the hidden layers; [] for a linear model"),
  activation: z.enum(activationNames).default("relu"),
  dropout: varyingSchema(z.number().min(0).lt(1)).default(0),
  init: z
    .enum(starts)
    .optional()
    .describe("how the hidden layers' weights start; left out, heNormal for relu, xavierUniform for the others"),
  inputs: z.number().int().positive().optional().describe("numbers per row; left out, the table's"),
  outputs: z.number().int().positive().optional().describe("classes, or 1; left out, the table's"),
});

/** What a recipe may write under `model.mlp`. */
export type MlpInput = z.input<typeof mlpSchema>;

type Settings = z.output<typeof mlpSchema>;
/** The configuration of a built model. */
export type MlpConfig = Required<Omit<Settings, "init">> & Pick<Settings, "init">;

/** Features float (B, F) → logits (B, classes), or (B, 1) for regression. */
export const mlpFamily: ModelFamily<MlpConfig> = {
  name: "mlp",
  doc: "multi-layer perceptron on tables, for classes and for numbers",
  tasks: ["classification", "regression"],
  reads: "records",
  schema: mlpSchema,
  build: (config, facts) => {
    const { hidden, activation, dropout, init, ...ends } = parseConfig(mlpSchema, config, "model.mlp");
    const inputs = settle("inputs", ends.inputs, facts.features);
    const outputs = settle("outputs", ends.outputs, facts.outputs ?? (facts.task === "regression" ? 1 : undefined));
    const chosen = init === undefined ? {} : { init };
    return {
      module: new Mlp([inputs, ...hidden, outputs], { activation, dropout, ...chosen }),
      config: { hidden, activation, dropout, ...chosen, inputs, outputs },
      inputs: { features: { dtype: "f32", shape: [inputs] } },
    };
  },
};

/** The number given or the data's; an error when neither is there or they differ. */
function settle(name: string, given: number | undefined, fact: number | undefined): number {
  if (given !== undefined && fact !== undefined && given !== fact) {
    fail("model/table", `${name} of the model and of the table differ`, {
      where: `model.mlp.${name}`,
      expected: `${fact}, what the table gives`,
      got: String(given),
      fix: `leave ${name} out`,
    });
  }
  return (
    given ??
    fact ??
    fail("model/table", `the model's ${name} are not known`, { where: `model.mlp.${name}`, fix: `give ${name}` })
  );
}
