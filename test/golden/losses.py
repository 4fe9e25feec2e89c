"""Every loss of `nn`, value and gradients in f64, by PyTorch's own functions, or by the published formula where it has none.

Each case names a loss, its options (tensors among them are inputs), the inputs in order, those that have gradients, and what came
out, as places in a pool of tensors. Where scikit-learn has the loss too, the values are compared before anything is written.
"""

import math

import numpy as np
import sklearn.metrics as sk
import torch
import torch.nn.functional as F
from common import grid, versions, write

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

cases = []
stream = 5000
REDUCTIONS = ("mean", "sum", "none")


def draw(*shape, scale=2.0, shift=0.0):
    """Numbers in [shift - scale/2, shift + scale/2)."""
    global stream
    stream += 1
    return torch.tensor(grid(stream, math.prod(shape))).reshape(shape) * scale + shift


pool = []  # each tensor once: many cases share their inputs


def pack(tensor):
    """The tensor's place in the pool."""
    kind = {torch.float64: "f64", torch.int64: "i32", torch.bool: "bool"}[tensor.dtype]
    data = tensor.detach().flatten() if kind == "f64" else tensor.detach().to(torch.int64).flatten()
    packed = {"dtype": kind, "shape": list(tensor.shape), "data": data.tolist()}
    if packed not in pool:
        pool.append(packed)
    return pool.index(packed)


def reduce(losses, reduction, weights=None, mask=None, counts=None):
    """The weighted mean over what the mask lets through; `counts` is what each loss counts in the divisor."""
    counted = torch.ones_like(losses) if counts is None else counts
    if weights is not None:
        losses, counted = losses * weights, counted * weights
    if mask is not None:
        losses, counted = torch.where(mask, losses, 0.0), torch.where(mask, counted, 0.0)
    return {"mean": lambda: losses.sum() / counted.sum(), "sum": losses.sum, "none": lambda: losses}[reduction]()


def case(name, loss, function, inputs, options=None, wrt=None, tensors=None):
    """`function(*inputs)` gives the reduced loss; `tensors` are options that are tensors."""
    leaves = [t.clone().requires_grad_(t.dtype == torch.float64) for t in inputs.values()]
    output = function(*leaves)
    cotangent = draw(*output.shape) if output.shape else torch.tensor(1.0)
    names = list(inputs) if wrt is None else wrt
    chosen = [leaf for n, leaf in zip(inputs, leaves, strict=True) if n in names and leaf.requires_grad]
    grads = torch.autograd.grad(output, chosen, cotangent)
    for tensor in (output, *grads):
        assert torch.isfinite(tensor).all(), (loss, name)
    cases.append({
        "name": f"{loss}: {name}", "loss": loss, "options": options or {},
        "tensors": {n: pack(t) for n, t in (tensors or {}).items()},
        "inputs": {n: pack(t) for n, t in inputs.items()},
        "output": pack(output), "cotangent": pack(cotangent),
        "grads": {n: pack(g) for n, g in zip([n for n in inputs if n in names and inputs[n].dtype == torch.float64], grads, strict=True)},
    })  # fmt: skip
    return output


def family(loss, function, inputs, options=None, wrt=None, rows=None, settings=""):
    """All reductions; then weights and a mask together, with the masked inputs spoilt on our side by the test."""
    title = f" {settings}" if settings else ""
    for reduction in REDUCTIONS:
        case(f"{reduction}{title}", loss, lambda *x, r=reduction: reduce(function(*x), r), inputs, {**(options or {}), "reduction": reduction}, wrt)
    shape = function(*inputs.values()).shape if rows is None else rows
    weights = draw(*shape, scale=1.0, shift=1.0)
    mask = (torch.arange(math.prod(shape)) % 3 != 1).reshape(shape)
    for reduction in ("mean", "none"):
        case(f"{reduction}, weights and mask{title}", loss,
             lambda *x, r=reduction: reduce(function(*x), r, weights, mask), inputs, {**(options or {}), "reduction": reduction},
             wrt, {"weights": weights, "mask": mask})  # fmt: skip


def pair(scale=4.0, *, shape=(4, 3)):
    return {"prediction": draw(*shape, scale=scale), "target": draw(*shape, scale=scale)}


