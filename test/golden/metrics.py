"""Metrics by scikit-learn, and the values of well-known published examples computed correctly with numpy.

`examples` holds what the proofs print: least squares by gradient descent, the published cross-entropy block, MSE.
"""

import math
import warnings

import numpy as np
import sklearn.metrics as sk
import torch
import torch.nn.functional as F
from common import grid, mix32, versions, write

warnings.simplefilter("ignore")
torch.set_default_dtype(torch.float64)


def probabilities(rows, classes, stream):
    logits = np.array(grid(stream, rows * classes)).reshape(rows, classes) * 6
    e = np.exp(logits - logits.max(1, keepdims=True))
    return logits, e / e.sum(1, keepdims=True)


def classification(name, target, scores, classes):
    target = np.array(target)
    labels = list(range(classes))
    predicted = scores.argmax(1)
    entry = {
        "name": name, "classes": classes, "target": target.tolist(), "scores": scores.tolist(), "predicted": predicted.tolist(),
        "accuracy": float(sk.accuracy_score(target, predicted)),
        "topK": {str(k): float(sk.top_k_accuracy_score(target, scores, k=k, labels=labels)) for k in range(1, classes)} if classes > 2 else {},
        "confusion": sk.confusion_matrix(target, predicted, labels=labels).tolist(),
        "balancedAccuracy": float(sk.balanced_accuracy_score(target, predicted)),
        "matthews": float(sk.matthews_corrcoef(target, predicted)),
        "perClass": {}, "average": {},
    }  # fmt: skip
    for zero in (0, 1):
        p, r, f, s = sk.precision_recall_fscore_support(target, predicted, labels=labels, zero_division=zero)
        entry["perClass"][str(zero)] = {"precision": p.tolist(), "recall": r.tolist(), "f1": f.tolist(), "support": s.tolist()}
        for average in ("micro", "macro", "weighted"):
            p, r, f, _ = sk.precision_recall_fscore_support(target, predicted, labels=labels, average=average, zero_division=zero)
            entry["average"][f"{average}:{zero}"] = {"precision": float(p), "recall": float(r), "f1": float(f)}
        if classes == 2:
            p, r, f, _ = sk.precision_recall_fscore_support(target, predicted, average="binary", zero_division=zero)
            entry["average"][f"binary:{zero}"] = {"precision": float(p), "recall": float(r), "f1": float(f)}
    return entry


def log_losses():
    out = []

    def add(name, target, p, classes):
        out.append({
            "name": name, "target": list(target), "probabilities": np.asarray(p).tolist(),
            "logLoss": float(sk.log_loss(target, np.asarray(p), labels=list(range(classes)))),
        })  # fmt: skip

    _, p = probabilities(40, 4, 31)
    add("four classes", [mix32(i + 900) % 4 for i in range(40)], p, 4)
    _, p = probabilities(25, 2, 32)
    add("two classes", [mix32(i + 950) % 2 for i in range(25)], p, 2)
    add("certain and right", [0, 1], [[1.0, 0.0], [0.0, 1.0]], 2)
    add("one right and one wrong certain answer", [0, 0], [[1.0, 0.0], [0.0, 1.0]], 2)
    add("published block", [0, 1, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]], 2)
    return out


def logit_losses():
    """Log loss from logits, whose mean is exp'd to the perplexity; by PyTorch, ignored rows left out of the mean."""
    out = []
    logits, _ = probabilities(30, 5, 33)
    target = [mix32(i + 990) % 5 for i in range(30)]
    ignored = [t if i % 7 else -100 for i, t in enumerate(target)]
    wide = np.array([[1e4, -1e4, 0.0], [1e4, 0.0, -1e4], [0.0, 0.0, 0.0]])
    for name, values, classes in [("plain", logits, target), ("ignored rows", logits, ignored), ("logits of 1e4", wide, [0, 0, 2])]:
        loss = F.cross_entropy(torch.tensor(values), torch.tensor(classes)).item()
        out.append({"name": name, "logits": values.tolist(), "target": list(classes), "logLoss": loss, "perplexity": math.exp(loss)})
    return out


