"""A tiny GPT-2 trained for 20 AdamW steps by PyTorch: losses, gradient norms and logits from a stated start.

Variant A: no biases in the linear layers, exact (erf) GELU. Variant B: GPT-2 as published, with biases and tanh GELU.
Both tie the head to wte.weight. The model is written out here; its logits and gradients are checked against the
Transformers library's GPT2LMHeadModel before anything is stored, and the update against optax's.

The start is not stored: parameter number p (counted from 0 in the stored order), element e, is
    centre + scale * (mix32(p * 0x9e3779b1 + e) >>> 16) / 65536 - scale / 2        (all mod 2^32)
with the centre and scale stored beside the name; mix32 is MurmurHash3's finalizer (see common.py).
Every start is exact in f32. Matrices are [in, out]: x @ W, as the published checkpoint has them.
"""

import math

import jax
import numpy as np
import optax
import torch
import torch.nn.functional as F
from common import grid, mix32, versions, write
from transformers import GPT2Config, GPT2LMHeadModel

torch.set_num_threads(1)
jax.config.update("jax_enable_x64", True)

V, T, C, L, H, B = 17, 8, 16, 2, 2, 3
STEPS, LR, BETAS, EPS, DECAY, CLIP = 20, 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0
LN_EPS = 1e-5


def parameter_list(biases):
    """(name, shape, centre, scale) in the published order."""
    rows = [("wte.weight", [V, C], 0, 0.5), ("wpe.weight", [T, C], 0, 0.5)]

    def norm(name):
        rows.append((f"{name}.weight", [C], 1, 0.25))
        rows.append((f"{name}.bias", [C], 0, 0.25))

    def linear(name, inputs, outputs):
        rows.append((f"{name}.weight", [inputs, outputs], 0, 0.5))
        if biases:
            rows.append((f"{name}.bias", [outputs], 0, 0.25))

    for layer in range(L):
        norm(f"h.{layer}.ln_1")
        linear(f"h.{layer}.attn.c_attn", C, 3 * C)
        linear(f"h.{layer}.attn.c_proj", C, C)
        norm(f"h.{layer}.ln_2")
        linear(f"h.{layer}.mlp.c_fc", C, 4 * C)
        linear(f"h.{layer}.mlp.c_proj", 4 * C, C)
    norm("ln_f")
    return rows


def start(rows, dtype):
    parameters = {}
    for p, (name, shape, centre, scale) in enumerate(rows):
        values = [centre + scale * u for u in grid(p, math.prod(shape))]
        parameters[name] = torch.tensor(values, dtype=dtype).reshape(shape).requires_grad_()
        assert parameters[name].detach().double().flatten().tolist() == values
    return parameters


def batches():
    """(inputs, targets) per step: the next token is the last one plus one or two, with a few jumps."""
    out = []
    for step in range(STEPS):
        rows = []
        for row in range(B):
            token = mix32(7919 * step + row) % V
            tokens = [token]
            for i in range(T):
                draw = mix32(104729 * step + 31 * row + i + 1)
                token = draw % V if draw % 8 == 0 else (token + 1 + (draw >> 8) % 2) % V
                tokens.append(token)
            rows.append(tokens)
        out.append(([r[:-1] for r in rows], [r[1:] for r in rows]))
    return out