def regressions():
    none = {"reduction": "none"}
    family("meanSquaredError", lambda p, t: F.mse_loss(p, t, **none), pair())
    family("meanAbsoluteError", lambda p, t: F.l1_loss(p, t, **none), pair())
    family("huberLoss", lambda p, t: F.huber_loss(p, t, delta=0.5, **none), pair(), {"delta": 0.5})
    family("smoothL1Loss", lambda p, t: F.smooth_l1_loss(p, t, beta=0.5, **none), pair(), {"beta": 0.5})
    family("logCoshLoss", lambda p, t: torch.log(torch.cosh(p - t)), pair())
    # by the series near zero, by the asymptote far out
    x = torch.tensor([1e-8, -1e-5, 1e-3])
    case("near zero", "logCoshLoss", lambda p, t: (p - t) ** 2 / 2 - (p - t) ** 4 / 12 + (p - t) ** 6 / 45, {"prediction": x, "target": torch.zeros(3)}, none)
    x = torch.tensor([1e4, -1e4, 700.0, -720.0])
    case("far out", "logCoshLoss", lambda p, t: (p - t).abs() - math.log(2), {"prediction": x, "target": torch.zeros(4)}, none)

    positive = {"prediction": draw(4, 3, scale=2.0, shift=1.5), "target": draw(4, 3, scale=2.0, shift=1.5)}
    family("meanAbsolutePercentageError", lambda p, t: (p - t).abs() / t.abs().clamp(min=2**-52), positive)
    family("meanSquaredLogError", lambda p, t: (torch.log1p(p) - torch.log1p(t)) ** 2, positive)
    p, t = (x.flatten().numpy() for x in positive.values())
    by = {c["name"]: pool[c["output"]]["data"][0] for c in cases}
    assert np.isclose(by["meanAbsolutePercentageError: mean"], sk.mean_absolute_percentage_error(t, p), rtol=1e-14)
    assert np.isclose(by["meanSquaredLogError: mean"], sk.mean_squared_log_error(t, p), rtol=1e-14)
    case("target 0", "meanAbsolutePercentageError", lambda p, t: (p - t).abs() / t.abs().clamp(min=0.5),
         {"prediction": torch.tensor([0.25, 3.0, 1.0]), "target": torch.tensor([0.0, 2.0, -0.25])}, {**none, "eps": 0.5})  # fmt: skip
    case("small numbers", "meanSquaredLogError", lambda p, t: (torch.log1p(p) - torch.log1p(t)) ** 2,
         {"prediction": torch.tensor([1e-12, 3e-9]), "target": torch.tensor([2e-12, 0.0])}, none)  # fmt: skip

    both = pair()
    family("quantileLoss", lambda p, t: torch.where(t - p >= 0, 0.9 * (t - p), (0.9 - 1) * (t - p)), both, {"q": 0.9})
    p, t = (x.flatten().numpy() for x in both.values())
    by = {c["name"]: pool[c["output"]]["data"][0] for c in cases}
    assert np.isclose(by["quantileLoss: mean"], sk.mean_pinball_loss(t, p, alpha=0.9), rtol=1e-14)

    counts = {"prediction": draw(4, 3, scale=4.0), "target": torch.tensor([0.0, 1, 2, 3, 0, 7, 12, 1, 1, 4, 0, 30]).reshape(4, 3)}
    rates = {**counts, "prediction": draw(4, 3, scale=2.0, shift=1.5)}
    wrt = ["prediction"]
    family("poissonLoss", lambda p, t: F.poisson_nll_loss(p, t, **none), counts, wrt=wrt)
    family("poissonLoss", lambda p, t: F.poisson_nll_loss(p, t, full=True, **none), counts, {"full": True}, wrt, settings="full")
    family("poissonLoss", lambda p, t: F.poisson_nll_loss(p, t, log_input=False, **none), rates, {"from": "rate"}, wrt, settings="rates")
    case("rate 0", "poissonLoss", lambda p, t: F.poisson_nll_loss(p, t, log_input=False, **none),
         {"prediction": torch.tensor([0.0, 0.0]), "target": torch.tensor([0.0, 2.0])}, {**none, "from": "rate"}, wrt)  # fmt: skip

    normal = {**pair(), "variance": draw(4, 3, scale=1.0, shift=1.0)}
    wrt = ["prediction", "variance"]  # PyTorch clamps in place, and has no gradient of the target where it does
    family("gaussianLoss", lambda p, t, v: F.gaussian_nll_loss(p, t, v, **none), normal, wrt=wrt)
    family("gaussianLoss", lambda p, t, v: F.gaussian_nll_loss(p, t, v, full=True, **none), normal, {"full": True}, wrt, settings="full")
    low = {"prediction": torch.tensor([0.5, 1e-3, 2.0]), "target": torch.tensor([0.5, 0.0, 1.0]), "variance": torch.tensor([0.0, 1e-9, 1e-6])}
    case("variance at its bound", "gaussianLoss", lambda p, t, v: F.gaussian_nll_loss(p, t, v, **none), low, none, wrt)


