"""Outputs and gradients of layers and losses in f64 by PyTorch, for small inputs.

Each case names an op, its attributes, inputs, output, the cotangent that was sent back and the gradients it gave.
Layouts: attention q (B, T, H, D), k and v (B, S, G, D) with H a multiple of G, query i seeing keys up to i + S - T
when causal; masks are true where a key may be seen. RMS norm is checked against its formula.
"""

import math

import torch
import torch.nn.functional as F
from common import grid, versions, write

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

cases = []
stream = 100


def draw(*shape, scale=2.0, shift=0.0):
    """Numbers in [shift - scale/2, shift + scale/2)."""
    global stream
    stream += 1
    return torch.tensor(grid(stream, math.prod(shape))).reshape(shape) * scale + shift


def pack(tensor):
    kind = {torch.float64: "f64", torch.int64: "i32", torch.bool: "bool"}[tensor.dtype]
    data = tensor.detach().to(torch.int64).flatten() if kind != "f64" else tensor.detach().flatten()
    return {"dtype": kind, "shape": list(tensor.shape), "data": data.tolist()}


def case(name, op, function, inputs, attrs=None):
    """Runs `function(**inputs)`, sends a drawn cotangent back, and stores everything."""
    leaves = {n: t.clone().requires_grad_(t.dtype == torch.float64) for n, t in inputs.items()}
    output = function(**leaves)
    cotangent = draw(*output.shape) if output.shape else torch.tensor(1.0)
    floats = [n for n, t in leaves.items() if t.requires_grad]
    grads = torch.autograd.grad(output, [leaves[n] for n in floats], cotangent)
    for tensor in (output, *grads):
        assert torch.isfinite(tensor).all(), name
    cases.append({
        "name": name, "op": op, "attrs": attrs or {},
        "inputs": {n: pack(t) for n, t in inputs.items()},
        "output": pack(output), "cotangent": pack(cotangent),
        "grads": {n: pack(g) for n, g in zip(floats, grads, strict=True)},
    })  # fmt: skip
    return output


def norms():
    for name, x, eps in [
        ("plain", draw(2, 3, 5), 1e-5),
        ("one row", draw(7), 1e-5),
        ("far from zero", draw(3, 6, shift=1000.0), 1e-5),  # E[x^2] - E[x]^2 would lose ten digits
        ("small beside eps", draw(2, 4, scale=1e-3), 1e-5),
        ("constant row", torch.full((2, 4), 0.75), 1e-5),
        ("eps of BERT", draw(2, 4), 1e-12),
    ]:
        c = x.shape[-1]
        inputs = {"x": x, "weight": draw(c, shift=1.0), "bias": draw(c)}
        case(f"layer norm, {name}", "layerNorm",
             lambda x, weight, bias, c=c, eps=eps: F.layer_norm(x, (c,), weight, bias, eps), inputs, {"eps": eps})  # fmt: skip
        if name == "constant row":
            continue
        inputs = {"x": x, "weight": draw(c, shift=1.0)}
        out = case(f"rms norm, {name}", "rmsNorm",
                   lambda x, weight, c=c, eps=eps: F.rms_norm(x, (c,), weight, eps), inputs, {"eps": eps})  # fmt: skip
        by_hand = x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * inputs["weight"]
        torch.testing.assert_close(out, by_hand, rtol=1e-13, atol=1e-13)


def activations():
    points = torch.cat([torch.tensor([-30.0, -8.0, -3.0, -1.0, -0.25, 1e-8, 0.25, 1.0, 3.0, 8.0, 30.0]), draw(13, scale=8.0)])
    for name, function in {
        "gelu": F.gelu,
        "geluTanh": lambda x: F.gelu(x, approximate="tanh"),
        "silu": F.silu,
        "relu": F.relu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "erf": torch.erf,
        "softplus": lambda x: F.softplus(x, threshold=1e9),
    }.items():
        case(name, name, lambda x, function=function: function(x), {"x": points})


def softmaxes():
    for name, x in {
        "plain": draw(2, 3, 5, scale=6.0),
        "one class": draw(3, 1),
        "large": torch.tensor([[1e4, -1e4, 0.0, 1e4], [-1e4, -1e4, -1e4, -1e4], [700.0, 710.0, 720.0, 0.0]]),
    }.items():
        case(f"softmax, {name}", "softmax", lambda x: F.softmax(x, -1), {"x": x})
        case(f"log softmax, {name}", "logSoftmax", lambda x: F.log_softmax(x, -1), {"x": x})


