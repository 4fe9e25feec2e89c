// The keys `init` and `mup`: how parameters start, of any model family, and how starts and rates follow its width.
import { z } from "zod";
import { fail, oneOf } from "../base/index.ts";
import { type BuiltModel, modelFamily, type TaskName } from "../models/index.ts";
import { type Init, initNames, type Module, mup, requireUnlike } from "../nn/index.ts";
import { type OptimizerConfig, selectorSchema, selectParameters } from "../optim/index.ts";

const positive = z.number().positive();
const mean = z.number().default(0);

const startSchema = z.union([
  z.enum(initNames),
  oneOf({
    normal: z.strictObject({ std: positive, mean }),
    truncatedNormal: z.strictObject({ std: positive, mean, cut: z.number().min(0.01).default(2) }),
    uniform: z.strictObject({ bound: positive }),
    constant: z.strictObject({ value: z.number() }),
    orthogonal: z.strictObject({ gain: positive.default(1) }),
    sparse: z.strictObject({ sparsity: z.number().min(0).lt(1), std: positive.default(0.01) }),
  }),
]);

export const initSchema = z.array(z.strictObject({ select: selectorSchema, as: startSchema }));
type Starts = z.output<typeof initSchema>;

/** The starts that a recipe gives to parameters, the last of several. Errors with `optim/selector`, `nn/symmetry`. */
export function applyStarts(module: Module, starts: Starts): void {
  const parameters = module.parameters();
  const named = [...parameters].map(([name, { shape }]) => ({ name, shape }));
  for (const { select, as } of starts)
    for (const name of selectParameters(select, named, "init")) {
      const parameter = parameters.get(name)!;
      const init = initOf(as);
      if (parameter.shape.length > 1) requireUnlike(init);
      parameter.init = init;
    }
}

function initOf(start: Starts[number]["as"]): Init {
  if (typeof start === "string") return start;
  const [name, numbers] = Object.entries(start).find(([, given]) => given !== undefined)!;
  return { name, ...numbers } as Init;
}

/** Of which optimizers it is known how a rate follows the width (Yang et al. 2022, table 3): by the size of gradients, or not. */
const ruleOf: { readonly [optimizer: string]: "adam" | "sgd" } = {
  sgd: "sgd",
  ...Object.fromEntries(
    ["adam", "adamw", "adamax", "nadam", "radam", "adan", "ademamix", "adagrad", "rmsprop", "lion"].map((name) => [
      name,
      "adam" as const,
    ]),
  ),
};

export const mupSchema = z.record(z.string(), z.union([z.number(), z.array(z.number())]));

interface Widened extends Pick<BuiltModel, "module" | "config"> {
  readonly family: string;
  readonly task: TaskName;
}

/**
 * Scales the starts of a model whose settings, but for its width, were chosen on a narrow one, and gives the factors of the learning rate.
 * Errors with `config/mup`, and as building the narrow one and `mup` do.
 */
export function widen(
  { module, config, family, task }: Widened,
  narrow: z.output<typeof mupSchema>,
  optimizer: OptimizerConfig,
): ReadonlyMap<string, number> {
  const refuse = (what: string, where: string, expected: string, got: string, fix: string) =>
    fail("config/mup", what, { where, expected, got, fix });
  const [name = ""] = Object.entries(optimizer).find(([, given]) => given !== undefined) ?? [];
  const rule = ruleOf[name];
  if (rule === undefined)
    refuse(
      "how its rate follows the width is not known",
      "optimizer",
      Object.keys(ruleOf).join(", "),
      name,
      "take one of these, or mup out",
    );
  const base = modelFamily(family).build({ ...(config as object), ...narrow }, { task });
  const [wide, small] = [config, base.config] as readonly Partial<{
    tiedHead: boolean;
    width: number;
    heads: number;
  }>[];
  if (wide!.tiedHead === true || task === "masked-language-model")
    refuse(
      "a head that is the token table has no start and no rate of its own",
      `model.${family}`,
      "tiedHead: false",
      "a tied head",
      "set tiedHead: false, or take mup out",
    );
  const [ours, theirs] = [wide!, small!].map(({ width = 1, heads = 1 }) => width / heads);
  if (ours !== theirs)
    refuse(
      "the heads' width differs, and scores of attention with it",
      "mup",
      `heads of ${ours} channels`,
      `heads of ${theirs}`,
      "give mup heads too, so that width / heads stays",
    );
  return new Map([...mup(module, base.module)].map(([parameter, rates]) => [parameter, rates[rule!]]));
}