def ids(*values):
    return torch.tensor(values)


def classes():
    none = {"reduction": "none"}
    logits, plain, holes = draw(6, 5, scale=6.0), ids(0, 4, 2, 2, 1, 3), ids(0, -1, 2, -1, 1, 3)
    weights = draw(5, scale=1.0, shift=1.0)
    soft = draw(6, 5, scale=4.0).softmax(-1)
    huge = torch.tensor([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0], [0.0, 0.0, 0.0]])
    wrt = ["logits"]
    for reduction in REDUCTIONS:
        for title, target in {"ids": plain, "ignored rows": holes}.items():
            for smoothing in (0.0, 0.1):
                for weighted in (None, weights):
                    given = {"labelSmoothing": smoothing, "reduction": reduction}
                    case(f"{title}, smoothing {smoothing}, {'class weights, ' if weighted is not None else ''}{reduction}", "crossEntropy",
                         lambda x, t, s=smoothing, w=weighted, r=reduction: F.cross_entropy(x, t, weight=w, ignore_index=-1, label_smoothing=s, reduction=r),
                         {"logits": logits, "target": target}, given, wrt, {} if weighted is None else {"classWeights": weighted})  # fmt: skip
        for smoothing in (0.0, 0.1):
            case(f"probabilities, smoothing {smoothing}, class weights, {reduction}", "crossEntropy",
                 lambda x, t, s=smoothing, r=reduction: F.cross_entropy(x, t, weight=weights, label_smoothing=s, reduction=r),
                 {"logits": logits, "target": soft}, {"labelSmoothing": smoothing, "reduction": reduction}, None, {"classWeights": weights})  # fmt: skip
        case(f"probabilities, {reduction}", "crossEntropy", lambda x, t, r=reduction: F.cross_entropy(x, t, reduction=r),
             {"logits": logits, "target": soft}, {"reduction": reduction})  # fmt: skip
    family("crossEntropy", lambda x, t: F.cross_entropy(x, t, **none), {"logits": draw(2, 3, 5).flatten(0, 1), "target": plain}, wrt=wrt, settings="of rows")
    kept = (holes != -1).double()
    with_z = lambda x, t: F.cross_entropy(x, t, ignore_index=-1, **none) + 0.01 * kept * x.logsumexp(-1) ** 2  # noqa: E731
    for reduction in REDUCTIONS:
        case(f"z-loss, ignored rows, {reduction}", "crossEntropy", lambda x, t, r=reduction: reduce(with_z(x, t), r, counts=kept),
             {"logits": logits, "target": holes}, {"zLoss": 0.01, "reduction": reduction}, wrt)  # fmt: skip
    case("z-loss of probabilities", "crossEntropy", lambda x, t: F.cross_entropy(x, t, **none) + 0.01 * x.logsumexp(-1) ** 2,
         {"logits": logits, "target": soft}, {"zLoss": 0.01, **none}, wrt)  # fmt: skip
    case("logits of 1e4", "crossEntropy", lambda x, t: F.cross_entropy(x, t, **none), {"logits": huge, "target": ids(0, 1, 2)}, none)
    case("logits of 1e4, smoothing", "crossEntropy", lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1, **none),
         {"logits": huge, "target": ids(0, 1, 2)}, {**none, "labelSmoothing": 0.1})  # fmt: skip

    bce = F.binary_cross_entropy_with_logits
    yes = {"logits": draw(4, 3, scale=8.0), "target": draw(4, 3, scale=1.0, shift=0.5)}
    family("binaryCrossEntropy", lambda x, t: bce(x, t, **none), yes)
    family("binaryCrossEntropy", lambda x, t: bce(x, t, pos_weight=torch.tensor(3.0), **none), yes, {"positiveWeight": 3}, settings="positive weight")
    wide = {"logits": torch.tensor([1e4, -1e4, 1e4, -1e4, 0.0, 40.0]), "target": torch.tensor([1.0, 0, 0, 1, 0.5, 1])}
    case("logits of 1e4", "binaryCrossEntropy", lambda x, t: bce(x, t, **none), wide, none)
    case("logits of 1e4, positive weight", "binaryCrossEntropy", lambda x, t: bce(x, t, pos_weight=torch.tensor(3.0), **none), wide, {**none, "positiveWeight": 3})
    share = {"probabilities": draw(4, 3, scale=0.9, shift=0.5), "target": draw(4, 3, scale=1.0, shift=0.5)}
    family("binaryCrossEntropy", lambda p, t: F.binary_cross_entropy(p, t, **none), share, {"from": "probabilities"}, ["probabilities"], settings="probabilities")
    # certain answers: scikit-learn clips at 2^-52, PyTorch would clip the logarithm at -100
    right, wrong = (sk.log_loss([1], np.array([[1 - p, p]]), labels=[0, 1]) for p in (1.0, 0.0))
    cases.append({
        "name": "binaryCrossEntropy: certain probabilities (scikit-learn)", "loss": "binaryCrossEntropy",
        "options": {**none, "from": "probabilities"}, "tensors": {},
        "inputs": {"probabilities": pack(torch.tensor([1.0, 0.0])), "target": pack(torch.tensor([1.0, 1.0]))},
        "output": pack(torch.tensor([right, wrong])), "cotangent": pack(torch.ones(2)),
        "grads": {"probabilities": pack(torch.zeros(2))},
    })  # fmt: skip

    def sigmoid_focal(x, t, alpha=None, gamma=2.0):
        """As torchvision.ops.sigmoid_focal_loss for targets 0 and 1."""
        p = x.sigmoid()
        loss = bce(x, t, **none) * (1 - (p * t + (1 - p) * (1 - t))) ** gamma
        return loss if alpha is None else loss * (alpha * t + (1 - alpha) * (1 - t))

    hard = {"logits": draw(4, 3, scale=8.0), "target": (draw(4, 3) > 0).double()}
    family("focalLoss", lambda x, t: sigmoid_focal(x, t), hard, wrt=wrt)
    family("focalLoss", lambda x, t: sigmoid_focal(x, t, 0.25, 1.5), hard, {"gamma": 1.5, "alpha": 0.25}, wrt, settings="alpha")
    case("logits of 1e4", "focalLoss", lambda x, t: sigmoid_focal(x, t), {k: v[:4] for k, v in wide.items()}, none, wrt)

    def softmax_focal(x, t, gamma=2.0):
        own = F.cross_entropy(x, t, ignore_index=-1, **none)
        return (1 - torch.exp(-own)) ** gamma * own

    for reduction in REDUCTIONS:
        case(f"classes, ignored rows, {reduction}", "focalLoss", lambda x, t, r=reduction: reduce(softmax_focal(x, t), r, counts=kept),
             {"logits": logits, "target": holes}, {"reduction": reduction}, wrt)  # fmt: skip
    family("focalLoss", softmax_focal, {"logits": logits, "target": plain}, wrt=wrt, settings="classes")
    case("classes, logits of 1e4", "focalLoss", softmax_focal, {"logits": huge, "target": ids(0, 1, 2)}, none, wrt)

    signs = {"scores": draw(4, 3, scale=6.0), "target": torch.sign(draw(4, 3))}
    for loss, p in (("hingeLoss", 1), ("squaredHingeLoss", 2)):
        family(loss, lambda s, t, p=p: (1 - s * t).clamp(min=0) ** p, signs, wrt=["scores"])
        family(loss, lambda s, t, p=p: (0.5 - s * t).clamp(min=0) ** p, signs, {"margin": 0.5}, ["scores"], settings="margin")
        family(loss, lambda s, t, p=p: F.multi_margin_loss(s, t, p=p, **none), {"scores": logits, "target": plain}, wrt=["scores"], settings="classes")
        for reduction in REDUCTIONS:
            case(f"classes, ignored rows, {reduction}", loss,
                 lambda s, t, p=p, r=reduction: reduce(torch.where(t < 0, 0.0, F.multi_margin_loss(s, t.clamp(min=0), p=p, margin=2.0, **none)), r, counts=kept),
                 {"scores": logits, "target": holes}, {"reduction": reduction, "margin": 2}, ["scores"])  # fmt: skip
    s, t = (x.flatten().numpy() for x in signs.values())
    by = {c["name"]: pool[c["output"]]["data"][0] for c in cases}
    assert np.isclose(by["hingeLoss: mean"], sk.hinge_loss(t, s), rtol=1e-14)