def losses():
    logits, target = draw(6, 5, scale=6.0), torch.tensor([0, 4, 2, 2, 1, 3])
    masked = torch.tensor([0, -100, 2, -100, 1, 3])
    for reduction in ("none", "sum", "mean"):
        attrs = {"reduction": reduction, "ignoreIndex": -100}
        for name, classes in {"plain": target, "with ignored rows": masked}.items():
            case(f"cross entropy, {name}, {reduction}", "crossEntropy",
                 lambda logits, target, reduction=reduction: F.cross_entropy(logits, target, reduction=reduction),
                 {"logits": logits, "target": classes}, attrs)  # fmt: skip
    case("cross entropy, all rows but one ignored", "crossEntropy",
         lambda logits, target: F.cross_entropy(logits, target), {"logits": draw(3, 4), "target": torch.tensor([-100, 1, -100])},
         {"reduction": "mean", "ignoreIndex": -100})  # fmt: skip
    case("cross entropy, ignore index 0", "crossEntropy",
         lambda logits, target: F.cross_entropy(logits, target, ignore_index=0), {"logits": draw(4, 3), "target": torch.tensor([0, 1, 2, 0])},
         {"reduction": "mean", "ignoreIndex": 0})  # fmt: skip
    case("cross entropy, logits of 1e4", "crossEntropy",
         lambda logits, target: F.cross_entropy(logits, target, reduction="none"),
         {"logits": torch.tensor([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]]), "target": torch.tensor([0, 1])},
         {"reduction": "none", "ignoreIndex": -100})  # fmt: skip
    for reduction in ("none", "sum", "mean"):
        attrs = {"reduction": reduction}
        case(f"squared error, {reduction}", "mse",
             lambda prediction, target, reduction=reduction: F.mse_loss(prediction, target, reduction=reduction),
             {"prediction": draw(4, 3), "target": draw(4, 3)}, attrs)  # fmt: skip
        case(f"absolute error, {reduction}", "mae",
             lambda prediction, target, reduction=reduction: F.l1_loss(prediction, target, reduction=reduction),
             {"prediction": draw(4, 3), "target": draw(4, 3)}, attrs)  # fmt: skip
        case(f"huber, {reduction}", "huber",
             lambda prediction, target, reduction=reduction: F.huber_loss(prediction, target, reduction=reduction, delta=0.5),
             {"prediction": draw(4, 3, scale=4.0), "target": draw(4, 3)}, {**attrs, "delta": 0.5})  # fmt: skip
        case(f"binary cross entropy, {reduction}", "binaryCrossEntropy",
             lambda logits, target, reduction=reduction: F.binary_cross_entropy_with_logits(logits, target, reduction=reduction),
             {"logits": torch.tensor([1e4, -1e4, 0.0, 2.5, -3.5]), "target": torch.tensor([1.0, 0.0, 0.5, 0.0, 1.0])}, attrs)  # fmt: skip


def attend(q, k, v, mask=None, causal=False, scale=None):
    """By the definition, with matrix products and a softmax; checked below against PyTorch's own function."""
    groups = q.shape[2] // k.shape[2]
    k, v = (t.repeat_interleave(groups, 2) for t in (k, v))
    scores = torch.einsum("bthd,bshd->bhts", q, k) * (scale or 1 / math.sqrt(q.shape[-1]))
    seen = torch.ones(scores.shape[-2:], dtype=torch.bool)
    if causal:
        seen = seen.tril(k.shape[1] - q.shape[1])
    if mask is not None:
        seen = seen & mask
    return torch.einsum("bhts,bshd->bthd", scores.masked_fill(~seen, -torch.inf).softmax(-1), v)


def attentions():
    rows = torch.tensor([[1, 1, 0, 1, 1], [1, 0, 1, 1, 0]], dtype=torch.bool)
    settings = [
        # name, B, T, S, H, G, D, causal, scale, mask
        ("plain", 2, 4, 4, 2, 2, 3, False, None, None),
        ("causal", 2, 5, 5, 2, 2, 4, True, None, None),
        ("causal, more keys than queries", 1, 2, 5, 2, 2, 3, True, None, None),
        ("one query", 2, 1, 6, 2, 2, 3, True, None, None),
        ("cross", 1, 3, 5, 2, 2, 4, False, None, None),
        ("own scale", 1, 4, 4, 1, 1, 3, True, 0.75, None),
        ("grouped", 2, 4, 4, 4, 2, 3, True, None, None),
        ("one group", 1, 4, 4, 3, 1, 2, False, None, None),
        ("padding mask", 2, 5, 5, 2, 2, 3, False, None, rows.reshape(2, 1, 1, 5)),
        ("padding mask, causal", 2, 5, 5, 2, 1, 3, True, None, rows.reshape(2, 1, 1, 5)),
        ("full mask", 1, 3, 4, 2, 2, 3, False, None, (draw(1, 2, 3, 4) > -0.5) | (torch.arange(4) == 0)),
        ("large scores", 1, 3, 3, 1, 1, 2, True, 400.0, None),
    ]
    for name, b, t, s, h, g, d, causal, scale, mask in settings:
        inputs = {"q": draw(b, t, h, d), "k": draw(b, s, g, d), "v": draw(b, s, g, d)}
        attrs = {"causal": causal, "scale": scale or 1 / math.sqrt(d)}
        if mask is not None:
            inputs["mask"] = mask
        out = case(f"attention, {name}", "attention",
                   lambda q, k, v, mask=None, causal=causal, scale=scale: attend(q, k, v, mask, causal, scale), inputs, attrs)  # fmt: skip
        seen = torch.ones(t, s, dtype=torch.bool).tril(s - t) if causal else torch.ones(t, s, dtype=torch.bool)
        theirs = F.scaled_dot_product_attention(
            *(inputs[n].transpose(1, 2) for n in "qkv"), attn_mask=seen if mask is None else seen & mask, scale=scale, enable_gqa=True
        )  # fmt: skip
        torch.testing.assert_close(out, theirs.transpose(1, 2), rtol=1e-12, atol=1e-13)


