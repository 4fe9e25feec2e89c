"""Adapter folders as PEFT writes them beside the tiny models of hub.json, and the logits of model and adapter together, in f32.

Every number of an adapter is drawn anew, so that none is where it began. Virtual tokens have logits that are cut off, as PEFT returns
none for a prefix of keys and values, and those of prompts before the text's own.
"""

import base64
import json
import tempfile
from pathlib import Path

import torch
from common import FOLDER, versions, write
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

torch.set_num_threads(1)
torch.manual_seed(11)
hub = json.loads((FOLDER / "hub.json").read_text())
tokens = torch.tensor(hub["tokens"]).reshape(hub["batch"], hub["time"])
projections = ["q_proj", "v_proj", "down_proj"]
task = {"task_type": "CAUSAL_LM"}
adapters = {
    "lora": ("llama", LoraConfig(r=3, lora_alpha=5, target_modules=projections, **task)),
    "rslora": ("llama", LoraConfig(r=4, lora_alpha=3, use_rslora=True, target_modules=projections, lora_dropout=0.1, **task)),
    "dora": ("llama", LoraConfig(r=2, lora_alpha=4, use_dora=True, target_modules=projections, **task)),
    "lora of gpt2": ("gpt2", LoraConfig(r=2, lora_alpha=6, target_modules=["c_attn"], fan_in_fan_out=True, **task)),
    "prompt": ("llama", PromptTuningConfig(num_virtual_tokens=4, **task)),
    "prefix": ("llama", PrefixTuningConfig(num_virtual_tokens=3, **task)),
    "prefix of gpt2": ("gpt2", PrefixTuningConfig(num_virtual_tokens=3, **task)),
}

cases = {}
with tempfile.TemporaryDirectory() as scratch:
    for base in {base for base, _ in adapters.values()}:
        folder = Path(scratch) / base
        folder.mkdir()
        for name, text in hub["cases"][base]["files"].items():
            (folder / name).write_bytes(base64.b64decode(text))
    for name, (base, config) in adapters.items():
        model = AutoModelForCausalLM.from_pretrained(Path(scratch) / base, dtype=torch.float32, attn_implementation="eager")
        plain = model(tokens).logits.detach()
        model = get_peft_model(model, config).eval()
        for parameter_name, parameter in model.named_parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, mean=2.0 if "magnitude" in parameter_name else 0.0, std=0.3)
        model.peft_config["default"].base_model_name_or_path = base  # else the scratch folder
        folder = Path(scratch) / f"adapter-{len(cases)}"
        model.save_pretrained(folder)
        logits = model(tokens).logits.detach()[:, -hub["time"] :]
        assert (logits - plain).abs().max() > 0.05
        files = {file: base64.b64encode((folder / file).read_bytes()).decode() for file in ("adapter_config.json", "adapter_model.safetensors")}
        cases[name] = {"base": base, "files": files, "logits": logits.double().flatten().tolist()}
write("peft.json", {"madeBy": "peft_adapters.py", "versions": versions("torch", "transformers", "peft"), "cases": cases})
