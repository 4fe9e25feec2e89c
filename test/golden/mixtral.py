"""A tiny Mixtral and a tiny mixture of Qwen3 by Transformers in f64: logits, router's losses, loss and gradient norms from a stated start.

The start is made as tiny_gpt.py states; matrices are [in, out] here, their transposes are given to Transformers, which keeps the experts'
first two matrices as one. Angles are f32, as llama.py says. Qwen3's experts are weighted by their shares of all, which it takes in f32 whatever
the rest is in: here in f64. The z-loss, which Transformers has not, is its formula written out.
"""

import math

import torch
from common import grid, mix32, versions, write
from transformers import MixtralConfig, MixtralForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

V, T, C, L, H, G, HIDDEN, B, E, CHOSEN, BALANCE, Z = 31, 12, 16, 2, 4, 2, 32, 2, 4, 2, 0.5, 0.25
sizes = {
    "vocab_size": V, "hidden_size": C, "num_hidden_layers": L, "num_attention_heads": H, "num_key_value_heads": G,
    "intermediate_size": HIDDEN, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "attn_implementation": "eager", "experts_implementation": "eager",
    "num_experts_per_tok": CHOSEN, "router_aux_loss_coef": BALANCE, "output_router_logits": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}  # fmt: skip
models = {
    "mixtral": (MixtralForCausalLM(MixtralConfig(**sizes, num_local_experts=E)), {"headWidth": C // H, "headNorm": False}, {}),
    "qwen3-moe": (
        Qwen3MoeForCausalLM(Qwen3MoeConfig(**sizes, num_experts=E, moe_intermediate_size=HIDDEN, head_dim=6, norm_topk_prob=False)),
        {"headWidth": 6, "headNorm": True},
        {"normalized": False},
    ),
}
draws = iter(mix32(7919 + i) for i in range(10_000))
tokens = torch.tensor([[next(draws) % V for _ in range(T)] for _ in range(B)])
targets = torch.tensor([[next(draws) % V for _ in range(T)] for _ in range(B)])
softmax = torch.nn.functional.softmax
torch.nn.functional.softmax = lambda x, *args, dtype=None, **options: softmax(x, *args, **options)


def published(name, tensor):
    """The parameters of the published layout within one of Transformers': names and views."""
    moe = name.replace(".mlp.", ".block_sparse_moe.")
    if name.endswith("gate_up_proj"):
        prefix = moe.removesuffix("gate_up_proj")
        return [(f"{prefix}{e}.w{w}.weight", part) for e in range(E) for w, part in zip((1, 3), tensor[e].chunk(2))]
    if name.endswith("down_proj"):
        prefix = moe.removesuffix("down_proj")
        return [(f"{prefix}{e}.w2.weight", tensor[e]) for e in range(E)]
    return [(moe if "mlp.gate" in name else name, tensor)]


for case, (model, settings, routing) in models.items():
    model = model.double()
    rows = []
    for name, whole in model.named_parameters():
        for own, tensor in published(name, whole.data):
            linear = tensor.ndim == 2 and "embed_tokens" not in own
            shape = list(tensor.shape)[::-1] if linear else list(tensor.shape)
            centre, scale = (1, 0.25) if "norm" in own else (0, 0.5)
            rows.append({"name": own, "shape": shape, "centre": centre, "scale": scale})
            values = torch.tensor([centre + scale * u for u in grid(len(rows) - 1, math.prod(shape))]).reshape(shape)
            tensor.copy_(values.T if linear else values)
    out = model(tokens)
    cross = torch.nn.functional.cross_entropy(out.logits.flatten(0, 1), targets.flatten())
    routers = torch.cat(out.router_logits)  # (L·B·T, E)
    z = routers.logsumexp(-1).square().mean()
    best = routers.sort(descending=True).values
    assert (best[:, CHOSEN - 1] - best[:, CHOSEN]).min() > 1e-4  # no choice hangs on a rounding
    loss = cross + BALANCE * out.aux_loss + Z * z
    loss.backward()
    norms = [part.norm().item() for name, whole in model.named_parameters() for _, part in published(name, whole.grad)]
    assert min(norms) > 1e-6, [(row["name"], norm) for row, norm in zip(rows, norms) if norm <= 1e-6]  # no expert is idle
    write(f"{case}.json", {
        "madeBy": "mixtral.py",
        "versions": versions("torch", "transformers"),
        "batch": B,
        "time": T,
        "tokens": tokens.flatten().tolist(),
        "targets": targets.flatten().tolist(),
        "config": {
            "vocab": V, "context": 512, "width": C, "layers": L, "heads": H, "keyValueHeads": G, "headWidth": settings["headWidth"], "hidden": HIDDEN,
            "window": 0, "attentionBias": False, "headNorm": settings["headNorm"], "tiedHead": False, "eps": 1e-5, "rotary": {"base": 10000},
            "experts": {"count": E, "chosen": CHOSEN, "balance": BALANCE, "z": Z} | routing,
        },
        "parameters": rows,
        "logits": out.logits.detach().flatten().tolist(),
        "balance": out.aux_loss.item(),
        "z": z.item(),
        "loss": loss.item(),
        "gradNorms": norms,
    })  # fmt: skip