def distributions():
    none = {"reduction": "none"}
    kl = lambda x, t: F.kl_div(x.log_softmax(-1), t, **none).sum(-1)  # noqa: E731
    family("klDivergence", kl, {"logits": draw(2, 3, 5, scale=6.0), "target": draw(2, 3, 5, scale=4.0).softmax(-1)})
    case("certain targets, logits of 1e4", "klDivergence", kl,
         {"logits": torch.tensor([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]]), "target": torch.tensor([[1.0, 0, 0], [0, 0.5, 0.5]])}, none, ["logits"])  # fmt: skip

    def js(x, y):
        p, q = x.softmax(-1), y.softmax(-1)
        m = (p + q) / 2
        return (F.kl_div(m.log(), p, **none).sum(-1) + F.kl_div(m.log(), q, **none).sum(-1)) / 2

    both = {"logits": draw(4, 5, scale=6.0), "otherLogits": draw(4, 5, scale=6.0)}
    family("jensenShannonDivergence", js, both)
    from scipy.spatial.distance import jensenshannon
    theirs = jensenshannon(both["logits"].softmax(-1).numpy(), both["otherLogits"].softmax(-1).numpy(), axis=1) ** 2
    assert np.allclose(js(*both.values()).numpy(), theirs, rtol=1e-12)
    far = {"logits": torch.tensor([[800.0, 0.0], [1e4, -1e4]]), "otherLogits": torch.tensor([[0.0, 800.0], [1e4, -1e4]])}
    cases.append({
        "name": "jensenShannonDivergence: nothing in common, and the same", "loss": "jensenShannonDivergence", "options": none, "tensors": {},
        "inputs": {n: pack(t) for n, t in far.items()}, "output": pack(torch.tensor([math.log(2), 0.0])), "cotangent": pack(torch.ones(2)),
        "grads": {n: pack(torch.zeros(2, 2)) for n in far},
    })  # fmt: skip

    sym = lambda x, y: (kl(x, y.softmax(-1)) + kl(y, x.softmax(-1))) / 2  # noqa: E731
    family("rDropLoss", sym, {"logits": draw(4, 5, scale=6.0), "otherLogits": draw(4, 5, scale=6.0)})

    student, teacher = draw(6, 5, scale=6.0), draw(6, 5, scale=6.0)
    plain, holes = ids(0, 4, 2, 2, 1, 3), ids(0, -1, 2, -1, 1, 3)

    def distil(x, y, t, temperature=2.0, alpha=0.5, smoothing=0.0):
        soft = F.kl_div((x / temperature).log_softmax(-1), (y.detach() / temperature).softmax(-1), **none).sum(-1)
        hard = F.cross_entropy(x, t, ignore_index=-1, label_smoothing=smoothing, **none)
        return torch.where(t != -1, alpha * temperature**2 * soft + (1 - alpha) * hard, 0.0)

    inputs = {"student": student, "teacher": teacher, "target": plain}
    family("distillationLoss", distil, inputs, wrt=["student"])
    for reduction in REDUCTIONS:
        case(f"ignored rows, temperature 4, {reduction}", "distillationLoss",
             lambda x, y, t, r=reduction: reduce(distil(x, y, t, 4.0, 0.9, 0.1), r, counts=(holes != -1).double()), {**inputs, "target": holes},
             {"reduction": reduction, "temperature": 4, "alpha": 0.9, "labelSmoothing": 0.1}, ["student"])  # fmt: skip


