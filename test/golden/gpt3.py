"""A tiny GPT-3 (dense and locally banded layers in turn) by Transformers' GPT-Neo in f64: logits, loss and gradient norms from a stated start.

GPT-Neo is the published model of this kind. It has no biases for queries, keys and values (here they are 0) and does not divide scores by
the root of a head's width: its queries are given divided by it. It computes scores in f32: figures are exact to about 1e-6.
"""

import math

import torch
import torch.nn.functional as F
from common import grid, mix32, versions, write
from transformers import GPTNeoConfig, GPTNeoForCausalLM

torch.set_num_threads(1)
V, T, C, L, H, B, BANDS = 17, 11, 12, 4, 3, 2, 3
config = GPTNeoConfig(
    vocab_size=V, max_position_embeddings=16, hidden_size=C, num_layers=L, num_heads=H, attention_types=[[["global", "local"], L // 2]],
    window_size=BANDS, resid_dropout=0, embed_dropout=0, attention_dropout=0, attn_implementation="eager",
)  # fmt: skip
model = GPTNeoForCausalLM(config).double()
draws = iter(mix32(15485863 + i) for i in range(1000))
tokens = torch.tensor([[next(draws) % V for _ in range(T)] for _ in range(B)])
targets = torch.tensor([[next(draws) % V for _ in range(T)] for _ in range(B)])

rows, own = [], {}


def add(name, shape, centre, scale):
    values = [centre + scale * u for u in grid(len(rows), math.prod(shape))]
    rows.append({"name": name, "shape": shape, "centre": centre, "scale": scale})
    own[name] = torch.tensor(values, dtype=torch.float64).reshape(shape).requires_grad_()


def linear(name, inputs, outputs, bias=0.25):
    add(f"{name}.weight", [inputs, outputs], 0, 0.8)
    add(f"{name}.bias", [outputs], 0, bias)


def norm(name):
    add(f"{name}.weight", [C], 1, 0.25)
    add(f"{name}.bias", [C], 0, 0.25)


add("wte.weight", [V, C], 0, 1)
add("wpe.weight", [16, C], 0, 1)
for layer in range(L):
    norm(f"h.{layer}.ln_1")
    linear(f"h.{layer}.attn.c_attn", C, 3 * C, bias=0)
    linear(f"h.{layer}.attn.c_proj", C, C)
    norm(f"h.{layer}.ln_2")
    linear(f"h.{layer}.mlp.c_fc", C, 4 * C)
    linear(f"h.{layer}.mlp.c_proj", 4 * C, C)
norm("ln_f")

theirs = {}
for name, tensor in own.items():
    to = f"transformer.{name}".replace("attn.c_proj", "attn.attention.out_proj")
    if "attn.c_attn" in name:
        if "bias" in name:
            continue
        for part, matrix in zip("qkv", tensor.split(C, dim=1)):
            scaled = matrix.T / (math.sqrt(C // H) if part == "q" else 1)
            theirs[to.replace("c_attn", f"attention.{part}_proj")] = scaled
    elif tensor.ndim == 2 and "wte" not in name and "wpe" not in name:
        theirs[to] = tensor.T
    else:
        theirs[to] = tensor
theirs["lm_head.weight"] = own["wte.weight"]
run = lambda model: torch.func.functional_call(model, theirs, (tokens,), strict=False).logits  # noqa: E731
logits = run(model)
loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
grads = torch.autograd.grad(loss, [own[row["name"]] for row in rows if "c_attn.bias" not in row["name"]])
wide = GPTNeoForCausalLM(GPTNeoConfig(**{**config.to_dict(), "window_size": 16})).double()
assert (run(wide) - logits).abs().max() > 0.1  # a file that cannot tell a fault from the truth is worth nothing
write("gpt3.json", {
    "madeBy": "gpt3.py",
    "versions": versions("torch", "transformers"),
    "config": {
        "vocab": V, "context": 16, "width": C, "layers": L, "heads": H, "bands": BANDS, "dropout": 0, "bias": True, "normBias": True,
        "activation": "geluTanh", "tiedHead": True, "eps": config.layer_norm_epsilon,
    },
    "tokens": [{"row": row} for row in tokens.tolist()],
    "targets": [{"row": row} for row in targets.tolist()],
    "parameters": rows,
    "logits": logits.detach().flatten().tolist(),
    "loss": loss.item(),
    "gradNorms": [grad.norm().item() for grad in grads],
})  # fmt: skip
