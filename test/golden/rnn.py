"""Tiny recurrent language models by PyTorch's nn.Embedding, nn.RNN, nn.GRU, nn.LSTM and nn.Linear in f64: logits, loss and gradient norms.

Two layers each; the GRU's head is tied. The start is `grid` of a stream per parameter, times a scale; matrices are [in, out] here, their
transposes are given to PyTorch. `counts` are parameters of PyTorch's modules at the sizes of Zaremba et al. 2014.
"""

import math

import torch
import torch.nn.functional as F
from common import grid, mix32, versions, write
from torch import nn

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
V, B, T, C, L = 11, 3, 7, 6, 2
KINDS = {"rnn": (nn.RNN, 1), "gru": (nn.GRU, 3), "lstm": (nn.LSTM, 4)}
draws = iter(mix32(4242 + i) for i in range(10_000))
tokens, targets = (torch.tensor([[next(draws) % V for _ in range(T)] for _ in range(B)]) for _ in range(2))

cases = {}
for name, (kind, gates) in KINDS.items():
    tied = name == "gru"
    table, stack, head = nn.Embedding(V, C), kind(C, C, L, batch_first=True), nn.Linear(C, V, bias=not tied)
    if tied:
        head.weight = table.weight
    entries = [("embedding.weight", table.weight, False)]
    for layer in range(L):
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            entries.append((f"layers.{layer}.{part}", getattr(stack, f"{part}_l{layer}"), part.startswith("weight")))
    if not tied:
        entries += [("lm_head.weight", head.weight, True), ("lm_head.bias", head.bias, False)]
    parameters = []
    for stream, (ours, tensor, turned) in enumerate(entries):
        shape = list(tensor.T.shape if turned else tensor.shape)
        value = torch.tensor(grid(stream, math.prod(shape))).reshape(shape) * 2
        with torch.no_grad():
            tensor.copy_(value.T if turned else value)
        parameters.append({"name": ours, "shape": shape, "centre": 0, "scale": 2})
    logits = head(stack(table(tokens))[0])
    loss = F.cross_entropy(logits.reshape(-1, V), targets.flatten())
    loss.backward()
    cases[name] = {
        "config": {"vocab": V, "context": 16, "cell": name, "layers": L, "width": C, "dropout": 0, "tiedHead": tied},
        "parameters": parameters,
        "logits": logits.detach().flatten().tolist(),
        "loss": loss.item(),
        "gradNorms": [tensor.grad.norm().item() for _, tensor, _ in entries],
    }


def count(width):
    modules = (nn.Embedding(10000, width), nn.LSTM(width, width, 2), nn.Linear(width, 10000))
    return sum(p.numel() for m in modules for p in m.parameters())


with torch.device("meta"):
    counts = {"small": count(200), "medium": count(650), "large": count(1500)}
write("rnn.json", {
    "madeBy": "rnn.py",
    "versions": versions("torch"),
    "batch": B, "time": T,
    "tokens": tokens.flatten().tolist(),
    "targets": targets.flatten().tolist(),
    "cases": cases,
    "counts": counts,
})  # fmt: skip
