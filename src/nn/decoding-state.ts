// What an encoder–decoder keeps between the steps of writing: variables of the store, one row for each sequence that is written.
// What comes from the source stays; what grows with the sequence follows its beam.
import type { DType, Shape } from "../base/index.ts";
import { assign, type Tensor, take, variable } from "../core/index.ts";
import { KeyValueCache } from "./cache.ts";

export interface DecodingStateOptions {
  /** i32 (rows): how many tokens were written before. */
  readonly position: Tensor;
  /** Tokens that there is room for. */
  readonly length: number;
  readonly prefix: string;
  /** Sequences written for one source; default 1. */
  readonly beams?: number;
  /** i32 (rows): the row of the step before that each row goes on from; left out, its own. */
  readonly order?: Tensor;
}

export class DecodingState {
  readonly position: Tensor;
  /** Keys and values of what was written. */
  readonly cache: KeyValueCache;
  private readonly prefix: string;
  private readonly beams: number;
  private readonly order: Tensor | undefined;

  constructor(options: DecodingStateOptions) {
    this.position = options.position;
    this.cache = new KeyValueCache(options);
    this.prefix = options.prefix;
    this.beams = options.beams ?? 1;
    this.order = options.order;
  }

  /** Keeps what belongs to each source, (sources, …), for all of its beams. */
  hold(name: string, value: Tensor): void {
    const [sources, ...rest] = value.shape as [number, ...number[]];
    const repeated = value.reshape(sources, 1, ...rest).broadcastTo([sources, this.beams, ...rest]);
    this.write(name, repeated.reshape(sources * this.beams, ...rest));
  }

  /** What was held, (rows, …): the same in every step. */
  held(name: string, dtype: DType, shape: Shape): Tensor {
    return variable(`${this.prefix}.${name}`, dtype, shape);
  }

  /** What the step before wrote (or was held), each row that of the beam it goes on from. */
  read(name: string, dtype: DType, shape: Shape): Tensor {
    const before = this.held(name, dtype, shape);
    return this.order === undefined ? before : take(before, this.order);
  }

  /** Keeps a value (rows, …) for the next step. */
  write(name: string, value: Tensor): void {
    assign(`${this.prefix}.${name}`, value);
  }
}
