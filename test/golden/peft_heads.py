"""Adapter folders as PEFT writes them beside the tiny BERTs of hub-bert.json and a Llama of hub-classifiers.json, with the heads that are trained whole, and the logits of both, in f32.

Every number of adapter and head is drawn anew, so that none is where it began. The pooler is named beside the classifier: Athanor trains both.
"""

import base64
import json
import tempfile
from pathlib import Path

import torch
from common import FOLDER, versions, write
from peft import LoraConfig, get_peft_model
from transformers import BertForQuestionAnswering, BertForSequenceClassification, BertForTokenClassification, LlamaForSequenceClassification

torch.set_num_threads(1)
torch.manual_seed(13)
encoders, writers = [json.loads((FOLDER / f"{name}.json").read_text()) for name in ("hub-bert", "hub-classifiers")]
heads = {
    "classes": (BertForSequenceClassification, "SEQ_CLS", ["classifier", "bert.pooler.dense"]),
    "regression": (BertForSequenceClassification, "SEQ_CLS", ["classifier", "bert.pooler.dense"]),
    "tokens": (BertForTokenClassification, "TOKEN_CLS", ["classifier"]),
    "spans": (BertForQuestionAnswering, "QUESTION_ANS", ["qa_outputs"]),
    "llama": (LlamaForSequenceClassification, "SEQ_CLS", ["score"]),
}

cases = {}
with tempfile.TemporaryDirectory() as scratch:
    for name, (architecture, task, saved) in heads.items():
        hub = writers if name == "llama" else encoders
        tokens = torch.tensor(hub["tokens"]).reshape(hub["batch"], hub["time"])
        mask = tokens >= 0
        base = Path(scratch) / name
        base.mkdir()
        for file, text in hub["cases"][name]["files"].items():
            (base / file).write_bytes(base64.b64decode(text))
        model = architecture.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
        targets = ["q_proj", "v_proj"] if name == "llama" else ["query", "value"]
        model = get_peft_model(model, LoraConfig(r=2, lora_alpha=3, target_modules=targets, task_type=task, modules_to_save=saved)).eval()
        for _, parameter in model.named_parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.4)
        model.peft_config["default"].base_model_name_or_path = name  # else the scratch folder
        folder = Path(scratch) / f"{name}-adapter"
        model.save_pretrained(folder)
        out = model(input_ids=tokens.clamp(min=0), attention_mask=mask)
        logits = torch.stack([out.start_logits, out.end_logits], -1) if name == "spans" else out.logits
        files = {file: base64.b64encode((folder / file).read_bytes()).decode() for file in ("adapter_config.json", "adapter_model.safetensors")}
        cases[name] = {"files": files, "logits": logits.detach().double().flatten().tolist()}
write("peft-heads.json", {"madeBy": "peft_heads.py", "versions": versions("torch", "transformers", "peft"), "cases": cases})
