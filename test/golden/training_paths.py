"""Three models trained for 50 steps by PyTorch in f32, with the losses of all steps: a GPT-2, a perceptron, a classifier of texts.

gpt:            torch.nn.Embedding, LayerNorm, scaled_dot_product_attention; AdamW, clipping, warm-up and half a cosine
mlp:            torch.nn.Linear and ReLU; SGD with Nesterov momentum and an l2 penalty, a line as schedule
textClassifier: torch.nn.EmbeddingBag (mean), Linear, GELU; Adam

Step s reads the rows (s * batch + i) mod N, i below batch, of the stored tables. Starts are made as in tiny_gpt.py: parameter number
p of the stored order, element e, is centre + scale * grid. Weights of linear layers are [in, out]. Padding is token -1.

Before anything is stored: the same in f64 must give nearly the same losses (so that f32's rounding is no excuse), the rules and
schedules written out in numpy on PyTorch's gradients must give them too, and leaving out any one ingredient must show.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from common import grid, mix32, versions, write
from torch import nn

torch.set_num_threads(1)

STEPS = 50
GPT = {"vocab": 29, "context": 16, "layers": 2, "heads": 4, "width": 32, "dropout": 0, "bias": True, "activation": "geluTanh"}
MLP = {"inputs": 6, "hidden": [32, 16], "outputs": 4, "activation": "relu"}
TEXT = {"vocab": 23, "context": 12, "width": 16, "hidden": [24], "outputs": 3, "activation": "gelu"}


class TextClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.EmbeddingBag(TEXT["vocab"], TEXT["width"], mode="mean")
        self.head = perceptron([TEXT["width"], *TEXT["hidden"], TEXT["outputs"]], nn.GELU)

    def forward(self, texts):
        lengths = (texts >= 0).sum(1)
        return self.head(self.embedding(texts[texts >= 0], lengths.cumsum(0) - lengths))


def perceptron(widths, activation):
    layers = nn.Sequential()
    for inputs, outputs in zip(widths, widths[1:]):
        layers.extend([nn.Linear(inputs, outputs), activation()])
    return layers[:-1]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        c = GPT["width"]
        self.ln_1, self.ln_2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(c, 3 * c), "c_proj": nn.Linear(c, c)})
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(c, 4 * c), "c_proj": nn.Linear(4 * c, c)})

    def forward(self, h):
        q, k, v = (t.unflatten(-1, (GPT["heads"], -1)).transpose(1, 2) for t in self.attn["c_attn"](self.ln_1(h)).chunk(3, -1))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        h = h + self.attn["c_proj"](seen)
        return h + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(h)), approximate="tanh"))


class Gpt(nn.Module):
    """GPT-2 as published, its head tied to the table of tokens."""

    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(GPT["vocab"], GPT["width"]), nn.Embedding(GPT["context"], GPT["width"])
        self.h, self.ln_f = nn.ModuleList([Block() for _ in range(GPT["layers"])]), nn.LayerNorm(GPT["width"])

    def forward(self, tokens):
        h = self.wte(tokens) + self.wpe.weight
        for block in self.h:
            h = block(h)
        return self.ln_f(h) @ self.wte.weight.T


def linear_names(theirs, prefix, count):
    """(our name, their name) of the linear layers of a perceptron."""
    return [(f"{prefix}layers.{i}.{part}", f"{theirs}{2 * i}.{part}") for i in range(count) for part in ("weight", "bias")]


def table(dtype, rows):
    return {"dtype": dtype, "shape": list(np.shape(rows)), "data": np.ravel(rows).tolist()}


def gpt_data(rows=200):
    """One stream in which the next token is the last one plus one or two, with a few jumps, cut into windows."""
    tokens, context = [3], GPT["context"]
    for i in range(rows * context):
        draw = mix32(0x1000 + i)
        tokens.append(draw % GPT["vocab"] if draw % 8 == 0 else (tokens[-1] + 1 + (draw >> 8) % 2) % GPT["vocab"])
    cut = lambda start: [tokens[start + r * context : start + (r + 1) * context] for r in range(rows)]  # noqa: E731
    return {"tokens": table("i32", cut(0)), "targets": table("i32", cut(1))}


def mlp_data(rows=72):
    """The class is the largest of four of the six features, with one label in eight drawn at random."""
    features = np.array(grid(101, rows * MLP["inputs"])).reshape(rows, MLP["inputs"]) * 4
    draws = [mix32(0x2000 + r) for r in range(rows)]
    classes = [(d >> 8) % 4 if d % 8 == 0 else int(np.argmax(f[:4])) for d, f in zip(draws, features, strict=True)]
    return {"features": table("f32", features), "targets": table("i32", classes)}


def text_data(rows=90):
    """Texts of 0 to 12 tokens whose class is the remainder of most of their tokens."""
    texts, classes = [], []
    for r in range(rows):
        kind, length = mix32(0x3000 + r) % 3, mix32(0x4000 + r) % (TEXT["context"] + 1)
        draws = [mix32(0x5000 + 64 * r + i) for i in range(length)]
        tokens = [d % TEXT["vocab"] if d % 4 == 0 else kind + 3 * ((d >> 8) % 7) for d in draws]
        texts.append(tokens + [-1] * (TEXT["context"] - length))
        classes.append(kind)
    return {"tokens": table("i32", texts), "targets": table("i32", classes)}


COSINE, LINE = {"peak": 4e-3, "warmup": 5, "total": STEPS, "floor": 4e-4}, {"peak": 0.04, "total": STEPS, "floor": 0.004}
CASES = {
    "gpt": {
        "make": Gpt, "config": GPT, "batch": 4, "data": gpt_data(),
        "names": [(name, name) for name, _ in Gpt().named_parameters()],
        "optimizer": {"adamw": {"lr": {"cosine": COSINE}, "betas": [0.9, 0.95], "eps": 1e-8, "weightDecay": 0.1, "clip": 0.5}},
        "faults": {"clip": 1e9, "weightDecay": 0.0, "betas": [0.9, 0.999], "lr": {"cosine": {**COSINE, "warmup": 0}}},
    },
    "mlp": {
        "make": lambda: perceptron([MLP["inputs"], *MLP["hidden"], MLP["outputs"]], nn.ReLU), "config": MLP, "batch": 16,
        "names": linear_names("", "", 3), "data": mlp_data(),
        "optimizer": {"sgd": {"lr": {"linear": LINE}, "momentum": 0.9, "nesterov": True, "l2": 0.01}},
        "faults": {"nesterov": False, "l2": 0.0, "lr": LINE["peak"]},
    },
    "textClassifier": {
        "make": TextClassifier, "config": TEXT, "batch": 18, "data": text_data(),
        "names": [("embedding.weight", "embedding.weight"), *linear_names("head.", "head.", 2)],
        "optimizer": {"adam": {"lr": 0.01, "betas": [0.9, 0.99], "eps": 1e-7}},
        "faults": {"betas": [0.9, 0.999], "eps": 1e-3},
    },
}  # fmt: skip


def model_and_start(case, dtype):
    """The model at its stated start, and the rows that state it."""
    model, rows = case["make"]().to(dtype).eval(), []
    linear = {f"{name}.weight" for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    parameters = dict(model.named_parameters())
    assert sorted(parameters) == sorted(theirs for _, theirs in case["names"])
    for p, (name, theirs) in enumerate(case["names"]):
        tensor, flip = parameters[theirs], theirs in linear
        shape = list(tensor.T.shape if flip else tensor.shape)
        centre, scale = int("ln_" in name and name.endswith("weight")), 0.5 if tensor.ndim == 2 else 0.25
        values = torch.tensor([centre + scale * u for u in grid(p, math.prod(shape))], dtype=dtype).reshape(shape)
        tensor.data.copy_(values.T if flip else values)
        rows.append({"name": name, "shape": shape, "centre": centre, "scale": scale})
    return model, rows


def batch_at(case, step, dtype):
    size = case["batch"]
    tensors = {}
    for name, t in case["data"].items():
        at = [(step * size + i) % t["shape"][0] for i in range(size)]
        values = torch.tensor(t["data"], dtype=dtype if t["dtype"] == "f32" else torch.int64).reshape(t["shape"])
        tensors[name] = values[at]
    targets = tensors.pop("targets")
    return next(iter(tensors.values())), targets


def loss_of(model, x, y):
    out = model(x)
    return F.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1))


def torch_optimizer(case, parameters):
    """(optimizer, scheduler, clip) as PyTorch spells the settings."""
    (kind, given), = case["optimizer"].items()
    lr = given["lr"]
    decay = lr if isinstance(lr, float) else next(iter(lr.values()))
    peak = decay if isinstance(decay, float) else decay["peak"]
    if kind == "sgd":
        o = torch.optim.SGD(parameters, peak, given["momentum"], weight_decay=given["l2"], nesterov=given["nesterov"], foreach=False)
    elif kind == "adam":
        o = torch.optim.Adam(parameters, peak, given["betas"], given["eps"], foreach=False)
    else:
        groups = [{"params": [p for p in parameters if p.ndim >= 2], "weight_decay": given["weightDecay"]},
                  {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}]  # fmt: skip
        o = torch.optim.AdamW(groups, peak, given["betas"], given["eps"], foreach=False)
    if isinstance(lr, float):
        schedule = torch.optim.lr_scheduler.ConstantLR(o, 1.0)
    elif "linear" in lr:
        schedule = torch.optim.lr_scheduler.LinearLR(o, 1.0, decay["floor"] / peak, decay["total"])
    else:
        rise = decay["warmup"]
        falling = lambda: torch.optim.lr_scheduler.CosineAnnealingLR(o, decay["total"] - rise, decay["floor"])  # noqa: E731
        rising = lambda: torch.optim.lr_scheduler.LambdaLR(o, lambda step: step / rise)  # noqa: E731
        schedule = torch.optim.lr_scheduler.SequentialLR(o, [rising(), falling()], [rise]) if rise else falling()
    return o, schedule, given.get("clip", math.inf)


def train(case, dtype):
    model, _ = model_and_start(case, dtype)
    parameters = list(model.parameters())
    optimizer, schedule, clip = torch_optimizer(case, parameters)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, *batch_at(case, step, dtype))
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(parameters, clip, foreach=False)
        optimizer.step()
        schedule.step()
    return losses


def rate_at(lr, step):
    """The schedules in closed form."""
    if isinstance(lr, float):
        return lr
    (name, d), = lr.items()
    rise = d.get("warmup", 0)
    if step < rise:
        return d["peak"] * step / rise
    progress = (step - rise) / (d["total"] - rise)
    return d["floor"] + (d["peak"] - d["floor"]) * (1 - progress if name == "linear" else (1 + math.cos(math.pi * progress)) / 2)


def written_out_losses(case):
    """The same steps in f64 on PyTorch's gradients, with rules as their papers have them."""
    (kind, given), = case["optimizer"].items()
    model, _ = model_and_start(case, torch.float64)
    slots = [[np.zeros(p.shape), np.zeros(p.shape)] for p in model.parameters()]
    losses = []
    for step in range(STEPS):
        model.zero_grad()
        loss = loss_of(model, *batch_at(case, step, torch.float64))
        loss.backward()
        losses.append(loss.item())
        rate, gradients = rate_at(given["lr"], step), [p.grad.numpy() for p in model.parameters()]
        norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
        factor = min(1.0, given["clip"] / norm) if "clip" in given else 1.0
        for p, g, slot in zip(model.parameters(), gradients, slots, strict=True):
            x, g = p.data.numpy(), g * factor
            if kind == "sgd":
                g = g + given["l2"] * x
                slot[0] = given["momentum"] * slot[0] + g
                x -= rate * (g + given["momentum"] * slot[0])
            else:
                decay = given.get("weightDecay", 0.0) if p.ndim >= 2 else 0.0
                b1, b2 = given["betas"]
                slot[:] = b1 * slot[0] + (1 - b1) * g, b2 * slot[1] + (1 - b2) * g * g
                m, v = slot[0] / (1 - b1 ** (step + 1)), slot[1] / (1 - b2 ** (step + 1))
                x -= rate * (m / (np.sqrt(v) + given["eps"]) + decay * x)
    return losses


def furthest(losses, others):
    return max(abs(a - b) / b for a, b in zip(losses, others, strict=True))


def main():
    models = {}
    for name, case in CASES.items():
        narrow, wide = train(case, torch.float32), train(case, torch.float64)
        (kind, settings), = case["optimizer"].items()
        faults = {
            fault: furthest(train({**case, "optimizer": {kind: {**settings, fault: value}}}, torch.float64), wide)
            for fault, value in case["faults"].items()
        }
        rounding, theirs = furthest(narrow, wide), furthest(written_out_losses(case), wide)
        print(name, "losses", narrow[0], narrow[-1], "f32 to f64", rounding, "written out", theirs, "faults", faults)
        assert rounding < 1e-5 and theirs < 2e-6 and min(faults.values()) > 1e-3 and narrow[-1] < 0.9 * narrow[0]
        _, rows = model_and_start(case, torch.float32)
        models[name] = {
            "config": case["config"], "optimizer": case["optimizer"], "batch": case["batch"],
            "parameters": rows, "data": case["data"], "losses": narrow,
        }  # fmt: skip
    write(
        "training-paths.json",
        {"madeBy": "training_paths.py", "versions": versions("torch", "numpy"), "steps": STEPS, "models": models},
    )


main()
