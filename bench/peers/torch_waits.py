"""One thing that a user of PyTorch waits for, once; then a JSON line. See README.md.

python torch_waits.py import | first SHAPE [--compile] | prepare-resume SHAPE FILE | resume SHAPE FILE
                      | checkpoint FILE MEGABYTES | generate SHAPE | decode WEIGHTS
"""

import json
import math
import os
import sys
import time

import torch
from protocol import answer


def first(shape, compiled=None):
    from torch_models import make_step

    make_step(json.loads(shape), compiled=compiled is not None)[0]()
    return {}


def prepare_resume(shape, path):
    from torch_models import make_step

    step, model, optimizer = make_step(json.loads(shape))
    step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
    return {}


def resume(shape, path):
    from torch_models import make_step

    step, model, optimizer = make_step(json.loads(shape))
    state = torch.load(path)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    step()
    return {}


def checkpoint(path, megabytes):
    """Saved and fsynced, which torch.save alone does not do; neither hashes what it wrote."""
    size = 2**22
    count = math.ceil(float(megabytes) * 1e6 / (4 * size))
    tensors = {f"t{i}": torch.sin(torch.arange(size, dtype=torch.float32)) for i in range(count)}
    gigabytes = 4 * size * count / 1e9
    begin = time.perf_counter()
    with open(path, "wb") as file:
        torch.save(tensors, file)
        file.flush()
        os.fsync(file.fileno())
    saved = time.perf_counter()
    torch.load(path)
    loaded = time.perf_counter()
    os.remove(path)
    return {"saveSecondsPerGB": (saved - begin) / gigabytes, "loadSecondsPerGB": (loaded - saved) / gigabytes}


def generate(shape):
    """Token by token over cached keys and values, drawn from the softmax."""
    from torch_models import GPT

    shape = json.loads(shape)
    context, heads = shape["context"], shape["heads"]
    model = GPT(**{key: value for key, value in shape.items() if key not in ("model", "batch")}).eval()
    kept = (1, heads, context, shape["width"] // heads)
    caches = [(torch.zeros(kept), torch.zeros(kept)) for _ in range(shape["layers"])]

    @torch.inference_mode()
    def drain(count):
        token = torch.tensor([[1]])
        for at in range(count):
            logits = model.hidden(token, at, caches)[:, -1] @ model.wte.weight.T
            token = torch.multinomial(torch.softmax(logits, -1), 1)
            token.item()

    drain(10)
    begin = time.perf_counter()
    drain(context - 1)
    return {"tokensPerSecond": (context - 1) / (time.perf_counter() - begin)}


def decode(weights):
    """The likeliest tokens of a GPT-2 of random weights, after one token, by Transformers."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config()).to({"f32": torch.float32, "bf16": torch.bfloat16}[weights]).eval()

    def write(count):
        ids = torch.tensor([[1]])
        model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count, min_new_tokens=count, pad_token_id=0)

    write(8)
    begin = time.perf_counter()
    write(64)
    return {"tokensPerSecond": 64 / (time.perf_counter() - begin)}


tasks = {
    "import": dict,
    "first": first,
    "prepare-resume": prepare_resume,
    "resume": resume,
    "checkpoint": checkpoint,
    "generate": generate,
    "decode": decode,
}
answer(**tasks[sys.argv[1]](*sys.argv[2:]))