def pairs():
    none = {"reduction": "none"}
    rows = lambda: draw(5, 4, scale=3.0)  # noqa: E731
    family("cosineLoss", lambda a, b: F.cosine_embedding_loss(a, b, torch.ones(len(a)), **none), {"a": rows(), "b": rows()})
    case("a zero row", "cosineLoss", lambda a, b: F.cosine_embedding_loss(a, b, torch.ones(2), **none),
         {"a": torch.tensor([[0.0, 0.0], [1e4, 1e4]]), "b": torch.tensor([[1.0, 2.0], [1e4, 1e4]])}, none, ["b"])  # fmt: skip
    triple = {"anchor": rows(), "positive": rows(), "negative": rows()}
    family("tripletLoss", lambda a, p, n: F.triplet_margin_loss(a, p, n, **none), triple)
    family("tripletLoss", lambda a, p, n: F.triplet_margin_loss(a, p, n, margin=3.0, swap=True, **none), triple, {"margin": 3, "swap": True}, settings="swap")
    same = torch.ones(2, 3)
    case("all in one place", "tripletLoss", lambda a, p, n: F.triplet_margin_loss(a, p, n, **none), {"anchor": same, "positive": same, "negative": same}, none)

    def contrast(a, b, y, margin=2.0):
        d = F.pairwise_distance(a, b, eps=1e-6)
        return (y * d**2 + (1 - y) * (margin - d).clamp(min=0) ** 2) / 2

    family("contrastiveLoss", contrast, {"a": rows(), "b": rows(), "together": torch.tensor([1.0, 0, 0, 1, 0])}, {"margin": 2}, ["a", "b"])

    def info(q, k, temperature=0.07, symmetric=False, mask=None):
        logits = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).T / temperature
        if mask is not None:  # a masked pair is no negative: its row and column are gone
            logits = logits[mask][:, mask]
        own = torch.arange(len(logits))
        loss = F.cross_entropy(logits, own, **none)
        return (loss + F.cross_entropy(logits.T, own, **none)) / 2 if symmetric else loss

    for symmetric in (False, True):
        for reduction in REDUCTIONS:
            inputs = {"queries": rows(), "keys": rows()}
            given = {"reduction": reduction, "symmetric": symmetric, "temperature": 0.2}
            case(f"{'symmetric, ' if symmetric else ''}{reduction}", "infoNceLoss",
                 lambda q, k, r=reduction, s=symmetric: reduce(info(q, k, 0.2, s), r), inputs, given)  # fmt: skip
        mask, weights = torch.tensor([True, False, True, True, True]), draw(5, scale=1.0, shift=1.0)
        case(f"{'symmetric, ' if symmetric else ''}mean, weights and mask", "infoNceLoss",
             lambda q, k, s=symmetric: reduce(info(q, k, 0.2, s, mask), "mean", weights[mask]), {"queries": rows(), "keys": rows()},
             {"symmetric": symmetric, "temperature": 0.2}, None, {"weights": weights, "mask": mask})  # fmt: skip
    scale = torch.tensor(0.3)
    case("temperature as a tensor", "infoNceLoss", lambda q, k: info(q, k, scale, True).mean(), {"queries": rows(), "keys": rows()},
         {"symmetric": True}, None, {"temperature": scale})  # fmt: skip


