"""PyTorch's nn.RNN, nn.LSTM and nn.GRU in f64: outputs, last states and gradients from a stated start, over whole rows and over padded ones.

Padded rows go through pack_padded_sequence: their last state is that of their last token. The loss is the sum of outputs and states, each times
the cosine of its place. The start is `grid` of a stream per parameter; matrices are [in, out] here, their transposes are given to PyTorch.
"""

import math

import torch
from common import grid, versions, write
from torch import nn

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
B, T, I, H = 3, 6, 4, 5
LENGTHS = [6, 2, 4]
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
x = torch.tensor(grid(99, B * T * I)).reshape(B, T, I) * 4
weigh = lambda t: (t.flatten() * torch.arange(t.numel()).double().cos()).sum()

cases = {}
for name, kind in {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}.items():
    shapes = {"weight_ih": [I, GATES[name] * H], "weight_hh": [H, GATES[name] * H], "bias_ih": [GATES[name] * H], "bias_hh": [GATES[name] * H]}
    values = {p: torch.tensor(grid(k, math.prod(s))).reshape(s) * 2 for k, (p, s) in enumerate(shapes.items())}
    for padded in (False, True):
        layer = kind(I, H, batch_first=True)
        with torch.no_grad():
            for p, value in values.items():
                getattr(layer, f"{p}_l0").copy_(value.T if value.ndim == 2 else value)
        given = x.clone().requires_grad_()
        if padded:
            packed = nn.utils.rnn.pack_padded_sequence(given, LENGTHS, batch_first=True, enforce_sorted=False)
            out, last = layer(packed)
            outputs, _ = nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=T)
        else:
            outputs, last = layer(given)
        states = [s[0] for s in (last if name == "lstm" else [last])]
        loss = sum(weigh(s) for s in states) + (0 if padded else weigh(outputs))
        loss.backward()
        gradient = {p: getattr(layer, f"{p}_l0").grad for p in shapes}
        cases[f"{name}{' padded' if padded else ''}"] = {
            "outputs": None if padded else outputs.detach().flatten().tolist(),
            "states": [s.detach().flatten().tolist() for s in states],
            "gradients": {p: (g.T if g.ndim == 2 else g).flatten().tolist() for p, g in gradient.items()} | {"x": given.grad.flatten().tolist()},
        }
write("recurrent.json", {
    "madeBy": "recurrent.py",
    "versions": versions("torch"),
    "sizes": {"batch": B, "time": T, "inputs": I, "width": H},
    "lengths": LENGTHS,
    "x": x.flatten().tolist(),
    "start": {name: [(torch.tensor(grid(k, math.prod(s))) * 2).tolist() for k, s in enumerate([[I, g * H], [H, g * H], [g * H], [g * H]])] for name, g in GATES.items()},
    "cases": cases,
})  # fmt: skip
