"""Tiny folders as Transformers writes them (config.json, model.safetensors, shards), and the logits of the models in them, in f32.

Each model of the families that are read, some in bf16, some in shards; and GPT-2 as its oldest files have it: without the prefix of
names and with the masks as tensors. Weights are Transformers' own random ones under a seed.
"""

import base64
import json
import tempfile
from pathlib import Path

import torch
from common import mix32, versions, write
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
    MixtralConfig, MixtralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM,
)  # fmt: skip

torch.set_num_threads(1)
torch.manual_seed(5)
V, T, B = 29, 9, 2
sizes = {
    "vocab_size": V, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 64, "initializer_range": 0.4,
}  # fmt: skip
gpt2 = GPT2Config(vocab_size=V, n_positions=16, n_embd=12, n_layer=2, n_head=3, initializer_range=0.4)
llama3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}  # fmt: skip
models = {
    "gpt2": (GPT2LMHeadModel(gpt2), {}),
    "llama": (LlamaForCausalLM(LlamaConfig(**sizes, rope_parameters=llama3)), {}),
    "llama in bf16, in shards": (LlamaForCausalLM(LlamaConfig(**sizes)).bfloat16(), {"max_shard_size": "3KB"}),
    "mistral": (MistralForCausalLM(MistralConfig(**sizes, sliding_window=4)), {}),
    "qwen2": (Qwen2ForCausalLM(Qwen2Config(**sizes, tie_word_embeddings=True)), {}),
    "qwen3 in f16": (Qwen3ForCausalLM(Qwen3Config(**sizes, head_dim=6)).half(), {}),
}
with torch.random.fork_rng():  # the others' weights stay as they are
    experts = {"num_local_experts": 3, "num_experts_per_tok": 2, "router_aux_loss_coef": 0.02, "head_dim": 4}
    models["mixtral"] = (MixtralForCausalLM(MixtralConfig(**sizes, **experts)), {})
with torch.random.fork_rng():
    experts = {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 20, "head_dim": 6}
    models["qwen3_moe"] = (Qwen3MoeForCausalLM(Qwen3MoeConfig(**sizes, **experts, norm_topk_prob=True)), {})
draws = iter(mix32(104729 + i) for i in range(10_000))
tokens = torch.tensor([[next(draws) % V for _ in range(T)] for _ in range(B)])


def files(folder):
    return {path.name: base64.b64encode(path.read_bytes()).decode() for path in sorted(folder.iterdir()) if "generation" not in path.name}


cases = {}
with tempfile.TemporaryDirectory() as scratch:
    for name, (model, options) in models.items():
        for parameter_name, parameter in model.named_parameters():  # norms and biases that begin at 1 and 0 would hide faults
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, mean=1.0 if "norm" in parameter_name or "ln_" in parameter_name else 0.0, std=0.2)
        folder = Path(scratch) / name.replace(" ", "-")
        model.save_pretrained(folder, **options)
        read = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        logits = read(tokens).logits.detach()
        cases[name] = {"files": files(folder), "logits": logits.double().flatten().tolist()}
    old = Path(scratch) / "old"
    old.mkdir()
    first = Path(scratch) / "gpt2"
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in load_file(first / "model.safetensors").items()}
    mask = torch.tril(torch.ones(16, 16)).reshape(1, 1, 16, 16)
    save_file(tensors | {f"h.{layer}.attn.bias": mask.clone() for layer in range(2)}, old / "model.safetensors", {"format": "pt"})
    config = json.loads((first / "config.json").read_text())
    (old / "config.json").write_text(json.dumps({key: config[key] for key in ("model_type", "vocab_size", "n_positions", "n_embd", "n_layer", "n_head")}))
    cases["gpt2 of old"] = {"files": files(old), "logits": cases["gpt2"]["logits"]}
write("hub.json", {
    "madeBy": "hub.py",
    "versions": versions("torch", "transformers", "safetensors"),
    "batch": B,
    "time": T,
    "tokens": tokens.flatten().tolist(),
    "cases": cases,
})  # fmt: skip
