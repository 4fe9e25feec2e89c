// A perceptron on the rows of a table: classes or one number.
import { z } from "zod";
import { fail, parseConfig, varyingSchema } from "../base/index.ts";
import { activationNames, Mlp } from "../nn/index.ts";
import type { ModelFamily } from "./family.ts";

const mlpSchema = z.strictObject({
  hidden: z
    .array(z.number().int().positive())
    .default([64, 64])
    .describe("widths of the hidden layers; [] for a linear model"),
  activation: z.enum(activationNames).default("relu"),
  dropout: varyingSchema(z.number().min(0).lt(1)).default(0),
  inputs: z.number().int().positive().optional().describe("numbers per row; left out, the table's"),
  outputs: z.number().int().positive().optional().describe("classes, or 1; left out, the table's"),
});

/** What a recipe may write under `model.mlp`. */
export type MlpInput = z.input<typeof mlpSchema>;

/** The configuration of a built model. */
export type MlpConfig = Required<z.output<typeof mlpSchema>>;

/** Features float (B, F) → logits (B, classes), or (B, 1) for regression. */
export const mlpFamily: ModelFamily<MlpConfig> = {
  name: "mlp",
  doc: "multi-layer perceptron on tables, for classes and for numbers",
  tasks: ["classification", "regression"],
  reads: "records",
  schema: mlpSchema,
  build: (config, facts) => {
    const { hidden, activation, dropout, ...ends } = parseConfig(mlpSchema, config, "model.mlp");
    const inputs = settle("inputs", ends.inputs, facts.features);
    const outputs = settle("outputs", ends.outputs, facts.outputs ?? (facts.task === "regression" ? 1 : undefined));
    return {
      module: new Mlp([inputs, ...hidden, outputs], { activation, dropout }),
      config: { hidden, activation, dropout, inputs, outputs },
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
