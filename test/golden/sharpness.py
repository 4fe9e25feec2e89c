"""100-step paths of sharpness-aware minimization in f64 by PyTorch, on the network of optimizers.py.

Foret et al. 2021, algorithm 1, with the constant of its published code: w + rho g / (|g| + 1e-12), gradients there, the step from w.
ASAM (Kwon et al. 2021, without eta): w + rho w^2 g / (|w g| + 1e-12). `losses` are those at w, before each step.
"""

import optimizers as problems
import torch
from common import versions, write

DATA = {name: torch.tensor(value) for name, value in problems.network().items()}


def loss_of(p):
    return ((torch.tanh(DATA["X"] @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"] - DATA["y"]) ** 2).mean()


def path(make, rho, adaptive):
    p = {name: DATA[name].clone().requires_grad_() for name in ("W1", "b1", "W2", "b2")}
    optimizer = make(list(p.values()))
    losses = []
    for _ in range(problems.STEPS):
        value = loss_of(p)
        losses.append(value.item())
        grads = torch.autograd.grad(value, list(p.values()))
        start = [w.detach().clone() for w in p.values()]
        sized = [g * w if adaptive else g for g, w in zip(grads, start)]
        scale = rho / (torch.sqrt(sum((s**2).sum() for s in sized)) + 1e-12)
        with torch.no_grad():
            for w, s, at in zip(p.values(), sized, start):
                w.add_((s * at if adaptive else s) * scale)
        optimizer.zero_grad()
        loss_of(p).backward()
        with torch.no_grad():
            for w, at in zip(p.values(), start):
                w.copy_(at)
        optimizer.step()
    losses.append(loss_of(p).item())
    return {"losses": losses, "final": {name: w.detach().flatten().tolist() for name, w in p.items()}}


def main():
    sgd = lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.5)  # noqa: E731
    adam = lambda p: torch.optim.Adam(p, lr=0.02, foreach=False)  # noqa: E731
    paths = {
        "sam": {"config": {"sgd": {"lr": 0.05, "momentum": 0.5, "sharpness": {"rho": 0.1}}}, **path(sgd, 0.1, False)},
        "asam": {"config": {"adam": {"lr": 0.02, "sharpness": {"rho": 0.5, "adaptive": True}}}, **path(adam, 0.5, True)},
    }
    plain = path(sgd, 0.0, False)
    assert abs(plain["losses"][50] - paths["sam"]["losses"][50]) > 1e-4  # the step up shows
    write("sharpness.json", {"madeBy": "sharpness.py", "versions": versions("torch", "numpy"), "paths": paths})


main()
