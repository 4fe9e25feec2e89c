"""What `athanor prove sys.*` is held to: JAX, PyTorch and scikit-learn on data that both sides draw as NumPy does from a seed.

Writes TypeScript into src/, since proofs ship with the package. PyTorch and JAX run in f64. The Keras loop is walked by PyTorch's Adam in
the order of the rows: its epoch loss is Keras's, a mean over samples, the short last batch included.
"""

import base64
import json
import math
import os
import struct

os.environ["JAX_ENABLE_X64"] = "1"

import jax
import jax.numpy as jnp
import numpy as np
import sklearn.metrics as sk
import torch
import torch.nn.functional as F
from common import FOLDER, versions
from torch import nn

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def normals(seed, *shape):
    return np.random.RandomState(seed).randn(math.prod(shape)).reshape(shape)


def flat(value):
    return np.asarray(value.detach() if isinstance(value, torch.Tensor) else value).ravel().tolist()


# ---- JAX: gradients, nested, and vmap


def jax_figures():
    points = jnp.asarray(normals(1, 4))
    sines, derivative = [], jnp.sin
    for _ in range(4):
        derivative = jax.grad(derivative)
        sines.append(flat(jax.vmap(derivative)(points)))
    w, b, x, y = (jnp.asarray(normals(seed, *shape)) for seed, shape in ((2, (3, 2)), (3, (2,)), (4, (5, 3)), (5, (5, 2))))

    def loss(w, b, x, y):
        return jnp.mean((jnp.tanh(x @ w + b) - y) ** 2)

    value, (dw, db) = jax.value_and_grad(loss, argnums=(0, 1))(w, b, x, y)
    each = jax.vmap(jax.grad(loss), in_axes=(None, None, 0, 0))(w, b, x, y)
    stack = jnp.asarray(normals(6, 4, 3, 3))
    products = jax.vmap(lambda m: jnp.exp(-(m @ m.T)) @ m)(stack)
    hessian = jax.hessian(lambda x: jnp.sum(jnp.sin(x) * x[::-1] ** 2))(points)
    return {"sines": sines, "value": float(value), "dw": flat(dw), "db": flat(db), "perExample": flat(each),
            "products": flat(products), "hessian": flat(hessian)}  # fmt: skip


# ---- PyTorch: loops, optimizers, layers, a state_dict


def net(seed=10):
    """10 → 20 → 1 with a rectifier; weights as normals of the seed, in PyTorch's layout."""
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 1))
    with torch.no_grad():
        for at, parameter in enumerate(model.parameters()):
            values = normals(seed + at, *reversed(parameter.shape)) * 0.3
            parameter.copy_(torch.from_numpy(values.T.copy()))
    return model


def walk(make, steps=100):
    x = torch.from_numpy(normals(20, 64, 10))
    y = (x[:, :1] * x[:, 1:2]).clone()
    model = net()
    optimizer = make(model.parameters())
    losses = []
    for _ in range(steps):
        loss = F.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"losses": [losses[0], losses[9], losses[-1]], "predictions": flat(model(x[:5]))}


O = torch.optim
LOOPS = {
    "sgd": lambda p: O.SGD(p, lr=0.01),
    "sgd, momentum": lambda p: O.SGD(p, lr=0.01, momentum=0.9),
    "sgd, momentum, weight_decay": lambda p: O.SGD(p, lr=0.01, momentum=0.9, weight_decay=5e-4),
    "adam": lambda p: O.Adam(p, lr=0.01),
    "adamw": lambda p: O.AdamW(p, lr=0.01, weight_decay=0.1),
    "adamax": lambda p: O.Adamax(p, lr=0.01),
    "radam": lambda p: O.RAdam(p, lr=0.01),
    "rmsprop": lambda p: O.RMSprop(p, lr=0.01),
    "adagrad": lambda p: O.Adagrad(p, lr=0.01),
    "adadelta": lambda p: O.Adadelta(p, lr=1.0),
}


def layer(call, shapes, integers=None):
    """Output and the gradients of Σ output · c by every floating input, all of them normals of seeds 40, 41, …; c of seed 60."""
    given = [torch.from_numpy(normals(40 + at, *shape)).requires_grad_() for at, shape in enumerate(shapes)]
    output = call(*given, *([] if integers is None else [torch.tensor(integers)]))
    cotangent = torch.from_numpy(normals(60, *output.shape)) if output.shape else torch.tensor(1.0)
    grads = torch.autograd.grad(output, given, cotangent)
    return {"output": flat(output), "grads": [flat(grad) for grad in grads]}


def shares(x):
    return torch.sigmoid(x)


def attend(q, k, v):
    heads = lambda t: t.transpose(1, 2)  # noqa: E731  (B,T,H,D) → (B,H,T,D)
    return F.scaled_dot_product_attention(heads(q), heads(k), heads(v), is_causal=True).transpose(1, 2)


