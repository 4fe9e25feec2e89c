"""Tiny models of the Llama family by Transformers in f64: logits, loss and gradient norms from a stated start; frequencies; sizes.

Transformers computes the angles of positions in f32 whatever the rest is in: figures are exact to about 1e-6.

One case for each way in which the published models differ: grouped keys and values with Llama 3's scaled positions, a sliding window
(Mistral), biases and a tied head (Qwen2), heads that are normed (Qwen3). The start is made as tiny_gpt.py states; matrices of linear
layers are [in, out] here, their transposes are given to Transformers.
"""

import math

import torch
import torch.nn.functional as F
from common import grid, mix32, versions, write
from transformers import (
    LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
)  # fmt: skip
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

V, T, C, L, H, G, HIDDEN, B, EPS = 31, 12, 16, 2, 4, 2, 24, 2, 1e-5
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
sizes = {
    "vocab_size": V, "hidden_size": C, "num_hidden_layers": L, "num_attention_heads": H, "num_key_value_heads": G,
    "intermediate_size": HIDDEN, "max_position_embeddings": 512, "rms_norm_eps": EPS, "attn_implementation": "eager",
}  # fmt: skip
ours = {
    "vocab": V, "context": 512, "width": C, "layers": L, "heads": H, "keyValueHeads": G, "headWidth": C // H, "hidden": HIDDEN, "window": 0,
    "attentionBias": False, "headNorm": False, "tiedHead": False, "eps": EPS, "rotary": {"base": 10000},
}  # fmt: skip
scaling = {"type": "llama3", "factor": 8, "lowFrequency": 1, "highFrequency": 4, "originalContext": 64}
models = {
    "llama": (
        LlamaForCausalLM(LlamaConfig(**sizes, rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, **LLAMA3})),
        ours | {"rotary": {"base": 10000, "scaling": scaling}},
    ),
    "mistral": (
        MistralForCausalLM(MistralConfig(**sizes, sliding_window=5, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})),
        ours | {"window": 5},
    ),
    "qwen2": (
        Qwen2ForCausalLM(Qwen2Config(**sizes, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1e6})),
        ours | {"attentionBias": True, "tiedHead": True, "rotary": {"base": 1e6}},
    ),
    "qwen3": (
        Qwen3ForCausalLM(Qwen3Config(**sizes, head_dim=6, rope_parameters={"rope_type": "default", "rope_theta": 1e6})),
        ours | {"headNorm": True, "headWidth": 6, "rotary": {"base": 1e6}},
    ),
}
draws = iter(mix32(7919 + i) for i in range(10_000))
tokens = torch.tensor([[next(draws) % V for _ in range(T)] for _ in range(B)])
targets = torch.tensor([[next(draws) % V for _ in range(T)] for _ in range(B)])


def is_linear(name, tensor):
    return tensor.ndim == 2 and "embed_tokens" not in name


def run(model):
    """Places the start, and gives it with the figures."""
    rows = []
    model = model.double()
    for p, (name, tensor) in enumerate(model.named_parameters()):
        norm = "norm" in name
        shape = list(tensor.shape)[::-1] if is_linear(name, tensor) else list(tensor.shape)
        centre, scale = (1, 0.25) if norm else (0, 0.5 if tensor.ndim == 2 else 0.25)
        rows.append({"name": name, "shape": shape, "centre": centre, "scale": scale})
        values = torch.tensor([centre + scale * u for u in grid(p, math.prod(shape))]).reshape(shape)
        with torch.no_grad():
            tensor.copy_(values.T if is_linear(name, tensor) else values)
    logits = model(tokens).logits
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()
    norms = [tensor.grad.norm().item() for tensor in model.parameters()]
    return {"parameters": rows, "logits": logits.detach().flatten().tolist(), "loss": loss.item(), "gradNorms": norms}


cases = {name: {"config": config, **run(model)} for name, (model, config) in models.items()}
window = torch.tensor(cases["mistral"]["logits"])
models["mistral"][0].config.sliding_window = None
models["mistral"][0].zero_grad()
whole = models["mistral"][0](tokens).logits.flatten()
assert (whole - window).abs().max() > 0.01  # a file that cannot tell a fault from the truth is worth nothing


def frequencies(kind, **settings):
    config = LlamaConfig(
        hidden_size=128, num_attention_heads=1, max_position_embeddings=settings.pop("context"),
        rope_parameters={"rope_type": kind, "rope_theta": 10000.0, **settings},
    )  # fmt: skip
    inverse, magnitude = ROPE_INIT_FUNCTIONS[kind](config, "cpu")
    return {"frequencies": inverse.double().tolist(), "magnitude": magnitude}


scalings = [
    {"scaling": {"type": "linear", "factor": 4}, **frequencies("linear", context=8192, factor=4.0)},
    {"scaling": scaling, **frequencies("llama3", context=512, **LLAMA3)},
    {
        "scaling": {"type": "yarn", "factor": 4, "originalContext": 4096},
        **frequencies("yarn", context=16384, factor=4.0, original_max_position_embeddings=4096),
    },
]


def count(family, config):
    with torch.device("meta"):
        return sum(tensor.numel() for tensor in family(config).parameters())


big = {"num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 4096}
counts = {
    "tinyllama-1.1b": count(LlamaForCausalLM, LlamaConfig(num_hidden_layers=22, num_attention_heads=32, num_key_value_heads=4, hidden_size=2048, intermediate_size=5632, vocab_size=32000)),
    "llama-2-7b": count(LlamaForCausalLM, LlamaConfig(**big, intermediate_size=11008, vocab_size=32000)),
    "llama-3-8b": count(LlamaForCausalLM, LlamaConfig(**big, num_key_value_heads=8, intermediate_size=14336, vocab_size=128256)),
    "llama-3.1-8b": count(LlamaForCausalLM, LlamaConfig(**big, num_key_value_heads=8, intermediate_size=14336, vocab_size=128256)),
    "llama-3.2-1b": count(LlamaForCausalLM, LlamaConfig(num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8, hidden_size=2048, intermediate_size=8192, vocab_size=128256, tie_word_embeddings=True)),
    "mistral-7b": count(MistralForCausalLM, MistralConfig(**big, num_key_value_heads=8, intermediate_size=14336, vocab_size=32000)),
    "qwen2-0.5b": count(Qwen2ForCausalLM, Qwen2Config(num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2, hidden_size=896, intermediate_size=4864, vocab_size=151936, tie_word_embeddings=True)),
    "qwen3-0.6b": count(Qwen3ForCausalLM, Qwen3Config(num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8, head_dim=128, hidden_size=1024, intermediate_size=3072, vocab_size=151936, tie_word_embeddings=True)),
}  # fmt: skip
write("llama.json", {
    "madeBy": "llama.py",
    "versions": versions("torch", "transformers"),
    "batch": B,
    "time": T,
    "tokens": tokens.flatten().tolist(),
    "targets": targets.flatten().tolist(),
    "cases": cases,
    "scalings": scalings,
    "counts": counts,
})  # fmt: skip
