"""Tiny classifiers and a scorer on models that write text, as Transformers writes their folders, with the scores of padded texts in f64.

Rows have other lengths; Transformers reads a text's scores off its last token that is not `pad_token_id`, so no text holds that one.
"""

import base64
import tempfile
from pathlib import Path

import torch
from common import mix32, versions, write
from transformers import (
    GPT2Config, GPT2ForSequenceClassification, LlamaConfig, LlamaForSequenceClassification, MistralConfig, MistralForSequenceClassification,
    Qwen2Config, Qwen2ForSequenceClassification, Qwen3Config, Qwen3ForSequenceClassification,
)  # fmt: skip

torch.set_num_threads(1)
torch.manual_seed(11)
V, T, B = 19, 7, 3
names = {"id2label": dict(enumerate(["no", "maybe", "yes"])), "label2id": {"no": 0, "maybe": 1, "yes": 2}}
sizes = {
    "vocab_size": V, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 12,
    "max_position_embeddings": 16, "initializer_range": 0.4, "pad_token_id": 0,
}  # fmt: skip
gpt2 = {"vocab_size": V, "n_positions": 12, "n_embd": 8, "n_layer": 2, "n_head": 2, "initializer_range": 0.4, "pad_token_id": 0}
models = {
    "gpt2": GPT2ForSequenceClassification(GPT2Config(**gpt2, **names)),
    "gpt2 that scores": GPT2ForSequenceClassification(GPT2Config(**gpt2, num_labels=1, problem_type="regression")),
    "llama": LlamaForSequenceClassification(LlamaConfig(**sizes, **names)),
    "mistral": MistralForSequenceClassification(MistralConfig(**sizes, **names, sliding_window=4)),
    "qwen2": Qwen2ForSequenceClassification(Qwen2Config(**sizes, **names, tie_word_embeddings=True)),
    "qwen3": Qwen3ForSequenceClassification(Qwen3Config(**sizes, **names, head_dim=6)),
}
draws = iter(mix32(32452843 + i) for i in range(10_000))
tokens = torch.tensor([[1 + next(draws) % (V - 1) for _ in range(T)] for _ in range(B)])
mask = torch.arange(T) < torch.tensor([7, 3, 5])[:, None]
cases = {}
with tempfile.TemporaryDirectory() as scratch:
    for name, model in models.items():
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, mean=1.0 if "norm" in parameter_name or "ln_" in parameter_name else 0.0, std=0.2)
        folder = Path(scratch) / name
        model.save_pretrained(folder)
        read = type(model).from_pretrained(folder, attn_implementation="eager").double().eval()
        scores = read(input_ids=tokens * mask).logits  # what is causal sees no padding behind it
        files = {path.name: base64.b64encode(path.read_bytes()).decode() for path in sorted(folder.iterdir())}
        cases[name] = {"files": files, "scores": scores.detach().flatten().tolist()}
write("hub-classifiers.json", {
    "madeBy": "hub_classifiers.py",
    "versions": versions("torch", "transformers", "safetensors"),
    **{"batch": B, "time": T},
    "tokens": tokens.where(mask, -1).flatten().tolist(),
    "cases": cases,
})  # fmt: skip