def overlaps():
    def tversky(p, t, alpha=0.3, beta=0.7, smooth=1.0, mask=None):
        seen = torch.ones_like(p) if mask is None else mask.double()
        both, fp, fn = ((x * seen).flatten(1).sum(1) for x in (p * t, p * (1 - t), (1 - p) * t))
        return 1 - (both + smooth) / (both + alpha * fp + beta * fn + smooth)

    def dice(p, t, smooth=1.0, mask=None):
        seen = torch.ones_like(p) if mask is None else mask.double()
        both, all_p, all_t = ((x * seen).flatten(1).sum(1) for x in (p * t, p, t))
        return 1 - (2 * both + smooth) / (all_p + all_t + smooth)

    mask, weights = draw(3, 2, 5) > -0.5, draw(3, scale=1.0, shift=1.0)
    for loss, function in (("diceLoss", dice), ("tverskyLoss", tversky)):
        for source, start in (("logits", draw(3, 2, 5, scale=6.0)), ("probabilities", draw(3, 2, 5, scale=0.9, shift=0.5))):
            inputs = {"prediction": start, "target": (draw(3, 2, 5) > 0).double()}
            share = (lambda p: p.sigmoid()) if source == "logits" else (lambda p: p)
            for reduction in REDUCTIONS:
                case(f"{source}, {reduction}", loss, lambda p, t, r=reduction: reduce(function(share(p), t), r), inputs, {"from": source, "reduction": reduction})
            case(f"{source}, smooth 0.1, weights and mask", loss, lambda p, t: reduce(function(share(p), t, smooth=0.1, mask=mask), "mean", weights),
                 inputs, {"from": source, "smooth": 0.1}, None, {"weights": weights, "mask": mask})  # fmt: skip
        empty = {"prediction": torch.tensor([[-1e4, -1e4], [1e4, 1e4]]), "target": torch.tensor([[0.0, 0.0], [0.0, 0.0]])}
        case("an empty region", loss, lambda p, t: function(p.sigmoid(), t), empty, {"reduction": "none"}, ["prediction"])
    case("alpha 0.8, beta 0.1", "tverskyLoss", lambda p, t: tversky(p.sigmoid(), t, 0.8, 0.1).mean(),
         {"prediction": draw(3, 4), "target": (draw(3, 4) > 0).double()}, {"alpha": 0.8, "beta": 0.1})  # fmt: skip


