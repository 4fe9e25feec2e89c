"""Tiny BERT folders as Transformers writes them, one for each head, with the logits, the loss and its gradients in f64.

Rows have other lengths, and two kinds of token where the head takes them. Of each gradient its norm and its projection on cos(0), cos(1),
... in the order of the file's tensor. The encoder with a language model's head also as old files have it: with gamma and beta, the pooler and
the copy of the tied table.
"""

import base64
import json
import tempfile
from pathlib import Path

import torch
from common import mix32, versions, write
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig, BertForMaskedLM, BertForMultipleChoice, BertForQuestionAnswering, BertForSequenceClassification, BertForTokenClassification,
    BertModel,
)  # fmt: skip

torch.set_num_threads(1)
torch.manual_seed(7)
V, T, B, N = 23, 7, 3, 2
sizes = {
    "vocab_size": V, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 10,
    "initializer_range": 0.4, "hidden_dropout_prob": 0.05, "attention_probs_dropout_prob": 0.05,
}  # fmt: skip
config = lambda **more: BertConfig(**sizes, pad_token_id=None, **more)  # else token 0 would get no gradient
names = lambda *labels: {"id2label": dict(enumerate(labels)), "label2id": {label: at for at, label in enumerate(labels)}}
draws = iter(mix32(15485863 + i) for i in range(10_000))
draw = lambda below, *shape: torch.tensor([next(draws) % below for _ in range(torch.Size(shape).numel())]).reshape(shape)
lengths = torch.tensor([7, 4, 6])
mask = torch.arange(T) < lengths[:, None]
tokens = draw(V, B, T) * mask
types = (torch.arange(T) >= 3).long() * mask
guessed = (draw(3, B, T) == 0) & mask
pairs = torch.stack([tokens, tokens.roll(1, 0)], 1)  # two texts to choose from
models = {
    "masked": (BertForMaskedLM(config()), {"labels": draw(V, B, T).where(guessed, -100)}),
    "classes": (BertForSequenceClassification(config(**names("no", "maybe", "yes"))), {"labels": torch.tensor([2, 0, 1])}),
    "regression": (BertForSequenceClassification(config(num_labels=1, problem_type="regression")), {"labels": torch.tensor([0.5, -1.0, 2.0])}),
    "tokens": (BertForTokenClassification(config(**names("O", "B-x", "I-x"))), {"labels": draw(3, B, T).where(mask, -100)}),
    "spans": (BertForQuestionAnswering(config()), {"start_positions": torch.tensor([3, 0, 4]), "end_positions": torch.tensor([5, 0, 4])}),
    "choices": (BertForMultipleChoice(config()), {"labels": torch.tensor([1, 0, 1])}),
    "encoder": (BertModel(config()), {}),
}


def files(folder):
    return {path.name: base64.b64encode(path.read_bytes()).decode() for path in sorted(folder.iterdir())}


flat = lambda tensor: tensor.detach().double().flatten().tolist()
cases = {}
with tempfile.TemporaryDirectory() as scratch:
    for name, (model, labels) in models.items():
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, mean=1.0 if parameter_name.endswith("LayerNorm.weight") else 0.0, std=0.2)
        folder = Path(scratch) / name
        model.save_pretrained(folder)
        read = type(model).from_pretrained(folder, attn_implementation="eager").double().eval()
        pair = name == "choices"
        given = {"input_ids": pairs if pair else tokens, "attention_mask": torch.stack([mask, mask.roll(1, 0)], 1) if pair else mask}
        if name == "spans":
            given["token_type_ids"] = types
        if name == "regression":
            labels = {"labels": labels["labels"].double()}
        out = read(**given, **labels)
        logits = torch.stack([out.start_logits, out.end_logits], -1) if name == "spans" else out.pooler_output if name == "encoder" else out.logits
        loss = out.pooler_output.square().sum() if name == "encoder" else out.loss
        loss.backward()
        gradients = {}
        for parameter_name, parameter in read.named_parameters():
            grad = parameter.grad.flatten()
            gradients[parameter_name] = [grad.norm().item(), (grad * torch.arange(len(grad), dtype=torch.float64).cos()).sum().item()]
        cases[name] = {"files": files(folder), "targets": {key: value.flatten().tolist() for key, value in labels.items()},
                       "logits": flat(logits), "loss": loss.item(), "gradients": gradients}  # fmt: skip
    old = Path(scratch) / "old"
    old.mkdir()
    tensors = load_file(Path(scratch) / "masked/model.safetensors")
    rename = lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    more = {"bert.pooler.dense.weight": torch.zeros(8, 8), "bert.pooler.dense.bias": torch.zeros(8), "cls.seq_relationship.weight": torch.zeros(2, 8),
            "cls.seq_relationship.bias": torch.zeros(2), "cls.predictions.decoder.weight": tensors["bert.embeddings.word_embeddings.weight"].clone(),
            "bert.embeddings.position_ids": torch.arange(10)[None]}  # fmt: skip
    save_file({rename(name): tensor for name, tensor in tensors.items()} | more, old / "model.safetensors", {"format": "pt"})
    written = json.loads((Path(scratch) / "masked/config.json").read_text())
    (old / "config.json").write_text(json.dumps(written | {"architectures": ["BertForPreTraining"]}))
    cases["masked of old"] = cases["masked"] | {"files": files(old)}
write("hub-bert.json", {
    "madeBy": "hub_bert.py",
    "versions": versions("torch", "transformers", "safetensors"),
    **{"batch": B, "time": T, "choices": N},
    "tokens": tokens.where(mask, -1).flatten().tolist(),
    "tokenTypes": types.flatten().tolist(),
    "cases": cases,
})  # fmt: skip
