// How a model lies in a Hugging Face folder: its configuration there and here, and the names and order of its tensors. One layout for
// each `model_type`; nothing else in the system knows one.
import type { z } from "zod";
import type { Shape } from "../base/index.ts";
import type { TaskName } from "../models/index.ts";

/** What a `config.json` says, beside what is read of it. */
export type HubConfig = { readonly [key: string]: unknown };

export interface HubLayout<Ours = unknown, Theirs = unknown> {
  /** `model_type` in `config.json`. */
  readonly modelType: string;
  /** `architectures`: the model with its head. */
  readonly architecture: string;
  /** What it does; left out, it writes text. */
  readonly task?: TaskName;
  /** Our family, whose configuration `read` gives. */
  readonly family: string;
  /** The keys that matter, their defaults, and what is refused because it means another computation. */
  readonly schema: z.ZodType<Theirs>;
  read(config: Theirs): Ours;
  /** Names of classes by id, of a classifier. */
  classes?(config: Theirs): readonly string[];
  write(config: Ours, classes?: readonly string[]): HubConfig;
  /** True where the folder may hold our configuration: of several layouts of one family the first that may is written. */
  holds(config: Ours): boolean;
  /** The file's name of a parameter. */
  fileName(name: string): string;
  /** Another name that files have for it. */
  otherName?(name: string): string;
  /** True where the file has the matrix transposed. */
  isTransposed(name: string, shape: Shape): boolean;
  /** Tensors of old files that are no parameters, such as masks. */
  isIgnored(fileName: string): boolean;
  /** The parameter, by our name, that a further tensor of the file repeats because the two are tied. */
  copyOf?(fileName: string, config: Ours): string | undefined;
}