def of_probabilities():
    """Cross-entropy of probabilities, of which each row is made to add up to 1; certain answers by scikit-learn's clip at 2^-52."""
    rows = draw(6, 5, scale=0.9, shift=0.5)
    log = lambda p: (p / p.sum(-1, keepdim=True)).log()  # noqa: E731
    nll = lambda p, t: F.nll_loss(log(p), t, reduction="none")  # noqa: E731
    plain = ids(0, 4, 2, 2, 1, 3)
    family("categoricalCrossEntropy", nll, {"probabilities": rows, "target": plain}, wrt=["probabilities"])
    hot = F.one_hot(plain, 5).double()
    case("one-hot rows", "categoricalCrossEntropy", lambda p, t: -(t * log(p)).sum(-1).mean(), {"probabilities": rows, "target": hot}, wrt=["probabilities"])
    shown = (rows / rows.sum(-1, keepdim=True)).numpy()
    assert np.isclose(sk.log_loss(plain.numpy(), shown, labels=range(5)), nll(rows, plain).mean(), rtol=1e-14)
    corners = np.array([[1.0, 0.0], [1.0, 0.0]])
    right, wrong = (sk.log_loss([t], corners[:1], labels=[0, 1]) for t in (0, 1))
    cases.append({
        "name": "categoricalCrossEntropy: certain answers (scikit-learn)", "loss": "categoricalCrossEntropy",
        "options": {"reduction": "none"}, "tensors": {},
        "inputs": {"probabilities": pack(torch.tensor(corners)), "target": pack(ids(0, 1))},
        "output": pack(torch.tensor([right, wrong])), "cotangent": pack(torch.ones(2)), "grads": {},
    })  # fmt: skip


def trl(losses):
    """TRL's own functions agree with the formulas below; they compute in f32. Left out where it is not installed."""
    try:
        import sys
        from importlib.machinery import ModuleSpec
        from types import SimpleNamespace
        from unittest.mock import MagicMock

        for name in ("pandas", "datasets"):  # which its losses do not use
            sys.modules.setdefault(name, MagicMock(__spec__=ModuleSpec(name, None)))
        from trl.experimental.cpo.cpo_trainer import CPOTrainer
        from trl.experimental.orpo.orpo_trainer import ORPOTrainer
    except Exception as error:  # noqa: BLE001
        print("not compared with TRL:", error)
        return
    chosen, rejected = draw(6, scale=2.0, shift=-2.0), draw(6, scale=2.0, shift=-2.0)
    fake = SimpleNamespace(alpha=0.0, beta=0.3, simpo_gamma=0.7, label_smoothing=0.1, accelerator=SimpleNamespace(device="cpu"))
    for kind, name, options in (("sigmoid", "cpoLoss", {"beta": 0.3, "labelSmoothing": 0.1, "alpha": 0}), ("simpo", "simpoLoss", {"beta": 0.3, "gamma": 0.7})):
        fake.loss_type, fake.label_smoothing = kind, options.get("labelSmoothing", 0.0)
        theirs = CPOTrainer.cpo_loss(fake, chosen, rejected)[0]
        assert torch.allclose(theirs, losses[name](chosen, rejected, **options), rtol=1e-12), name
    theirs = -ORPOTrainer.odds_ratio_loss(fake, chosen, rejected)[0]
    assert torch.allclose(theirs.double(), losses["orpoLoss"](chosen, rejected, beta=0.3) + chosen, rtol=1e-5), "orpoLoss"
    print("compared with TRL")


