"""Tiny folders whose config.json says what is easily missed, and the logits that Transformers makes of them, in f32.

Positions scaled with the original context beside `rope_scaling`, as Phi has it; two texts about positions that disagree; a Mixtral without any;
heads by the name that all families share; and a T5 1.1 that Transformers has read and saved, which then says that its head were tied.
"""

import base64
import json
import tempfile
from pathlib import Path

import torch
from common import mix32, versions, write
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSeq2SeqLM, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM,
    T5Config, T5ForConditionalGeneration,
)  # fmt: skip

torch.set_num_threads(1)
torch.manual_seed(23)
V, T, B = 29, 9, 2
sizes = {"vocab_size": V, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 8,
         "head_dim": 4, "max_position_embeddings": 64, "initializer_range": 0.4}  # fmt: skip
yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
linear = {"rope_type": "linear", "factor": 2.0, "rope_theta": 100.0}
t5 = T5Config(vocab_size=V, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu", decoder_start_token_id=0)
llama = lambda: LlamaForCausalLM(LlamaConfig(**sizes))
gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=V, n_positions=16, n_embd=12, n_layer=1, n_head=3, initializer_range=0.4))
cases = {  # the model; what its config.json then says, None for nothing
    "the original context beside the scaling": (llama(), {"rope_parameters": None, "rope_scaling": yarn, "original_max_position_embeddings": 16}),
    "positions twice": (llama(), {"rope_parameters": yarn, "rope_scaling": linear}),
    "a mixtral of few words": (MixtralForCausalLM(MixtralConfig(**sizes, num_local_experts=3)), {"rope_parameters": None, "rms_norm_eps": None}),
    "heads by their common name": (gpt2, {"n_head": None, "num_attention_heads": 2}),
    "a head of its own that is called tied": (T5ForConditionalGeneration(t5), {"tie_word_embeddings": False, "scale_decoder_outputs": None}),
}
draws = iter(mix32(15_487_469 + i) for i in range(10_000))
tokens = torch.tensor([[next(draws) % V for _ in range(T)] for _ in range(B)])
made = {}
with tempfile.TemporaryDirectory() as scratch:
    for name, (model, changes) in cases.items():
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, mean=1.0 if "norm" in parameter_name or "ln_" in parameter_name else 0.0, std=0.3)
        folder = Path(scratch) / name.replace(" ", "-")
        model.save_pretrained(folder)
        path = folder / "config.json"
        config = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
        is_t5 = config["model_type"] == "t5"
        if is_t5:
            tensors = load_file(folder / "model.safetensors") | {"lm_head.weight": torch.randn(V, 8)}
            save_file(tensors, folder / "model.safetensors", {"format": "pt"})
            AutoModelForSeq2SeqLM.from_pretrained(folder).save_pretrained(folder)
            said = json.loads(path.read_text())
            assert said["tie_word_embeddings"] and not said["scale_decoder_outputs"]
        read = (AutoModelForSeq2SeqLM if is_t5 else AutoModelForCausalLM).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        logits = (read(input_ids=tokens, decoder_input_ids=tokens) if is_t5 else read(tokens)).logits.detach()
        files = {p.name: base64.b64encode(p.read_bytes()).decode() for p in sorted(folder.iterdir()) if "generation" not in p.name}
        made[name] = {"files": files, "logits": logits.double().flatten().tolist()}
write("hub-settings.json", {
    "madeBy": "hub_settings.py",
    "versions": versions("torch", "transformers", "safetensors"),
    "batch": B,
    "time": T,
    "tokens": tokens.flatten().tolist(),
    "cases": made,
})  # fmt: skip
