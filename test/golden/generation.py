"""Greedy and beam text of the tiny models in hub.json, by Transformers' `generate` in f64: token for token.

Each prompt alone, without padding. Beams are asked for with all their texts and scores.
"""

import base64
import json
import tempfile
from pathlib import Path

import torch
from common import FOLDER, mix32, versions, write
from transformers import AutoModelForCausalLM

torch.set_num_threads(1)
hub = json.loads((FOLDER / "hub.json").read_text())
NAMES, V, LENGTHS = ("gpt2", "llama", "mistral", "qwen2", "qwen3 in f16", "mixtral", "qwen3_moe"), 29, (1, 3, 5)
draws = iter(mix32(1299709 + i) for i in range(1000))
prompts = [[next(draws) % V for _ in range(length)] for length in LENGTHS]
greedy = {"plain": {}, "repetition penalty": {"repetition_penalty": 1.4}}
beams = {"one": {}, "short": {"length_penalty": 0.0}, "long": {"length_penalty": 2.5}, "early": {"early_stopping": True}}


def run(model, prompt, **options):
    ids = torch.tensor([prompt])
    settings = {"max_new_tokens": 10, "do_sample": False, "eos_token_id": None, "pad_token_id": 0, "use_cache": True} | options
    made = model.generate(ids, attention_mask=torch.ones_like(ids), return_dict_in_generate=True, output_scores=True, **settings)
    texts = [row[len(prompt):].tolist() for row in made.sequences]
    end = settings["eos_token_id"]
    texts = [text[: text.index(end)] if end in text else text for text in texts]
    return texts, made


cases = {}
with tempfile.TemporaryDirectory() as scratch:
    for name in NAMES:
        folder = Path(scratch) / name
        folder.mkdir()
        for file, text in hub["cases"][name]["files"].items():
            (folder / file).write_bytes(base64.b64decode(text))
        eager = {"experts_implementation": "eager"} if name in ("mixtral", "qwen3_moe") else {}
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager", **eager).eval()
        case = cases[name] = {"greedy": {}, "beams": {}}
        for label, options in greedy.items():
            case["greedy"][label] = [run(model, prompt, **options)[0][0] for prompt in prompts]
        end = case["end"] = case["greedy"]["plain"][1][-1]  # a token that comes
        case["greedy"]["ends"] = [run(model, prompt, eos_token_id=end)[0][0] for prompt in prompts]
        for label, options in beams.items():
            case["beams"][label] = []
            for prompt in prompts:
                texts, made = run(model, prompt, num_beams=3, num_return_sequences=3, eos_token_id=end, **options)
                case["beams"][label].append({"texts": [{"tokens": text} for text in texts], "scores": made.sequences_scores.tolist()})
        assert len({tuple(text) for text in case["greedy"]["plain"]}) > 1, name
write("generation.json", {
    "madeBy": "generation.py",
    "versions": versions("torch", "transformers"),
    "maxTokens": 10,
    "prompts": [{"tokens": prompt} for prompt in prompts],
    "cases": {name: {
        "end": case["end"],
        "greedy": {label: [{"tokens": text} for text in texts] for label, texts in case["greedy"].items()},
        "beams": case["beams"],
    } for name, case in cases.items()},
})  # fmt: skip
