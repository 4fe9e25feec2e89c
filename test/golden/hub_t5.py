"""Tiny folders of T5 as Transformers writes them; logits, loss and gradients over rows with padding, and texts, greedy and by beams, in f64.

Two models: the first version (relu, tied and scaled head), and 1.1 (gated-gelu, a head of its own), whose config.json says as the published ones
do `tie_word_embeddings: false`. Distances reach beyond the last bucket. Weights are Transformers' own under a seed, large enough that texts differ.
"""

import base64
import json
import tempfile
from pathlib import Path

import torch
from common import mix32, versions, write
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5LayerNorm

torch.set_num_threads(1)
# Transformers takes a norm's mean of squares in f32 even in a model of f64: here it is taken in the model's own
T5LayerNorm.forward = lambda self, x: self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon)
V, S, T, B = 23, 14, 9, 3
END = 1
sizes = {"vocab_size": V, "d_model": 16, "d_kv": 6, "d_ff": 20, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 3,
         "relative_attention_num_buckets": 8, "relative_attention_max_distance": 10, "dropout_rate": 0.0, "n_positions": S,
         "decoder_start_token_id": 0}  # fmt: skip
configs = {
    "first": T5Config(**sizes),
    "second": T5Config(**sizes, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
}
draws = iter(mix32(15_485_863 + i) for i in range(10_000))
lengths, written = [14, 9, 4], [5, 9, 7]
source = [[2 + next(draws) % (V - 2) for _ in range(n - 1)] + [END] for n in lengths]
targets = [[2 + next(draws) % (V - 2) for _ in range(n - 1)] + [END] for n in written]
filled = lambda rows, width, value: torch.tensor([row + [value] * (width - len(row)) for row in rows])
searches = {
    "greedy": {"num_beams": 1},
    "three beams": {"num_beams": 3, "length_penalty": 1.0},
    "short": {"num_beams": 4, "length_penalty": 0.0},
    "long": {"num_beams": 3, "length_penalty": 2.0},
    "early": {"num_beams": 3, "length_penalty": 1.0, "early_stopping": True},
}


def figures(model):
    model = model.double().eval()
    ids, mask = filled(source, S, 0), filled([[1] * n for n in lengths], S, 0)
    labels = filled(targets, T, -100)
    tokens = torch.cat([torch.zeros(B, 1, dtype=torch.long), labels[:, :-1].clamp(min=0)], 1)
    logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=tokens).logits
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    loss.backward()
    parts = {}
    for name, p in model.named_parameters():
        grad = p.grad.flatten()
        parts[name] = [grad.norm().item(), (grad * torch.arange(len(grad)).double().cos()).sum().item()]
    texts = {}
    for name, options in searches.items():
        rows = []
        for row in source:
            out = model.generate(torch.tensor([row]), max_new_tokens=T, do_sample=False, use_cache=False, **options)
            rows.append(out[0, 1:].tolist())
        texts[name] = [row[: row.index(END)] if END in row else row for row in rows]
    return {"logits": logits.detach().flatten().tolist(), "loss": loss.item(), "gradients": parts, "texts": texts}


cases = {}
with tempfile.TemporaryDirectory() as scratch:
    for seed, (name, config) in enumerate(configs.items()):
        torch.manual_seed(11 + seed)
        model = T5ForConditionalGeneration(config)
        if name == "second":
            model.lm_head.weight = nn.Parameter(torch.randn(V, 16) * 0.5)
            model.config.tie_word_embeddings = False
        for parameter_name, parameter in model.named_parameters():
            if "layer_norm" in parameter_name:
                nn.init.normal_(parameter, mean=1.0, std=0.2)
            elif "Attention" in parameter_name or "Dense" in parameter_name:
                parameter.data *= 1.6
        folder = Path(scratch) / name
        model.save_pretrained(folder)
        path = folder / "config.json"
        config_json = json.loads(path.read_text())
        if name == "second":
            config_json["tie_word_embeddings"] = False
            config_json.pop("scale_decoder_outputs", None)
        path.write_text(json.dumps(config_json))
        read = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        files = {p.name: base64.b64encode(p.read_bytes()).decode() for p in sorted(folder.iterdir()) if "generation" not in p.name}
        cases[name] = {"files": files, **figures(read)}
assert all(len({tuple(t) for t in case["texts"]["greedy"]}) > 1 for case in cases.values())
assert any(case["texts"]["short"] != case["texts"]["long"] for case in cases.values())
assert any(case["texts"]["greedy"] != case["texts"]["three beams"] for case in cases.values())
with torch.device("meta"):
    counts = {
        "t5-small": T5Config(),
        "t5-base": T5Config(d_model=768, d_ff=3072, num_heads=12, num_layers=12),
        "t5-large": T5Config(d_model=1024, d_ff=4096, num_heads=16, num_layers=24),
    }
    counts = {name: sum(p.numel() for p in T5ForConditionalGeneration(config).parameters()) for name, config in counts.items()}
write("hub-t5.json", {
    "madeBy": "hub_t5.py",
    "versions": versions("torch", "transformers", "safetensors"),
    "context": S,
    "time": T,
    "source": source,
    "targets": targets,
    "counts": counts,
    "cases": cases,
})  # fmt: skip
