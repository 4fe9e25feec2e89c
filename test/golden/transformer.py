"""A tiny encoder-decoder by PyTorch's own transformer layers in f64: logits, loss and gradient norms from a stated start.

Two cases: norms after each part, as published, and before each part with one more at each half's end. Sources are padded (-1), targets too.
Embeddings, positions and head are written out as in "Attention Is All You Need", sections 3.4 and 3.5. The start is made as tiny_gpt.py
states; matrices of linear layers are [in, out] here, their transposes are given to PyTorch.
"""

import math

import torch
import torch.nn.functional as F
from common import grid, mix32, versions, write
from torch import nn

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

V, S, T, C, I, H, B = 19, 9, 7, 16, 24, 2, 3
L_ENCODER, L_DECODER = 2, 1
EPS = 1e-5
START, END = 17, 18


def attention(at):
    return [(f"{at}.{part}.{kind}", [C, C] if kind == "weight" else [C]) for part in ("k_proj", "v_proj", "q_proj", "out_proj") for kind in ("weight", "bias")]


def norm(at):
    return [(f"{at}.weight", [C]), (f"{at}.bias", [C])]


def linear(at, inputs, outputs):
    return [(f"{at}.weight", [inputs, outputs]), (f"{at}.bias", [outputs])]


def layer(at):
    return attention(f"{at}.self_attn") + norm(f"{at}.self_attn_layer_norm") + linear(f"{at}.fc1", C, I) + linear(f"{at}.fc2", I, C) + norm(f"{at}.final_layer_norm")


def names(pre):
    found = [("shared.weight", [V, C])]
    for i in range(L_ENCODER):
        found += layer(f"encoder.layers.{i}")
    found += norm("encoder.layer_norm") if pre else []
    for i in range(L_DECODER):
        at = f"decoder.layers.{i}"
        found += layer(at) + attention(f"{at}.encoder_attn") + norm(f"{at}.encoder_attn_layer_norm")
    return found + (norm("decoder.layer_norm") if pre else [])


def start(pre):
    rows, values = [], {}
    for p, (name, shape) in enumerate(names(pre)):
        is_norm = "norm" in name and name.endswith("weight")
        centre, scale = (1, 0.25) if is_norm else (0, 0.5 if len(shape) == 2 else 0.25)
        rows.append({"name": name, "shape": shape, "centre": centre, "scale": scale})
        tensor = torch.tensor([centre + scale * u for u in grid(p, math.prod(shape))]).reshape(shape)
        values[name] = tensor.requires_grad_()
    return rows, values


def module_state(p, at, cross):
    """The values of one layer under PyTorch's names."""
    state = {}
    parts = {"self_attn": "self_attn"} | ({"multihead_attn": "encoder_attn"} if cross else {})
    for theirs, ours in parts.items():
        for kind in ("weight", "bias"):
            three = [p[f"{at}.{ours}.{part}.{kind}"] for part in ("q_proj", "k_proj", "v_proj")]
            state[f"{theirs}.in_proj_{kind}"] = torch.cat([t.T if kind == "weight" else t for t in three])
        state[f"{theirs}.out_proj.weight"] = p[f"{at}.{ours}.out_proj.weight"].T
        state[f"{theirs}.out_proj.bias"] = p[f"{at}.{ours}.out_proj.bias"]
    for theirs, ours in {"linear1": "fc1", "linear2": "fc2"}.items():
        state[f"{theirs}.weight"], state[f"{theirs}.bias"] = p[f"{at}.{ours}.weight"].T, p[f"{at}.{ours}.bias"]
    order = ["self_attn_layer_norm"] + (["encoder_attn_layer_norm"] if cross else []) + ["final_layer_norm"]
    for i, ours in enumerate(order):
        state[f"norm{i + 1}.weight"], state[f"norm{i + 1}.bias"] = p[f"{at}.{ours}.weight"], p[f"{at}.{ours}.bias"]
    return state


def sinusoid(time):
    position = torch.arange(time)[:, None]
    wave = position / 10_000 ** (torch.arange(0, C, 2) / C)
    return torch.stack([wave.sin(), wave.cos()], -1).reshape(time, C)


def forward(p, source, tokens, pre):
    options = {"dim_feedforward": I, "dropout": 0.0, "activation": "relu", "layer_norm_eps": EPS, "batch_first": True, "norm_first": pre}
    embed = lambda ids: p["shared.weight"][ids.clamp(min=0)] * math.sqrt(C) + sinusoid(ids.shape[1])
    ended = lambda x, half: F.layer_norm(x, (C,), p[f"{half}.layer_norm.weight"], p[f"{half}.layer_norm.bias"], EPS) if pre else x
    padding = source < 0
    x = embed(source)
    for i in range(L_ENCODER):
        block = nn.TransformerEncoderLayer(C, H, **options)
        x = torch.func.functional_call(block, module_state(p, f"encoder.layers.{i}", False), x, {"src_key_padding_mask": padding})
    memory = ended(x, "encoder")
    y = embed(tokens)
    causal = torch.triu(torch.full((tokens.shape[1],) * 2, True), 1)
    for i in range(L_DECODER):
        block = nn.TransformerDecoderLayer(C, H, **options)
        given = {"tgt_mask": causal, "memory_key_padding_mask": padding}
        y = torch.func.functional_call(block, module_state(p, f"decoder.layers.{i}", True), (y, memory), given)
    return ended(y, "decoder") @ p["shared.weight"].T


draws = iter(mix32(104_729 + i) for i in range(10_000))
ids = lambda time: torch.tensor([[next(draws) % START for _ in range(time)] for _ in range(B)])
lengths, written = torch.tensor([9, 5, 2]), torch.tensor([4, 7, 6])
source = ids(S)
source[torch.arange(B), lengths - 1] = END
source[torch.arange(S) >= lengths[:, None]] = -1
target = ids(T)
target[torch.arange(B), written - 1] = END
targets = target.masked_fill(torch.arange(T) >= written[:, None], -1)
tokens = torch.cat([torch.full((B, 1), START), targets[:, :-1]], 1)

cases = {}
for name, pre in {"post": False, "pre": True}.items():
    rows, p = start(pre)
    logits = forward(p, source, tokens, pre)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
    loss.backward()
    cases[name] = {
        "parameters": rows,
        "logits": logits.detach().flatten().tolist(),
        "loss": loss.item(),
        "gradNorms": [t.grad.norm().item() for t in p.values()],
    }
write("transformer.json", {
    "madeBy": "transformer.py",
    "versions": versions("torch"),
    "config": {
        "vocab": V, "context": S, "targetContext": T, "start": START, "end": END, "width": C, "hidden": I, "heads": H,
        "encoderLayers": L_ENCODER, "decoderLayers": L_DECODER, "dropout": 0, "activation": "relu", "tiedHead": True, "eps": EPS,
    },
    "batch": B,
    "source": source.flatten().tolist(),
    "tokens": tokens.flatten().tolist(),
    "targets": targets.flatten().tolist(),
    "cases": cases,
})  # fmt: skip