def preferences():
    """The papers' formulas, by PyTorch's functions; CPO, SimPO and ORPO compared with TRL's where it is installed."""
    log = F.logsigmoid

    def gap(c, r, cr, rr):
        return (c - cr) - (r - rr)

    def dpo(c, r, cr, rr, beta=0.1, labelSmoothing=0.0):
        h = beta * gap(c, r, cr, rr)
        return -(1 - labelSmoothing) * log(h) - labelSmoothing * log(-h)

    def ipo(c, r, cr, rr, beta=0.1):
        return (gap(c, r, cr, rr) - 1 / (2 * beta)) ** 2

    def kto(x, ref, good, z, beta=0.1, desirableWeight=1.0, undesirableWeight=1.0):
        gain = x - ref
        return torch.where(good > 0.5, desirableWeight * (1 - torch.sigmoid(beta * (gain - z))), undesirableWeight * (1 - torch.sigmoid(beta * (z - gain))))

    def orpo(c, r, beta=0.1):
        odds = lambda x: x.exp() / (1 - x.exp())  # noqa: E731
        return -c - beta * torch.log(torch.sigmoid(torch.log(odds(c) / odds(r))))

    def simpo(c, r, beta=2.0, gamma=1.0):
        return -log(beta * (c - r) - gamma)

    def cpo(c, r, beta=0.1, labelSmoothing=0.0, alpha=1.0):
        h = beta * (c - r)
        return -(1 - labelSmoothing) * log(h) - labelSmoothing * log(-h) - alpha * c

    def grpo(x, old, ref, a, clip=0.2, beta=0.04):
        ratio = torch.exp(x - old)
        kl = torch.exp(ref - x) - (ref - x) - 1
        return -torch.min(ratio * a, torch.clamp(ratio, 1 - clip, 1 + clip) * a) + beta * kl

    def named(names, scale=4.0, shift=-4.0, shape=(5,)):
        return {name: draw(*shape, scale=scale, shift=shift) for name in names}

    def both(loss, function, inputs, options, wrt=None):
        family(loss, function, inputs, wrt=wrt)
        case("other settings", loss, lambda *x: function(*x, **options).mean(), inputs, options, wrt)

    four = ("chosen", "rejected", "referenceChosen", "referenceRejected")
    both("dpoLoss", dpo, named(four, 40.0, -40.0), {"beta": 0.5, "labelSmoothing": 0.1})
    case("far apart", "dpoLoss", lambda *x: -log(gap(*x)), {n: torch.tensor(v) for n, v in zip(four, ([-1.0, -900.0], [-900.0, -1.0], [-5.0, -5.0], [-5.0, -5.0]), strict=True)},
         {"beta": 1, "reduction": "none"})  # fmt: skip
    both("ipoLoss", ipo, named(four), {"beta": 0.3})
    kinds = {**named(("policy", "reference"), 20.0, -20.0), "desirable": torch.tensor([1.0, 0, 0, 1, 1]), "baseline": torch.full((5,), 0.7)}
    both("ktoLoss", kto, kinds, {"beta": 0.4, "desirableWeight": 1.5, "undesirableWeight": 0.5}, ["policy"])
    two = ("chosen", "rejected")
    both("orpoLoss", orpo, named(two, 2.0, -2.0), {"beta": 0.7})
    both("simpoLoss", simpo, named(two), {"beta": 2.5, "gamma": 0.5})
    both("cpoLoss", cpo, named(two, 20.0, -20.0), {"beta": 0.4, "labelSmoothing": 0.2, "alpha": 0.3})
    family("bradleyTerryLoss", lambda c, r: -log(c - r), named(two, 6.0, 0.0))
    tokens = {**named(("policy", "old", "reference"), 1.0, -2.0, (3, 4)), "advantage": draw(3, 4, scale=4.0)}
    both("grpoLoss", grpo, tokens, {"clip": 0.1, "beta": 0.2}, ["policy"])
    trl({"cpoLoss": cpo, "simpoLoss": simpo, "orpoLoss": orpo})


regressions()
classes()
distributions()
pairs()
overlaps()
of_probabilities()
preferences()
write("losses.json", {"madeBy": "losses.py", "versions": versions("torch", "scikit-learn", "scipy"), "pool": pool, "cases": cases})