def forward(p, x, tanh):
    """Logits (B, T, V). Pre-norm blocks, causal attention scaled by 1/sqrt(C / H), tied head."""

    def linear(name, v):
        out = v @ p[f"{name}.weight"]
        return out + p[f"{name}.bias"] if f"{name}.bias" in p else out

    def norm(name, v):
        return F.layer_norm(v, (C,), p[f"{name}.weight"], p[f"{name}.bias"], LN_EPS)

    h = p["wte.weight"][x] + p["wpe.weight"]
    hidden = torch.full((T, T), -torch.inf, dtype=h.dtype).triu(1)
    for layer in range(L):
        q, k, v = linear(f"h.{layer}.attn.c_attn", norm(f"h.{layer}.ln_1", h)).split(C, -1)
        q, k, v = (t.reshape(B, T, H, C // H).transpose(1, 2) for t in (q, k, v))
        weights = (q @ k.transpose(-1, -2) / math.sqrt(C // H) + hidden).softmax(-1)
        h = h + linear(f"h.{layer}.attn.c_proj", (weights @ v).transpose(1, 2).reshape(B, T, C))
        inner = F.gelu(linear(f"h.{layer}.mlp.c_fc", norm(f"h.{layer}.ln_2", h)), approximate="tanh" if tanh else "none")
        h = h + linear(f"h.{layer}.mlp.c_proj", inner)
    return norm("ln_f", h) @ p["wte.weight"].T


def loss_of(p, batch, tanh):
    x, y = (torch.tensor(part) for part in batch)
    return F.cross_entropy(forward(p, x, tanh).reshape(-1, V), y.reshape(-1))


def train(variant, dtype, clip=CLIP, decay=DECAY, decay_all=False, betas=BETAS, lr=LR):
    rows, tanh = parameter_list(variant["biases"]), variant["gelu"] == "tanh"
    p = start(rows, dtype)
    matrices = [t for t in p.values() if decay_all or t.ndim >= 2]
    others = [t for t in p.values() if not (decay_all or t.ndim >= 2)]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=betas, eps=EPS, foreach=False)
    record = {"losses": [], "gradNorms": [], "globalNorms": [], "grads": None}
    for batch in batches():
        optimizer.zero_grad()
        loss = loss_of(p, batch, tanh)
        loss.backward()
        record["losses"].append(loss.item())
        record["gradNorms"].append([t.grad.norm().item() for t in p.values()])
        if record["grads"] is None:
            record["grads"] = {name: t.grad.flatten().tolist() for name, t in p.items()}
        record["globalNorms"].append(torch.nn.utils.clip_grad_norm_(p.values(), clip, foreach=False).item())
        optimizer.step()
    record["finalNorms"] = [t.detach().norm().item() for t in p.values()]
    record["finalSums"] = [t.detach().sum().item() for t in p.values()]
    return record, p


def check_against_transformers(variant):
    rows, tanh = parameter_list(variant["biases"]), variant["gelu"] == "tanh"
    p = start(rows, torch.float64)
    config = GPT2Config(
        vocab_size=V, n_positions=T, n_embd=C, n_layer=L, n_head=H, layer_norm_epsilon=LN_EPS,
        activation_function="gelu_new" if tanh else "gelu", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).double()
    with torch.no_grad():
        for name, tensor in model.transformer.named_parameters():
            tensor.copy_(p[name] if name in p else torch.zeros_like(tensor))
    x, y = (torch.tensor(part) for part in batches()[0])
    logits = model(x).logits
    F.cross_entropy(logits.reshape(-1, V), y.reshape(-1)).backward()
    loss_of(p, batches()[0], tanh).backward()
    torch.testing.assert_close(logits, forward(p, x, tanh), rtol=0, atol=1e-13)
    theirs = dict(model.transformer.named_parameters())
    assert not [name for name in theirs if name not in p and variant["biases"]]
    for name, tensor in p.items():
        torch.testing.assert_close(theirs[name].grad, tensor.grad, rtol=0, atol=1e-13)


def check_against_optax(variant, record):
    """The same 20 steps with optax's AdamW on PyTorch's gradients. optax clips by max/norm, PyTorch by max/(norm + 1e-6):
    a difference below 1e-7 here."""
    rows, tanh = parameter_list(variant["biases"]), variant["gelu"] == "tanh"
    p = start(rows, torch.float64)
    mask = {name: t.ndim >= 2 for name, t in p.items()}
    chain = optax.chain(
        optax.clip_by_global_norm(CLIP), optax.adamw(LR, *BETAS, eps=EPS, weight_decay=DECAY, mask=mask)
    )
    values = {name: np.array(t.detach().numpy()) for name, t in p.items()}
    state = chain.init(values)
    worst = 0.0
    for batch, expected in zip(batches(), record["losses"], strict=True):
        tensors = {name: torch.tensor(np.array(v)).requires_grad_() for name, v in values.items()}
        loss = loss_of(tensors, batch, tanh)
        loss.backward()
        worst = max(worst, abs(loss.item() - expected))
        updates, state = chain.update({name: t.grad.numpy() for name, t in tensors.items()}, state, values)
        values = optax.apply_updates(values, updates)
    assert worst < 1e-7, worst
    return worst


def check_sensitivity(variant, record):
    """A file that cannot tell a fault from the truth is worth nothing: leave out one ingredient at a time."""
    faults = {
        "no clip": {"clip": 1e9},
        "no decay": {"decay": 0.0},
        "decay on vectors too": {"decay_all": True},
        "beta2 0.999": {"betas": (0.9, 0.999)},
    }
    shown = {}
    for name, change in faults.items():
        other, _ = train(variant, torch.float64, **change)
        shown[name] = max(abs(a - b) for a, b in zip(record["losses"], other["losses"], strict=True))
        assert shown[name] > 1e-6, (name, shown[name])
    return shown


def main():
    variants = {
        "A": {"biases": False, "gelu": "erf"},
        "B": {"biases": True, "gelu": "tanh"},
    }
    for name, variant in variants.items():
        rows, tanh = parameter_list(variant["biases"]), variant["gelu"] == "tanh"
        check_against_transformers(variant)
        wide, trained = train(variant, torch.float64)
        narrow, _ = train(variant, torch.float32)
        print(name, "optax differs by", check_against_optax(variant, wide))
        print(name, "faults move the losses by", check_sensitivity(variant, wide))
        print(name, "losses", wide["losses"][0], wide["losses"][-1], "norms", wide["globalNorms"])
        print(name, "f32 - f64", [a - b for a, b in zip(narrow["losses"], wide["losses"], strict=True)][:5])
        variant["parameters"] = [
            {"name": n, "shape": shape, "centre": centre, "scale": scale} for n, shape, centre, scale in rows
        ]
        first = start(rows, torch.float64)
        variant["startSums"] = [t.detach().sum().item() for t in first.values()]
        x = torch.tensor(batches()[0][0])
        variant["logits"] = forward(first, x, tanh).flatten().tolist()
        variant["f64"] = {key: wide[key] for key in ("losses", "globalNorms", "gradNorms", "finalNorms", "finalSums")}
        # the loss of step 0's batch after the last update: the twentieth update is checked too
        variant["f64"]["lossAfter"] = loss_of(trained, batches()[0], tanh).item()
        variant["f32"] = {
            "losses": narrow["losses"][:5],
            "globalNorm": narrow["globalNorms"][0],
            "gradNorms": narrow["gradNorms"][0],
        }
        if name == "A":
            variant["f64"]["grads"] = wide["grads"]
    write(
        "tiny-gpt.json",
        {
            "madeBy": "tiny_gpt.py",
            "versions": versions("torch", "transformers", "jax", "optax"),
            "start": "centre + scale * ((mix32(p * 0x9e3779b1 + e) >>> 16) / 65536 - 0.5), p the parameter's number, e the element, mod 2^32",
            "config": {"vocab": V, "context": T, "width": C, "layers": L, "heads": H, "batch": B, "normEps": LN_EPS},
            "training": {
                "steps": STEPS, "lr": LR, "beta1": BETAS[0], "beta2": BETAS[1], "eps": EPS, "weightDecay": DECAY,
                "decayed": "parameters of two or more dimensions", "clipNorm": CLIP,
                "clip": "gradients times min(1, clipNorm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_",
                "norms": "gradNorms are taken before clipping, one list per step in the order of parameters",
            },  # fmt: skip
            "batches": [{"inputs": x, "targets": y} for x, y in batches()],
            "variants": variants,
        },
    )


main()
