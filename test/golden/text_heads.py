"""Heads of whole texts by Transformers in f64: a number for each text, and a choice among several; losses and gradient norms from a stated start.

Numbers: ForSequenceClassification of BERT, GPT-2 and Llama with one label and problem_type regression. Choices: BertForMultipleChoice with two kinds
of token; of GPT-2 and Llama the score of ForSequenceClassification for each choice, and cross-entropy over them. Texts differ in length; of the
choices one row has fewer, which Transformers is not given: its loss is the mean of the rows', each with the choices that it has. Transformers computes
Llama's angles in f32: figures are exact to about 1e-6 there. The start is made as tiny_gpt.py states; matrices of linear layers are [in, out] here.
"""

import math

import torch
import torch.nn.functional as F
from common import grid, mix32, versions, write
from transformers import (
    BertConfig, BertForMultipleChoice, BertForSequenceClassification, GPT2Config, GPT2ForSequenceClassification, LlamaConfig,
    LlamaForSequenceClassification,
)  # fmt: skip

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
V, T, C, L, H, PAD = 23, 9, 8, 2, 2, 0
one = {"num_labels": 1, "problem_type": "regression", "attn_implementation": "eager"}
bert = dict(
    vocab_size=V, hidden_size=C, num_hidden_layers=L, num_attention_heads=H, intermediate_size=12, max_position_embeddings=T,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=None,
)  # fmt: skip
gpt = GPT2Config(vocab_size=V, n_positions=T, n_embd=C, n_layer=L, n_head=H, pad_token_id=PAD, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **one)
llama = LlamaConfig(
    vocab_size=V, hidden_size=C, num_hidden_layers=L, num_attention_heads=H, num_key_value_heads=1, intermediate_size=12,
    max_position_embeddings=T, rms_norm_eps=1e-5, pad_token_id=PAD, **one,
)  # fmt: skip
decoder = {"vocab": V, "context": T, "width": C, "layers": L, "heads": H, "eps": 1e-5}
models = {
    "bert": {
        "config": {"vocab": V, "context": T, "width": C, "hidden": 12, "layers": L, "heads": H, "dropout": 0},
        "numbers": lambda: BertForSequenceClassification(BertConfig(**bert, **one)),
        "choices": lambda: BertForMultipleChoice(BertConfig(**bert, attn_implementation="eager")),
    },
    "gpt": {"config": decoder, "numbers": lambda: GPT2ForSequenceClassification(gpt), "choices": lambda: GPT2ForSequenceClassification(gpt)},
    "llama": {
        "config": decoder | {"keyValueHeads": 1, "hidden": 12},
        "numbers": lambda: LlamaForSequenceClassification(llama),
        "choices": lambda: LlamaForSequenceClassification(llama),
    },
}
draws = iter(mix32(104729 + i) for i in range(10_000))
texts = lambda *lengths: [[1 + next(draws) % (V - 1) for _ in range(length)] for length in lengths]  # 0 pads
numbers = {"texts": texts(9, 4, 6), "targets": [0.5, -1.0, 2.0]}
choices = {"texts": [texts(9, 5, 7), texts(4, 8)], "seconds": [[4, 2, 5], [2, 3]], "targets": [2, 0]}


def start(model):
    rows = []
    for p, (name, tensor) in enumerate(model.named_parameters()):
        linear = tensor.ndim == 2 and not any(part in name for part in ("wte", "wpe", "embed", "c_attn", "c_proj", "c_fc"))
        norm = name.endswith("weight") and tensor.ndim == 1
        shape = list(tensor.shape)[::-1] if linear else list(tensor.shape)
        centre, scale = (1, 0.25) if norm else (0, 0.5 if tensor.ndim == 2 else 0.25)
        rows.append({"name": name.removeprefix("transformer."), "shape": shape, "centre": centre, "scale": scale})
        values = torch.tensor([centre + scale * u for u in grid(p, math.prod(shape))]).reshape(shape)
        with torch.no_grad():
            tensor.copy_(values.T if linear else values)
    return rows


def padded(rows):
    ids = torch.tensor([row + [PAD] * (T - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (T - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


def score(model, name, texts, seconds):
    """Scores of a row's choices."""
    given = padded(texts)
    if name != "bert":
        return model(**given).logits[:, 0]
    types = torch.tensor([[int(second <= at < len(text)) for at in range(T)] for text, second in zip(texts, seconds)])
    return model(**{key: value[None] for key, value in given.items()}, token_type_ids=types[None]).logits[0]


def figures(model, logits, loss):
    loss.backward()
    norms = [0.0 if tensor.grad is None else tensor.grad.norm().item() for tensor in model.parameters()]
    return {"logits": logits.detach().flatten().tolist(), "loss": loss.item(), "gradNorms": norms}


cases = []
for name, made in models.items():
    model = made["numbers"]().double().eval()
    rows = start(model)
    out = model(**padded(numbers["texts"]), labels=torch.tensor(numbers["targets"]))
    assert abs(out.loss.item() - F.mse_loss(out.logits[:, 0], torch.tensor(numbers["targets"])).item()) < 1e-12
    cases.append({"family": name, "task": "regression", "config": made["config"], "parameters": rows} | figures(model, out.logits, out.loss))
    model = made["choices"]().double().eval()
    rows = start(model)
    scores = [score(model, name, *row) for row in zip(choices["texts"], choices["seconds"])]
    loss = torch.stack([F.cross_entropy(row[None], torch.tensor([target])) for row, target in zip(scores, choices["targets"])]).mean()
    cases.append({"family": name, "task": "multiple-choice", "config": made["config"], "parameters": rows} | figures(model, torch.cat(scores), loss))
write("text-heads.json", {
    "madeBy": "text_heads.py",
    "versions": versions("torch", "transformers"),
    "numbers": {"texts": [text + [-1] * (T - len(text)) for text in numbers["texts"]], "targets": numbers["targets"]},
    "choices": choices,
    "cases": cases,
})  # fmt: skip
