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


def f(value):
    return float(value) if np.ndim(value) == 0 else np.asarray(value, dtype=float).tolist()


def figures():
    """Each: metric, its arguments, predictions, targets, perhaps weights, and the value (or lists, for curves and classes)."""
    out = []

    def add(metric, args, prediction, target, value, weights=None, name=""):
        entry = {"metric": metric, "name": name, "args": args, "prediction": np.asarray(prediction, dtype=float).tolist(), "target": list(map(int, target)) if metric not in REGRESSIONS else np.asarray(target).tolist()}
        if weights is not None:
            entry["weights"] = np.asarray(weights).tolist()
        out.append({**entry, "value": {k: f(v) for k, v in value.items()} if isinstance(value, dict) else f(value)})

    def labels(n, k, seed):
        return np.array([mix32(seed + i) % k for i in range(n)])

    def by_count(name, target, predicted, classes, weights):
        """All figures of a confusion matrix; the target and what is predicted are class ids."""
        ids = list(range(classes))
        sw = {"sample_weight": weights}
        for zero, theirs in ((0, 0), (1, 1), ("leaveOut", np.nan)):
            for average in ("micro", "macro", "weighted") + (("binary",) if classes == 2 else ()):
                given = {"average": average, "zeroDivision": zero}
                on = {"average": average, "zero_division": theirs, **sw} | ({} if average == "binary" else {"labels": ids})
                for metric, extra, value in (
                    ("precision", {}, sk.precision_score(target, predicted, **on)),
                    ("recall", {}, sk.recall_score(target, predicted, **on)),
                    ("fBeta", {}, sk.f1_score(target, predicted, **on)),
                    ("fBeta", {"beta": 0.5}, sk.fbeta_score(target, predicted, beta=0.5, **on)),
                    ("fBeta", {"beta": 2}, sk.fbeta_score(target, predicted, beta=2, **on)),
                ):
                    if np.isfinite(value):
                        add(metric, [classes, {**given, **extra}], predicted, target, value, weights, name)
            if zero != "leaveOut":
                p, r, b, _ = sk.precision_recall_fscore_support(target, predicted, labels=ids, zero_division=theirs, beta=2, **sw)
                for metric, extra, value in (("precision", {}, p), ("recall", {}, r), ("fBeta", {"beta": 2}, b)):
                    add(metric, [classes, {"zeroDivision": zero, **extra}], predicted, target, {"perClass": value}, weights, name)
        add("balancedAccuracy", [classes], predicted, target, sk.balanced_accuracy_score(target, predicted, **sw), weights, name)
        add("matthewsCorrelation", [classes], predicted, target, sk.matthews_corrcoef(target, predicted, **sw), weights, name)
        for distance, theirs in (("none", None), ("linear", "linear"), ("quadratic", "quadratic")):
            kappa = sk.cohen_kappa_score(target, predicted, labels=ids, weights=theirs, **sw)
            if np.isfinite(kappa):
                add("cohenKappa", [classes, {"distance": distance}], predicted, target, kappa, weights, name)
        add("Confusion", [classes], predicted, target, {"counts": sk.confusion_matrix(target, predicted, labels=ids, **sw).ravel()}, weights, name)

    four, two = labels(30, 4, 5000), labels(24, 2, 5100)
    for w in (None, np.array(grid(61, 30)) + 1):
        by_count("four classes", four, np.where(labels(30, 3, 5200) > 0, four, labels(30, 4, 5300)), 4, w)
    for w in (None, np.array(grid(62, 24)) + 1):
        by_count("two classes", two, np.where(labels(24, 3, 5400) > 0, two, labels(24, 2, 5500)), 2, w)
    by_count("a class that is never predicted, one that is not there", np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1, 1, 0, 0, 1]), 4, None)
    by_count("always negative", np.array([0, 1, 0, 1]), np.zeros(4, int), 2, None)
    by_count("one class alone", np.zeros(4, int), np.zeros(4, int), 2, None)

    # rankings, with ties
    scores = np.round(np.array(grid(63, 40)) + 0.15 * labels(40, 2, 5600), 1)
    target = labels(40, 2, 5600)
    for name, s, t, w in [
        ("ties", scores, target, None), ("ties and weights", scores, target, np.array(grid(64, 40)) + 1),
        ("weights of 0", scores, target, labels(40, 3, 5700).astype(float)),
        ("perfect", np.array([1.0, 2, 3, 4]), np.array([0, 0, 1, 1]), None), ("upside down", np.array([4.0, 3, 2, 1]), np.array([0, 0, 1, 1]), None),
        ("all scores equal", np.ones(5), np.array([0, 1, 0, 0, 1]), None),
    ]:
        kept = np.ones(len(s), bool) if w is None else w > 0  # scikit-learn keeps thresholds of rows without weight
        s, t, rest = s[kept], t[kept], None if w is None else w[kept]
        fpr, tpr, at = sk.roc_curve(t, s, sample_weight=rest, drop_intermediate=False)
        p, r, thresholds = sk.precision_recall_curve(t, s, sample_weight=rest)
        whole = (scores, target, w) if w is not None else (s, t, None)
        add("Curves", [], whole[0], whole[1], {"falsePositiveRate": fpr, "truePositiveRate": tpr, "thresholds": at[1:]}, whole[2], f"roc, {name}")
        add("Curves", [], whole[0], whole[1], {"precision": p[:-1][::-1], "recall": r[:-1][::-1], "thresholds": thresholds[::-1]}, whole[2], f"precision and recall, {name}")
        add("rocArea", [], whole[0], whole[1], sk.roc_auc_score(t, s, sample_weight=rest), whole[2], name)
        add("precisionRecallArea", [], whole[0], whole[1], sk.auc(r, p), whole[2], name)
        add("averagePrecision", [], whole[0], whole[1], sk.average_precision_score(t, s, sample_weight=rest), whole[2], name)
    _, p4 = probabilities(30, 4, 65)
    for w in (None, np.array(grid(66, 30)) + 1):
        add("rocArea", [], p4, four, sk.roc_auc_score(four, p4, multi_class="ovr", average="macro", sample_weight=w), w, "four classes")
        hot = np.eye(4)[four]
        add("averagePrecision", [], p4, four, sk.average_precision_score(hot, p4, average="macro", sample_weight=w), w, "four classes")

    # probabilities
    _, p2 = probabilities(24, 2, 67)
    sure = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0.25, 0.25, 0.25, 0.25], [0, 0.5, 0.5, 0]])
    for name, p, t, k, w in [
        ("four classes", p4, four, 4, None), ("four classes, weights", p4, four, 4, np.array(grid(68, 30)) + 1),
        ("two classes", p2, two, 2, None), ("two classes, weights", p2, two, 2, np.array(grid(69, 24)) + 1),
        ("certain and undecided", sure, np.array([0, 1, 3, 2]), 4, None),
    ]:
        ids = list(range(k))
        brier = sk.brier_score_loss(t, p if k > 2 else p[:, 1], sample_weight=w, labels=ids)
        add("brierScore", [], p, t, brier, w, name)
        loss = sk.log_loss(t, p, labels=ids, sample_weight=w)
        add("logLoss", [{"from": "probabilities"}], p, t, loss, w, name)
        add("perplexity", [{"from": "probabilities"}], p, t, math.exp(loss), w, name)
        if k == 2:
            add("brierScore", [], p[:, 1], t, brier, w, f"{name}, of class 1")
            add("logLoss", [{"from": "probabilities"}], p[:, 1], t, loss, w, f"{name}, of class 1")
        for bins in (15, 10, 1):
            for worst in (False, True):
                add("calibrationError", [{"bins": bins, "worst": worst}], p, t, calibration(p, t, bins, w, worst), w, name)
        add("accuracy", [], p, t, sk.accuracy_score(t, p.argmax(1), sample_weight=w), w, name)
        if k > 2 and p is not sure:  # of equal scores ours takes the first classes, scikit-learn the last
            add("topKAccuracy", [2], p, t, sk.top_k_accuracy_score(t, p, k=2, labels=ids, sample_weight=w), w, name)

    logits, _ = probabilities(20, 5, 70)
    tokens, lengths, w = labels(20, 5, 5800), np.array([1, 2, 3, 1, 4]), np.array(grid(71, 20)) + 1
    for weights in (None, w):
        nats = F.cross_entropy(torch.tensor(logits), torch.tensor(tokens), reduction="none").numpy()
        by = np.ones(20) if weights is None else weights
        add("bitsPerByte", [lengths.tolist()], logits, tokens, (by * nats).sum() / math.log(2) / (by * lengths[tokens]).sum(), weights)
        add("logLoss", [], logits, tokens, (by * nats).sum() / by.sum(), weights, "logits")

    y = np.array(grid(72, 30)) * 8 + 3
    p, w = y * 0.8 + np.array(grid(73, 30)), np.array(grid(74, 30)) + 1
    for name, weights in (("plain", None), ("weights", w), ("weights of 0", labels(30, 3, 5900).astype(float))):
        sw = {"sample_weight": weights}
        add("meanAbsoluteError", [], p, y, sk.mean_absolute_error(y, p, **sw), weights, name)
        add("meanSquaredError", [], p, y, sk.mean_squared_error(y, p, **sw), weights, name)
        add("rootMeanSquaredError", [], p, y, sk.root_mean_squared_error(y, p, **sw), weights, name)
        add("rSquared", [], p, y, sk.r2_score(y, p, **sw), weights, name)
    return out


REGRESSIONS = ("meanAbsoluteError", "meanSquaredError", "rootMeanSquaredError", "rSquared")


def calibration(p, target, bins, weights=None, worst=False):
    """Guo et al. 2017, with bins (a, b]; by numpy's own search among the edges."""
    w = np.ones(len(p)) if weights is None else weights
    confidence, right = p.max(1), p.argmax(1) == target
    which = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")
    gaps = [(w[which == b].sum(), abs((w * (right - confidence))[which == b].sum())) for b in range(bins) if (which == b).any()]
    return max(gap / size for size, gap in gaps) if worst else sum(gap for _, gap in gaps) / w.sum()


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
            "figures": figures(),
            "examples": examples(),
        },
    )


main()