def layers():
    wide, weight = (2, 4), ((4, 3), (3,))
    attention = ((1, 3, 2, 2),) * 3
    return {
        "Linear": layer(lambda x, w, b: F.linear(x, w.T, b), (wide, *weight)),
        "Linear without bias": layer(lambda x, w: F.linear(x, w.T), (wide, weight[0])),
        "Embedding": layer(lambda w, i: F.embedding(i, w), ((4, 2),), [2, 0, 2]),
        "LayerNorm": layer(lambda x, w, b: F.layer_norm(x, (4,), w, b), (wide, (4,), (4,))),
        "RMSNorm": layer(lambda x, w: F.rms_norm(x, (4,), w, eps=1e-6), (wide, (4,))),
        "ReLU": layer(F.relu, (wide,)),
        "GELU": layer(F.gelu, (wide,)),
        "GELU, tanh": layer(lambda x: F.gelu(x, approximate="tanh"), (wide,)),
        "SiLU": layer(F.silu, (wide,)),
        "Tanh": layer(torch.tanh, (wide,)),
        "Sigmoid": layer(torch.sigmoid, (wide,)),
        "Softmax": layer(lambda x: F.softmax(x, -1), (wide,)),
        "LogSoftmax": layer(lambda x: F.log_softmax(x, -1), (wide,)),
        "causal attention": layer(attend, attention),
        "MSELoss": layer(F.mse_loss, (wide, wide)),
        "L1Loss": layer(F.l1_loss, (wide, wide)),
        "SmoothL1Loss": layer(F.smooth_l1_loss, (wide, wide)),
        "HuberLoss": layer(F.huber_loss, (wide, wide)),
        "CrossEntropyLoss": layer(F.cross_entropy, ((3, 4),), [1, 3, 0]),
        "BCEWithLogitsLoss": layer(lambda x, t: F.binary_cross_entropy_with_logits(x, shares(t)), (wide, wide)),
        "PoissonNLLLoss": layer(F.poisson_nll_loss, (wide, wide)),
    }


def state_dict():
    """A file of the safetensors format, laid out as its description says: length, table, data."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).float()
    table, data = {}, b""
    for name, tensor in model.state_dict().items():
        raw = tensor.numpy().tobytes()
        table[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    x = torch.from_numpy(normals(30, 4, 3)).float()
    return {"file": base64.b64encode(struct.pack("<Q", len(header)) + header + data).decode(), "predictions": flat(model(x).double())}


# ---- Keras: Dense(64, relu) → Dense(10, softmax), categorical cross-entropy, Adam at 1e-3, batches of 32 from 200 rows, 10 epochs


def keras_losses():
    labels = torch.arange(200) % 10
    x = torch.from_numpy(normals(50, 10, 8))[labels] + torch.from_numpy(normals(51, 200, 8))
    w1, w2 = (torch.from_numpy(normals(seed, *shape) * scale).requires_grad_() for seed, shape, scale in ((52, (8, 64), 0.3), (53, (64, 10), 0.1)))
    b1, b2 = torch.zeros(64, requires_grad=True), torch.zeros(10, requires_grad=True)
    optimizer = O.Adam([w1, b1, w2, b2], lr=1e-3)
    losses = []
    for _ in range(10):
        total = 0.0
        for start in range(0, 200, 32):
            rows, wanted = x[start : start + 32], labels[start : start + 32]
            probabilities = torch.softmax(torch.relu(rows @ w1 + b1) @ w2 + b2, -1)
            loss = F.nll_loss(probabilities.log(), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        losses.append(total / 200)
    return losses


# ---- scikit-learn: metrics and log loss


def sklearn_figures():
    rows, k = 60, 4
    labels = np.arange(rows) * 7 % 11 % k
    logits = normals(70, rows, k) + 1.5 * np.eye(k)[labels] * (np.arange(rows) % 3 > 0)[:, None]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    guess = p.argmax(1)
    yes, chance = labels % 2, 1 / (1 + np.exp(-normals(71, rows) - (labels % 2)))
    numbers, predicted = normals(72, rows), normals(72, rows) + 0.5 * normals(73, rows)
    average = {f"{name} {kind}": float(f(labels, guess, average=kind)) for kind in ("micro", "macro", "weighted")
               for name, f in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score))}  # fmt: skip
    corners = np.array([[1.0, 0.0], [0.0, 1.0]])
    return {
        "log_loss": sk.log_loss(labels, p),
        "log_loss, two classes": sk.log_loss(yes, chance),
        "log_loss, published block": sk.log_loss([0, 1, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]]),
        "log_loss, certain and right": sk.log_loss([0, 1], corners),
        "log_loss, one of two certain and wrong": sk.log_loss([0, 0], corners, labels=[0, 1]),
        "accuracy": sk.accuracy_score(labels, guess),
        "balanced accuracy": sk.balanced_accuracy_score(labels, guess),
        "Matthews' correlation": sk.matthews_corrcoef(labels, guess),
        "Cohen's kappa": sk.cohen_kappa_score(labels, guess),
        **average,
        "Brier score": sk.brier_score_loss(yes, chance),
        "ROC area": sk.roc_auc_score(yes, chance),
        "average precision": sk.average_precision_score(yes, chance),
        "mean absolute error": sk.mean_absolute_error(numbers, predicted),
        "mean squared error": sk.mean_squared_error(numbers, predicted),
        "R²": sk.r2_score(numbers, predicted),
    }  # fmt: skip


def text(value):
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(text(item) for item in value) + "]"
    return json.dumps(value) if isinstance(value, str) else format(float(value), ".15g")


parts = {
    "jaxFigures": jax_figures(),
    "torchLoops": {name: walk(make) for name, make in LOOPS.items()},
    "torchLayers": layers(),
    "torchStateDict": state_dict(),
    "kerasLosses": keras_losses(),
    "sklearnFigures": sklearn_figures(),
}
made = ", ".join(f"{name} {version}" for name, version in versions("jax", "torch", "scikit-learn", "numpy").items())
lines = [f"// Figures of other systems. Written by test/golden/systems.py ({made}): do not edit."]
lines += [f"export const {name} = {text(part)};" for name, part in parts.items()]
target = FOLDER.parent.parent / "src/study/proofs/systems.generated.ts"
target.write_text("\n".join(lines) + "\n")
print(f"{target.name}: {target.stat().st_size} bytes")