def windows_and_documents():
    ids = torch.tensor([[0, 0, 1, 1, 1, 2], [7, 3, 3, 7, 3, 3]])
    settings = [
        # name, B, T, S, H, G, D, causal, window, documents
        ("sliding window", 1, 6, 6, 2, 2, 3, True, 3, None),
        ("window to both sides", 1, 6, 6, 2, 1, 3, False, 2, None),
        ("window, more keys than queries", 1, 2, 6, 2, 2, 3, True, 4, None),
        ("documents", 2, 6, 6, 2, 2, 3, False, 0, ids),
        ("documents, causal", 2, 6, 6, 2, 1, 3, True, 0, ids),
        ("documents, sliding window", 2, 6, 6, 2, 2, 3, True, 2, ids),
    ]
    for name, b, t, s, h, g, d, causal, window, documents in settings:
        inputs = {"q": draw(b, t, h, d), "k": draw(b, s, g, d), "v": draw(b, s, g, d)}
        ahead = torch.arange(s)[None, :] - (torch.arange(t)[:, None] + s - t)
        seen = ahead <= 0 if causal else torch.ones(t, s, dtype=torch.bool)
        if window:
            seen = seen & (ahead.abs() < window)
        if documents is not None:
            inputs["documents"] = documents
            seen = seen & (documents[:, None, :, None] == documents[:, None, None, :])
        case(f"attention, {name}", "attention",
             lambda q, k, v, documents=None, seen=seen: F.scaled_dot_product_attention(
                 *(x.transpose(1, 2) for x in (q, k, v)), attn_mask=seen, enable_gqa=True).transpose(1, 2),
             inputs, {"causal": causal, "window": window})  # fmt: skip


def rotaries():
    """Every pair of channels as one complex number, times e^(i * position * base^(-2 pair / width))."""
    settings = [
        # name, D, interleaved, width, base, positions
        ("whole", 6, False, None, None, None),
        ("interleaved", 6, True, None, None, None),
        ("a part of the channels, own base", 10, False, 4, 500.0, None),
        ("positions of packed documents", 4, False, None, None, [[0, 1, 2, 0, 1], [0, 1, 0, 1, 2]]),
        ("a part, interleaved, later positions", 8, True, 6, None, [[10, 11, 12, 40, 41]]),
    ]
    for name, d, interleaved, width, base, positions in settings:
        turning = width or d
        inputs = {"x": draw(2, 5, 3, d)}
        attrs = {"interleaved": interleaved}
        attrs |= ({"width": width} if width else {}) | ({"base": base} if base else {})
        if positions:
            inputs["positions"] = torch.tensor(positions)
        frequencies = (base or 10000.0) ** (-torch.arange(turning // 2) * 2.0 / turning)

        def turn(x, positions=torch.arange(5)[None], turning=turning, interleaved=interleaved, frequencies=frequencies):
            part = x[..., :turning].unflatten(-1, (-1, 2) if interleaved else (2, -1))
            pairs = torch.view_as_complex((part if interleaved else part.transpose(-1, -2)).contiguous())
            turned = torch.view_as_real(pairs * torch.polar(torch.ones(()), positions[..., None] * frequencies)[:, :, None])
            turned = (turned if interleaved else turned.transpose(-1, -2)).flatten(-2)
            return torch.cat([turned, x[..., turning:]], -1)

        case(f"rotary, {name}", "rotary", turn, inputs, attrs)


def layers():
    case("linear, weight stored [in, out]", "linear",
         lambda x, weight, bias: x @ weight + bias, {"x": draw(2, 3, 4), "weight": draw(4, 5), "bias": draw(5)})  # fmt: skip
    case("embedding, repeated rows", "embedding",
         lambda weight, indices: F.embedding(indices, weight), {"weight": draw(5, 3), "indices": torch.tensor([[0, 4, 4], [2, 0, 4]])})  # fmt: skip


norms()
activations()
softmaxes()
losses()
attentions()
layers()
windows_and_documents()
rotaries()
write("layers.json", {"madeBy": "layers.py", "versions": versions("torch"), "cases": cases})
