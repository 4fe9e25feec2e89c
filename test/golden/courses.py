"""Settings that change over a run: their values by NumPy, and 100-step paths of PyTorch optimizers whose settings are changed before each step.

`config` is how a recipe of ours writes the optimizer; the network is that of optimizers.py. A `course` is told by its values at steps 0 to 119.
"""

import numpy as np
import optimizers as problems
import torch
from common import versions, write

ALL = np.arange(120)


def linear(start, end, first, last):
    return np.interp(ALL, [start, end], [first, last])


def cosine(start, end, first, last):
    progress = np.clip((ALL - start) / (end - start), 0, 1)
    return first + (last - first) * 0.5 * (1 - np.cos(np.pi * progress))


def piecewise(boundaries, values):
    return np.array(values)[np.searchsorted(boundaries, ALL, side="right")]


def line(kind, start, end, first, last):
    return {kind: {"from": first, "to": last, "start": start, "end": end, "unit": "steps"}}


COURSES = {
    "falls": (line("linear", 10, 60, 0.95, 0.8), linear(10, 60, 0.95, 0.8)),
    "rises": (line("linear", 0, 80, 0.0, 0.2), linear(0, 80, 0.0, 0.2)),
    "wave": (line("cosine", 20, 90, 0.85, 0.95), cosine(20, 90, 0.85, 0.95)),
    "pieces": (
        {"piecewise": {"values": [0.9, 0.8, 0.95], "boundaries": [40, 70], "unit": "steps"}},
        piecewise([40, 70], [0.9, 0.8, 0.95]),
    ),
}
OF = {name: config for name, (config, _) in COURSES.items()}
AT = {name: [float(v) for v in values] for name, (_, values) in COURSES.items()}

SGD, AdamW = torch.optim.SGD, torch.optim.AdamW
OPTIMIZERS = {
    "momentum": (
        {"sgd": {"momentum": OF["falls"]}},
        lambda p: SGD(p, lr=0.01, momentum=0.5),
        lambda group, t: group.update(momentum=AT["falls"][t]),
    ),
    "nesterov": (
        {"sgd": {"momentum": OF["wave"], "nesterov": True}},
        lambda p: SGD(p, lr=0.01, momentum=0.5, nesterov=True),
        lambda group, t: group.update(momentum=AT["wave"][t]),
    ),
    "adamw": (
        {"adamw": {"betas": [OF["pieces"], 0.95], "weightDecay": OF["rises"], "decay": "all"}},
        lambda p: AdamW(p, lr=0.02, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0, foreach=False),
        lambda group, t: group.update(betas=(AT["pieces"][t], 0.95), weight_decay=AT["rises"][t]),
    ),
}
RATES = {"momentum": 0.01, "nesterov": 0.01, "adamw": 0.02}


def smoothed_losses():
    """Cross-entropy with label smoothing of each course's values at 0 and 60, and its gradient."""
    logits = torch.tensor(problems.network()["X"]).requires_grad_()
    target = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    records = []
    for step in (0, 60, 119):
        loss = torch.nn.functional.cross_entropy(logits, target, label_smoothing=AT["rises"][step])
        (grad,) = torch.autograd.grad(loss, logits)
        records.append({"step": step, "loss": loss.item(), "grad": grad.flatten().tolist()})
    return {
        "course": OF["rises"], "logits": logits.tolist(), "target": target.tolist(), "records": records,
    }  # fmt: skip


def main():
    records = {}
    for name, (config, make, change) in OPTIMIZERS.items():
        def changing(params, make=make, change=change):
            optimizer = make(params)
            step, done = optimizer.step, [0]

            def with_change():
                change(optimizer.param_groups[0], done[0])
                done[0] += 1
                step()

            optimizer.step = with_change
            return optimizer

        losses, final = problems.network_path(changing)
        still, _ = problems.network_path(make)
        assert max(abs(a - b) for a, b in zip(losses, still)) > 1e-4, name  # the change is seen
        records[name] = {"config": config, "lr": RATES[name], "losses": losses, "final": final}
    write(
        "courses.json",
        {
            "versions": versions("torch", "numpy"),
            "courses": {name: {"config": OF[name], "values": AT[name]} for name in OF},
            "optimizers": records,
            "smoothing": smoothed_losses(),
        },
    )


if __name__ == "__main__":
    main()
