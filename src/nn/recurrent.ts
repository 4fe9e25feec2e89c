// Recurrent layers: a state that is carried from one time to the next, by the equations of PyTorch's RNN, LSTM and GRU. Time is a scan; what does
// not depend on the state is one product over all times.
// B batch, T time, I inputs, H width of the state.
import { scan, sigmoid, type Tensor, tanh, where, zeros } from "../core/index.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

export const cellNames = ["rnn", "lstm", "gru"] as const;
export type CellName = (typeof cellNames)[number];

/** What is carried, each (B, H): the output, and of an LSTM its memory. */
export type RecurrentState = readonly Tensor[];

const gatesOf = { rnn: 1, lstm: 4, gru: 3 } as const;

/** Sizes of a cell's state: how many tensors of (B, H) are carried. */
export const statesOf = { rnn: 1, lstm: 2, gru: 1 } as const;

/**
 * One layer, forward in time. Gates lie side by side in the order of PyTorch (LSTM: input, forget, cell, output; GRU: reset, update, new),
 * in matrices [inputs, gates · width], the transposes of PyTorch's.
 */
export class Recurrent extends Module {
  readonly cell: CellName;
  readonly width: number;
  readonly weight_ih: Parameter;
  readonly weight_hh: Parameter;
  readonly bias_ih: Parameter;
  readonly bias_hh: Parameter;

  constructor(cell: CellName, inputs: number, width: number) {
    super();
    this.cell = cell;
    this.width = width;
    const columns = gatesOf[cell] * width;
    const init = { name: "uniform", bound: width ** -0.5 } as const;
    this.weight_ih = new Parameter([inputs, columns], { init });
    this.weight_hh = new Parameter([width, columns], { init });
    this.bias_ih = new Parameter([columns], { init });
    this.bias_hh = new Parameter([columns], { init });
  }

  /** x (B, T, I) → (B, T, H), from a state of zeros. */
  forward(x: Tensor): Tensor {
    return this.run(x).states[0]!;
  }

  /**
   * x (B, T, I) → the state at all times, each part (B, T, H), the outputs first; and the last state. Where `present`, bool (B, T), is false the
   * state stays as it is: of rows with padding at their ends, the last state is that of the last token.
   */
  run(
    x: Tensor,
    { initial, present }: { initial?: RecurrentState | undefined; present?: Tensor } = {},
  ): { states: readonly Tensor[]; last: RecurrentState } {
    const sequences = [this.project(x.permute(1, 0, 2))]; // (T, B, gates · H)
    if (present !== undefined) sequences.push(present.transpose().reshape(...present.transpose().shape, 1)); // (T, B, 1)
    const { carry, outputs } = scan(
      (before, [projected, here]) => {
        const next = this.step(projected!, before);
        const state = here === undefined ? next : next.map((one, part) => where(here, one, before[part]!));
        return { carry: state, outputs: state };
      },
      { carry: initial ?? this.zeroState(x.shape[0]!, x.dtype), sequences },
    );
    return { states: outputs.map((part) => part.permute(1, 0, 2)), last: carry };
  }

  /** The part of the gates that no state decides: (…, I) → (…, gates · H) */
  project(x: Tensor): Tensor {
    const { weight_ih, bias_ih, bias_hh } = this;
    const projected = x.matmul(weight_ih.tensor).add(bias_ih.tensor);
    return this.cell === "gru" ? projected : projected.add(bias_hh.tensor);
  }

  /** The next state, from what inputs decided (B, gates · H) and the state before. */
  step(projected: Tensor, state: RecurrentState): RecurrentState {
    const h = state[0]!;
    const recurrent = h.matmul(this.weight_hh.tensor);
    if (this.cell === "rnn") return [tanh(projected.add(recurrent))];
    if (this.cell === "lstm") {
      const [input, forget, cell, output] = projected.add(recurrent).split(4) as [Tensor, Tensor, Tensor, Tensor];
      const memory = sigmoid(forget)
        .mul(state[1]!)
        .add(sigmoid(input).mul(tanh(cell)));
      return [sigmoid(output).mul(tanh(memory)), memory];
    }
    const [r, z, n] = projected.split(3) as [Tensor, Tensor, Tensor];
    const [hr, hz, hn] = recurrent.add(this.bias_hh.tensor).split(3) as [Tensor, Tensor, Tensor];
    const fresh = tanh(n.add(sigmoid(r.add(hr)).mul(hn)));
    return [fresh.add(sigmoid(z.add(hz)).mul(h.sub(fresh)))];
  }

  zeroState(batch: number, dtype: Tensor["dtype"]): RecurrentState {
    return Array.from({ length: statesOf[this.cell] }, () => zeros([batch, this.width], dtype));
  }
}
