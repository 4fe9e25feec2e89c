"""A tiny BERT by Transformers' BertForMaskedLM in f64: logits, masked loss and gradient norms from a stated start.

Two cases: all tokens seen and of type 0; and rows with padding at their ends, of two token types. Both are checked against
PyTorch's own nn.TransformerEncoder between embeddings and head written out. The start is made as tiny_gpt.py states; matrices of
linear layers are [in, out] here, their transposes are given to Transformers. Targets of -1 count for nothing.
"""

import math

import torch
import torch.nn.functional as F
from common import grid, mix32, versions, write
from torch import nn
from transformers import BertConfig, BertForMaskedLM

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

V, T, C, L, H, B = 31, 12, 16, 2, 2, 2
LN_EPS = 1e-12

config = BertConfig(
    vocab_size=V, hidden_size=C, num_hidden_layers=L, num_attention_heads=H, intermediate_size=4 * C, max_position_embeddings=T,
    hidden_act="gelu", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=LN_EPS, pad_token_id=None,
)  # fmt: skip
model = BertForMaskedLM(config).double()


def is_linear(name, tensor):
    return tensor.ndim == 2 and "_embeddings" not in name


rows = []
for p, (name, tensor) in enumerate(model.named_parameters()):
    norm, matrix = name.endswith("LayerNorm.weight"), tensor.ndim == 2
    shape = list(tensor.shape)[::-1] if is_linear(name, tensor) else list(tensor.shape)
    centre, scale = (1, 0.25) if norm else (0, 0.5 if matrix else 0.25)
    rows.append({"name": name, "shape": shape, "centre": centre, "scale": scale})
    values = torch.tensor([centre + scale * u for u in grid(p, math.prod(shape))]).reshape(shape)
    with torch.no_grad():
        tensor.copy_(values.T if is_linear(name, tensor) else values)
parameters = dict(model.named_parameters())

draws = iter(mix32(7919 + i) for i in range(10_000))
tokens = torch.tensor([[next(draws) % V for _ in range(T)] for _ in range(B)])
masked = torch.tensor([[next(draws) % 3 == 0 for _ in range(T)] for _ in range(B)])
words = torch.tensor([[next(draws) % V for _ in range(T)] for _ in range(B)])
lengths = torch.tensor([9, 6])
position = torch.arange(T)
padded = position < lengths[:, None]
cases = {
    "plain": {"mask": None, "types": None, "targets": words.where(masked, -1)},
    "padded": {"mask": padded, "types": (position >= torch.tensor([[5], [2]])).long(), "targets": words.where(masked & padded, -1)},
}


def by_hand(mask, types):
    """Embeddings and head written out around nn.TransformerEncoder."""
    p = parameters
    norm = lambda x, name: F.layer_norm(x, (C,), p[f"{name}.weight"], p[f"{name}.bias"], LN_EPS)
    e = "bert.embeddings"
    x = p[f"{e}.word_embeddings.weight"][tokens] + p[f"{e}.position_embeddings.weight"]
    x = norm(x + p[f"{e}.token_type_embeddings.weight"][torch.zeros_like(tokens) if types is None else types], f"{e}.LayerNorm")
    for layer in range(L):
        at = f"bert.encoder.layer.{layer}"
        block = nn.TransformerEncoderLayer(C, H, 4 * C, dropout=0.0, activation="gelu", layer_norm_eps=LN_EPS, batch_first=True)
        joined = {kind: torch.cat([p[f"{at}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]) for kind in ("weight", "bias")}
        state = {f"self_attn.in_proj_{kind}": joined[kind] for kind in joined}
        for ours, theirs in {"self_attn.out_proj": "attention.output.dense", "linear1": "intermediate.dense", "linear2": "output.dense",
                             "norm1": "attention.output.LayerNorm", "norm2": "output.LayerNorm"}.items():  # fmt: skip
            state |= {f"{ours}.{kind}": p[f"{at}.{theirs}.{kind}"] for kind in ("weight", "bias")}
        block.load_state_dict(state)
        x = block(x, src_key_padding_mask=None if mask is None else ~mask)
    h = "cls.predictions"
    x = norm(F.gelu(F.linear(x, p[f"{h}.transform.dense.weight"], p[f"{h}.transform.dense.bias"])), f"{h}.transform.LayerNorm")
    return F.linear(x, p[f"{e}.word_embeddings.weight"], p[f"{h}.bias"])


for name, case in cases.items():
    mask, types, targets = case["mask"], case["types"], case["targets"]
    assert (targets >= 0).sum() > 3 and (targets < 0).sum() > 3
    model.zero_grad()
    logits = model(tokens, attention_mask=None if mask is None else mask.long(), token_type_ids=types).logits
    torch.testing.assert_close(logits, by_hand(mask, types), rtol=0, atol=1e-13)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
    loss.backward()
    case |= {"logits": logits, "loss": loss.item(), "gradNorms": [t.grad.norm().item() for t in parameters.values()]}
assert (cases["plain"]["logits"] - cases["padded"]["logits"]).abs().max() > 0.1
for fault in ({"mask": None}, {"types": None}):  # a file that cannot tell a fault from the truth is worth nothing
    other = by_hand(**{"mask": padded, "types": cases["padded"]["types"], **fault})
    assert (other - cases["padded"]["logits"])[padded].abs().max() > 0.1, fault


def numbers(value):
    return value.detach().long().flatten().tolist() if not value.is_floating_point() else value.detach().flatten().tolist()


with torch.device("meta"):
    large = BertConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
    counts = {
        name: sum(t.numel() for t in BertForMaskedLM(size).parameters())
        for name, size in {"bert-base": BertConfig(), "bert-large": large}.items()
    }
write("bert.json", {
    "madeBy": "bert.py",
    "versions": versions("torch", "transformers"),
    "config": {"vocab": V, "context": T, "width": C, "hidden": 4 * C, "layers": L, "heads": H, "tokenTypes": 2, "dropout": 0, "eps": LN_EPS},
    "counts": counts,
    "parameters": rows,
    "batch": B,
    "tokens": tokens.flatten().tolist(),
    "cases": {
        name: {key: numbers(value) if isinstance(value, torch.Tensor) else value for key, value in case.items()}
        for name, case in cases.items()
    },
})  # fmt: skip