def regressions():
    out = []
    for name, y, p in [
        ("plain", np.array(grid(41, 50)) * 8 + 3, np.array(grid(41, 50)) * 7 + np.array(grid(42, 50)) + 3),
        ("far from zero", 1e6 + np.array(grid(43, 30)), 1e6 + np.array(grid(43, 30)) * 0.5),
        ("worse than the mean", np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])),
        ("published block", np.array([2.0, 4.0, 6.0, 8.0]), np.array([1.0, 2.0, 3.0, 4.0])),
        ("constant target, right", np.array([2.0, 2.0]), np.array([2.0, 2.0])),
        ("constant target, wrong", np.array([2.0, 2.0]), np.array([2.0, 3.0])),
    ]:
        out.append({
            "name": name, "target": y.tolist(), "predicted": p.tolist(),
            "mae": float(sk.mean_absolute_error(y, p)), "mse": float(sk.mean_squared_error(y, p)),
            "rmse": float(sk.root_mean_squared_error(y, p)), "r2": float(sk.r2_score(y, p)),
        })  # fmt: skip
    return out


def descend(x, y, w, lr, steps):
    """Full-batch gradient descent on mean((x w - y)^2); the last column of x is the bias. `lr` maps a step to a rate."""
    for step in range(steps):
        w = w - lr(step) * (2 / len(y)) * x.T @ (x @ w - y)
    return w


def examples():
    x = np.array([[1.0, 1], [2, 1], [3, 1], [4, 1]])
    y = 2 * x[:, 0]
    w0 = np.array([1.764052345967664, 0.400157208367223])
    fixed = descend(x, y, w0, lambda step: 0.01, 1000)
    slow = descend(x, y, w0, lambda step: 0.1 * 0.9 ** (step // 100), 1000)
    early = descend(x, y, w0, lambda step: 0.1 * 0.9 ** -(-step // 100), 1000)  # at steps 1, 101, …
    half = descend(x, y, w0, lambda step: 0.1 * 0.5 ** (step // 100), 1000)

    w3 = w0.copy()  # the published fault: the bias follows the mean of the weight's gradient
    for _ in range(1000):
        g = (2 / 4) * x[:, :1].T @ (x @ w3 - y)
        w3 = w3 - 0.01 * np.array([g[0], g.mean()])

    # values as published in many copies of these examples, corrected; each to the digits that are usually given
    assert abs(fixed[0] - 1.9926967095706) < 1e-13 and abs(fixed[1] - 0.0214725644745) < 1e-13
    assert abs(np.mean((x @ fixed - y) ** 2) - 7.70045352e-5) < 1e-13
    assert abs(slow[0] - 1.9999999995967) < 1e-13 and abs(early[0] - 1.9999999971072) < 1e-13
    assert abs(half[0] - 1.9996521695259) < 1e-13 and abs(half[1] - 0.0010226640105) < 1e-13
    assert [round(v, 3) for v in w3] == [1.841, 0.477] and round(float(np.mean((x @ w3 - y) ** 2)), 4) == 0.0379
    return {
        "start": w0.tolist(),
        "fixedRate": {"lr": 0.01, "steps": 1000, "W": fixed[0], "b": fixed[1], "lossAfter": np.mean((x @ fixed - y) ** 2)},
        "decayedRate": {"lr": 0.1, "factor": 0.9, "every": 100, "steps": 1000, "W": slow[0], "b": slow[1]},
        "decayedTooEarly": {"W": early[0], "b": early[1]},
        "halvedRate": {"lr": 0.1, "factor": 0.5, "every": 100, "steps": 1000, "W": half[0], "b": half[1]},
        "biasFollowsWeight": {"W": w3[0], "b": w3[1], "loss": np.mean((x @ w3 - y) ** 2)},
    }


def main():
    def labels(n, k, seed):
        return [mix32(seed + i) % k for i in range(n)]

    shown = [
        classification("four classes", labels(40, 4, 1000), probabilities(40, 4, 51)[1], 4),
        classification("two classes", labels(30, 2, 2000), probabilities(30, 2, 52)[1], 2),
        # class 2 is never predicted and class 3 neither occurs nor is predicted
        classification("missing classes", [0, 1, 2, 0, 1, 2], np.eye(4)[[0, 1, 1, 0, 0, 1]] + np.linspace(0, 0.01, 4), 4),
        classification("always negative", [0, 1, 0, 1], np.eye(2)[[0, 0, 0, 0]], 2),
    ]
    losses = log_losses()
    assert abs(losses[-1]["logLoss"] - 0.9587654910730045) < 1e-15
    assert round(losses[-2]["logLoss"], 2) == 18.02, losses[-2]["logLoss"]
    numbers = regressions()
    assert next(r for r in numbers if r["name"] == "published block")["mse"] == 7.5
    write(
        "metrics.json",
        {
            "madeBy": "metrics.py",
            "versions": versions("scikit-learn", "numpy", "torch"),
            "classification": shown,
            "logLoss": losses,
            "logitLoss": logit_losses(),
            "regression": numbers,
            "examples": examples(),
        },
    )


main()
