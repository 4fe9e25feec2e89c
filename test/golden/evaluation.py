"""What the tiny GPT-2 and Llama of hub.json think of given tokens, by Transformers in f64.

Perplexity of a text longer than the context as in Transformers' documentation (fixed-length models, sliding windows); log-likelihoods of
continuations, and whether each is what the model would write, as lm-evaluation-harness sums them.
"""

import base64
import json
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from common import FOLDER, mix32, versions, write
from transformers import AutoModelForCausalLM

torch.set_num_threads(1)
hub = json.loads((FOLDER / "hub.json").read_text())
V = 29
draws = iter(mix32(32452843 + i) for i in range(2000))
text = [next(draws) % V for _ in range(150)]


def sliding(model, ids, max_length, stride):
    """The loop of the documentation."""
    nll_sum, n_tokens, prev_end = 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + max_length, len(ids))
        target_length = end - prev_end
        input_ids = torch.tensor([ids[begin:end]])
        target_ids = input_ids.clone()
        target_ids[:, :-target_length] = -100
        with torch.no_grad():
            nll = model(input_ids, labels=target_ids).loss
        valid = int((target_ids != -100).sum()) - int(target_ids[0, 0] != -100)  # labels are shifted inside
        nll_sum += nll.item() * valid
        n_tokens += valid
        prev_end = end
        if end == len(ids):
            break
    return {"loss": nll_sum / n_tokens, "numTokens": n_tokens}


def likelihood(model, tokens, start):
    with torch.no_grad():
        scores = F.log_softmax(model(torch.tensor([tokens[:-1]])).logits[0], dim=-1)[start - 1:]
    wanted = torch.tensor(tokens[start:])
    return {
        "tokens": tokens,
        "from": start,
        "logProbability": scores.gather(1, wanted[:, None]).sum().item(),
        "isGreedy": bool((scores.argmax(-1) == wanted).all()),
    }


cases = {}
with tempfile.TemporaryDirectory() as scratch:
    for name, strides in {"gpt2": (1, 5, 15), "llama": (20, 63)}.items():
        folder = Path(scratch) / name
        folder.mkdir()
        for file, content in hub["cases"][name]["files"].items():
            (folder / file).write_bytes(base64.b64decode(content))
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
        context = model.config.max_position_embeddings
        rows = []
        for i in range(6):
            given = [next(draws) % V for _ in range(2 + i)]
            rows.append(likelihood(model, given + [next(draws) % V for _ in range(1 + i % 3)], len(given)))
            with torch.no_grad():
                likely = model(torch.tensor([given])).logits[0, -1].argmax().item()
            rows.append(likelihood(model, [*given, likely], len(given)))
        cases[name] = {
            "sliding": [{"stride": stride, **sliding(model, text, context, stride)} for stride in strides],
            "rows": rows,
        }
write("evaluation.json", {
    "madeBy": "evaluation.py",
    "versions": versions("torch", "transformers"),
    "text": text,
    "cases": cases,
})  # fmt: skip
